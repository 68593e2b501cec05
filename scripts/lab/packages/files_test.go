//go:build lab && linux

package packages

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The same sources in another folder, under another time zone and umask, give the same bytes.
func TestReproducible(t *testing.T) {
	if !full {
		t.Skip("skipped: making all packages once more is left to the full run (PROVISION_LAB_FULL=1)")
	}
	t.Parallel()
	a, b := packages(t, first), packages(t, again)
	sums, err := os.ReadFile(filepath.Join(a, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if n, want := strings.Count(string(sums), "\n"), map[bool]int{false: 7, true: 7 + 7 + 4*4 + 1}[full]; n != want {
		t.Errorf("%d files, not %d:\n%s", n, want, sums)
	}
	other, err := os.ReadFile(filepath.Join(b, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if string(sums) != string(other) {
		t.Errorf("the second time is another:\n%s\n%s", sums, other)
	}
	cmd := exec.Command("sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	cmd.Dir = b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// needed is what every Linux package brings, wherever it puts it.
func needed() []string {
	return []string{"usr/bin/provision", "etc/provision/provision.yaml", "usr/share/man/man8/provision.8.gz", "usr/share/man/man8/provision-wireguard-add.8.gz",
		"usr/share/bash-completion/completions/provision", "usr/share/fish/vendor_completions.d/provision.fish",
		"usr/share/ansible/roles/provision/tasks/main.yml", "usr/share/ansible/roles/provision/library/provision.py",
		"usr/share/doc/provision/sbom.cdx.json", "usr/share/doc/provision/third-party-licenses.gz"}
}

// The .apk is what apk reads: a gzip member with the control tar, one with the files, and the digest of the second in the
// first (wiki.alpinelinux.org, Apk spec, v2). apk itself is not among Debian's packages.
func TestApk(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(one(t, packages(t, first), "*."+arch("apk")+".apk"))
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(raw)
	in := bufio.NewReaderSize(r, 16)
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	control := contents(t, z, true)
	begin := len(raw) - r.Len() - in.Buffered()
	info := control[".PKGINFO"]
	for _, want := range []string{"pkgname = provision", "pkgver = 1.0.0-r1", "arch = " + arch("apk")} {
		if !strings.Contains(info, want+"\n") {
			t.Errorf(".PKGINFO has no %q:\n%s", want, info)
		}
	}
	sum := sha256.Sum256(raw[begin:])
	if !strings.Contains(info, "datahash = "+hex.EncodeToString(sum[:])) {
		t.Errorf("the digest of the files is %x, and .PKGINFO says\n%s", sum, info)
	}
	for _, script := range []string{".post-install", ".post-upgrade", ".pre-deinstall"} {
		shell(t, script, control[script])
	}
	if err := z.Reset(in); err != nil {
		t.Fatal(err)
	}
	files := contents(t, z, false)
	for _, name := range append(needed(), "etc/init.d/provision", "etc/init.d/provision-early", "etc/init.d/provision-serve", "etc/init.d/provision-watch") {
		text, ok := files[name]
		if !ok {
			t.Errorf("it has no %s", name)
		}
		if strings.HasPrefix(name, "etc/init.d/") {
			shell(t, name, text)
		}
	}
	for name := range files {
		if strings.HasPrefix(name, "usr/lib/systemd/") {
			t.Errorf("nobody on Alpine reads %s", name)
		}
	}
}

// contents reads a tar; a control tar has no end mark.
func contents(t *testing.T, r io.Reader, control bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) || control && errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(h.Name, "./")] = string(b)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	return out
}

// shell reads a script as the shell does that will run it.
func shell(t *testing.T, name, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("%s is empty or missing", name)
		return
	}
	cmd := exec.Command("dash", "-n")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}

// The tarball has all that an installation by hand needs, under one folder, and its program is the packages' own.
func TestTarball(t *testing.T) {
	t.Parallel()
	dir := packages(t, first)
	f, err := os.Open(one(t, dir, "provision-1.0.0-linux-"+arch("deb")+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := contents(t, z, false)
	top := "provision-1.0.0-linux-" + arch("deb") + "/"
	for _, name := range []string{"provision", "LICENSE", "README.md", "provision.yaml", "systemd/provision.service", "openrc/provision", "roles/provision/tasks/main.yml", "man/provision.8.gz", "completions/_provision", "third-party-licenses.gz"} {
		if files[top+name] == "" {
			t.Errorf("it has no %s%s", top, name)
		}
	}
	for name, text := range files {
		if !strings.HasPrefix(name, top) {
			t.Errorf("%s is beside the folder", name)
		}
		if (strings.HasPrefix(name, top+"systemd/") || strings.HasPrefix(name, top+"openrc/")) && strings.Contains(text, "/usr/bin/provision") {
			t.Errorf("%s starts the package's program and not /usr/local/bin/provision", name)
		}
	}
	x := filepath.Join(t.TempDir(), "x")
	output(t, "dpkg-deb", "-x", one(t, dir, "*_"+arch("deb")+".deb"), x)
	program, err := os.ReadFile(filepath.Join(x, "usr/bin/provision"))
	if err != nil {
		t.Fatal(err)
	}
	if string(program) != files[top+"provision"] {
		t.Error("the program of the tarball is not the one of the .deb")
	}
	if said := output(t, filepath.Join(x, "usr/bin/provision"), "version"); !strings.Contains(said, "v1.0.0") {
		t.Errorf("the program calls itself %s", said)
	}
	// The bill names what the compiler says is in it.
	bill, err := os.ReadFile(filepath.Join(x, "usr/share/doc/provision/sbom.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	modules := 0
	for line := range strings.Lines(output(t, "go", "version", "-m", filepath.Join(x, "usr/bin/provision"))) {
		w := strings.Fields(line)
		if len(w) >= 3 && w[0] == "dep" {
			modules++
			if !strings.Contains(string(bill), `"pkg:golang/`+w[1]+"@"+w[2]+`"`) {
				t.Errorf("the bill lacks %s %s", w[1], w[2])
			}
		}
	}
	if modules < 10 {
		t.Errorf("the compiler names %d modules only", modules)
	}
	pages, _ := filepath.Glob(filepath.Join(x, "usr/share/man/man8/*.8.gz"))
	if len(pages) < 40 || !slices.Contains(pages, filepath.Join(x, "usr/share/man/man8/provision-recover.8.gz")) {
		t.Errorf("%d manual pages", len(pages))
	}
	for _, page := range pages {
		if out := output(t, "sh", "-c", `zcat "$0" | mandoc -T lint -W warning`, page); out != "" {
			t.Errorf("%s: %s", filepath.Base(page), out)
		}
	}
}
