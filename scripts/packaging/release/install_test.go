//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const release = "provision-1.0.0-linux-amd64"

// keys writes a new pair as openssl would.
func keys(t *testing.T) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "key"), filepath.Join(dir, "key.pub")
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	write(t, private, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
	write(t, public, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), 0o644)
	return private, public
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// made is a signed release whose program says word; the script is its install.sh.
func made(t *testing.T, private, public, word string) (files map[string]string, script string) {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	add := func(name, text string, mode int64) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: release + "/" + name, Size: int64(len(text)), Mode: mode}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	add("provision", "#!/bin/sh\necho "+word+"\n#"+strings.Repeat("x", 1<<16), 0o755)
	add("provision.yaml", "version: 1\n", 0o644)
	add("openrc/provision", "#!/sbin/openrc-run\n# /usr/local/bin/provision apply\n", 0o755)
	for _, unit := range []string{"provision", "provision-early", "provision-serve", "provision-watch"} {
		add("systemd/"+unit+".service", "# "+word+"\n[Service]\nExecStart=/usr/local/bin/provision version\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums := filepath.Join(dir, "SHA256SUMS")
	write(t, sums, fmt.Sprintf("%064d  other-%s.tar.gz\n%x  %s.tar.gz\n", 0, release, sha256.Sum256(packed.Bytes()), release), 0o644)
	if err := sign(private, public, sums); err != nil {
		t.Fatal(err)
	}
	files = map[string]string{release + ".tar.gz": packed.String()}
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.sig", "SHA256SUMS.sshsig"} {
		files[name] = read(t, filepath.Join(dir, name))
	}
	return files, pinned(t, public)
}

// pinned is the install script with a key.
func pinned(t *testing.T, public string) string {
	t.Helper()
	var out bytes.Buffer
	if err := pin(&out, strings.NewReader(read(t, "../install.sh")), public, "1.0.0", "", "../takeback.sh"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "install.sh")
	write(t, path, out.String(), 0o755)
	return path
}

// served is the release on a server of its own. A name in cut ends in the middle.
func served(t *testing.T, files map[string]string, cut string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/r/")
		text, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		if name == cut {
			text = text[:len(text)/2]
		}
		_, _ = w.Write([]byte(text)) // too few: the server closes the connection
	}))
	t.Cleanup(s.Close)
	return s.URL + "/r"
}

// tools is a folder with what a small system has, and the programs that are named; busybox is there as wget.
func tools(t *testing.T, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	base := []string{"cat", "chmod", "cp", "dirname", "grep", "gzip", "id", "mkdir", "mktemp", "mv", "rm", "sed", "sha256sum", "sync", "tar", "timeout", "systemctl"}
	for _, name := range append(base, more...) {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("skipped: there is no %s here", name)
		}
		if name == "busybox" {
			name = "wget" // BusyBox goes by the name that it is called
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "uname"), "#!/bin/sh\n[ \"$1\" = -s ] && echo Linux || echo x86_64\n", 0o755)
	return dir
}

// image is a root with systemd in it.
func image(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "usr/lib/systemd/systemd"), "", 0o755)
	write(t, filepath.Join(root, "etc/os-release"), "ID=x\n", 0o644)
	return root
}

func run(t *testing.T, path, script string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{script}, args...)...)
	cmd.Env = []string{"PATH=" + path, "TMPDIR=" + t.TempDir(), "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	if left, _ := filepath.Glob(strings.TrimPrefix(cmd.Env[1], "TMPDIR=") + "/*"); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	return string(out), err
}

// tree is every file and link below a root, with what is in it.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if d.Type()&os.ModeSymlink != 0 {
			out[strings.TrimPrefix(path, root)], err = os.Readlink(path)
			return err
		}
		out[strings.TrimPrefix(path, root)] = read(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each verifier with each program that loads: installed, with units enabled; the second is an upgrade that keeps what was edited
// and disabled; the third removes it.
func TestInstallUpgradeRemove(t *testing.T) {
	private, public := keys(t)
	files, script := made(t, private, public, "one")
	newer, newerScript := made(t, private, public, "two")
	for _, with := range [][]string{{"ssh-keygen", "curl"}, {"openssl", "wget"}, {"openssl", "busybox"}, {"ssh-keygen", "openssl"}} {
		t.Run(strings.Join(with, "+"), func(t *testing.T) {
			t.Parallel()
			path, root := tools(t, with...), image(t)
			before := tree(t, root)
			from := func(files map[string]string) string {
				if with[1] != "openssl" {
					return served(t, files, "")
				}
				dir := t.TempDir() // without any program that loads: a folder
				for name, text := range files {
					write(t, filepath.Join(dir, name), text, 0o644)
				}
				return dir
			}
			if out, err := run(t, path, script, "--root", root, "--from", from(files)); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := slices.Sorted(maps.Keys(tree(t, root)))
			want := []string{"/etc/os-release", "/etc/provision/provision.yaml", "/etc/systemd/system/multi-user.target.wants/provision-early.service",
				"/etc/systemd/system/multi-user.target.wants/provision.service", "/etc/systemd/system/provision-early.service", "/etc/systemd/system/provision-serve.service",
				"/etc/systemd/system/provision-watch.service", "/etc/systemd/system/provision.service", "/usr/lib/systemd/systemd", "/usr/local/bin/provision"}
			if !slices.Equal(got, want) {
				t.Fatalf("installed is\n%q, not\n%q", got, want)
			}
			write(t, filepath.Join(root, "etc/provision/provision.yaml"), "edited\n", 0o644)
			if err := os.Remove(filepath.Join(root, "etc/systemd/system/multi-user.target.wants/provision.service")); err != nil {
				t.Fatal(err)
			}
			if out, err := run(t, path, newerScript, "--root", root, "--from", from(newer)); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			after := tree(t, root)
			if out, err := exec.Command(filepath.Join(root, "usr/local/bin/provision")).Output(); err != nil || string(out) != "two\n" {
				t.Errorf("the program after the upgrade: %q %v", out, err)
			}
			if !strings.HasPrefix(after["/etc/systemd/system/provision.service"], "# two") || after["/etc/provision/provision.yaml"] != "edited\n" {
				t.Errorf("after the upgrade: %q", after)
			}
			if _, ok := after["/etc/systemd/system/multi-user.target.wants/provision.service"]; ok {
				t.Error("the upgrade enabled a disabled unit")
			}
			if out, err := run(t, path, newerScript, "--root", root, "--uninstall"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			before["/etc/provision/provision.yaml"] = "edited\n"
			if left := tree(t, root); !maps.Equal(left, before) {
				t.Errorf("after the removal: %q", left)
			}
			if out, err := run(t, path, newerScript, "--root", root, "--uninstall", "--purge"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			delete(before, "/etc/provision/provision.yaml")
			if left := tree(t, root); !maps.Equal(left, before) {
				t.Errorf("after the purge: %q", left)
			}
		})
	}
}

// Whatever is wrong, the script says it, and not one file is touched.
func TestInstallRefuses(t *testing.T) {
	private, public := keys(t)
	other, otherPublic := keys(t)
	files, script := made(t, private, public, "one")
	foreign, _ := made(t, other, otherPublic, "evil")
	ssh, ssl := []string{"ssh-keygen", "curl"}, []string{"openssl", "wget"}
	changed := func(name string, change func(string) string) map[string]string {
		out := maps.Clone(files)
		out[name] = change(out[name])
		return out
	}
	archive := release + ".tar.gz"
	flipped := changed(archive, func(s string) string { return s[:len(s)/2] + string(s[len(s)/2]^1) + s[len(s)/2+1:] })
	// Sums of the changed archive, with the signature of the true ones.
	sums := maps.Clone(flipped)
	sums["SHA256SUMS"] = fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(flipped[archive])), archive)
	// Right sums of another release.
	empty := changed("SHA256SUMS", func(string) string { return "" })
	missing := changed("SHA256SUMS", func(s string) string { return s })
	delete(missing, "SHA256SUMS.sig")
	delete(missing, "SHA256SUMS.sshsig")
	unsigned := pinned(t, "")
	for _, c := range []struct {
		name, cut, script string
		files             map[string]string
		with, args        []string
		want              string
	}{
		{"archive changed", "", script, flipped, nil, nil, "is not what SHA256SUMS says"},
		{"sums changed", "", script, sums, nil, nil, "the signature of SHA256SUMS is wrong"},
		{"sums changed, flag", "", script, sums, nil, []string{"--without-signature"}, "the signature of SHA256SUMS is wrong"},
		{"sums empty", "", script, empty, nil, nil, "the signature of SHA256SUMS is wrong"},
		{"another key", "", script, foreign, nil, nil, "the signature of SHA256SUMS is wrong"},
		{"no signature there", "", script, missing, nil, []string{"--without-signature"}, "was not loaded whole"},
		{"archive cut", archive, script, files, nil, nil, archive + " was not loaded whole"},
		{"sums cut", "SHA256SUMS", script, files, nil, nil, "SHA256SUMS was not loaded whole"},
		{"no verifier", "", script, files, []string{"curl"}, nil, "neither ssh-keygen"},
		{"no verifier, archive changed", "", script, flipped, []string{"curl"}, []string{"--without-signature"}, "is not what SHA256SUMS says"},
		{"not signed", "", unsigned, files, nil, nil, "this release is not signed"},
		{"not of this machine", "", script, files, nil, []string{"--arch", "arm64"}, "was not loaded whole"},
		{"a package's program", "", script, files, nil, nil, "a package has installed"},
	} {
		both := [][]string{ssh, ssl}
		if c.with != nil {
			both = [][]string{c.with}
		}
		for _, with := range both {
			t.Run(c.name+"/"+with[0], func(t *testing.T) {
				t.Parallel()
				root := image(t)
				if strings.HasPrefix(c.name, "a package") {
					write(t, filepath.Join(root, "usr/bin/provision"), "", 0o755)
				}
				before := tree(t, root)
				out, err := run(t, tools(t, with...), c.script, append([]string{"--root", root, "--from", served(t, c.files, c.cut)}, c.args...)...)
				if err == nil || !strings.Contains(out, c.want) {
					t.Errorf("%v: %s", err, out)
				}
				if after := tree(t, root); !maps.Equal(before, after) {
					t.Errorf("it touched files: %q", after)
				}
			})
		}
	}
}

// A program that does not run here is not put in the place of one that does.
func TestInstallKeepsWhatRuns(t *testing.T) {
	private, public := keys(t)
	files, script := made(t, private, public, "one")
	broken, brokenScript := made(t, private, public, "two\nexit 1\n")
	path, root := tools(t, "ssh-keygen", "curl"), image(t)
	if out, err := run(t, path, script, "--root", root, "--from", served(t, files, "")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := tree(t, root)
	out, err := run(t, path, brokenScript, "--root", root, "--from", served(t, broken, ""))
	if err == nil || !strings.Contains(out, "does not run on this machine") {
		t.Errorf("%v: %s", err, out)
	}
	if after := tree(t, root); !maps.Equal(before, after) {
		t.Errorf("it touched files: %q", after)
	}
}

// With the flag and no verifier, sums decide; a script that was cut anywhere does nothing.
func TestInstallWithoutSignature(t *testing.T) {
	private, public := keys(t)
	files, script := made(t, private, public, "one")
	path, from := tools(t, "curl"), served(t, files, "")
	root := image(t)
	out, err := run(t, path, script, "--root", root, "--from", from, "--without-signature")
	if err != nil || !strings.Contains(out, "only sums are checked") {
		t.Errorf("%v: %s", err, out)
	}
	text := read(t, script)
	for _, part := range []int{4, 2} {
		root, cut := image(t), filepath.Join(t.TempDir(), "cut.sh")
		write(t, cut, text[:len(text)-len(text)/part], 0o755)
		before := tree(t, root)
		out, _ := run(t, path, cut, "--root", root, "--from", from, "--without-signature")
		if after := tree(t, root); !maps.Equal(before, after) {
			t.Errorf("a cut script touched files: %s", out)
		}
	}
}

// The key that signs is the one that is pinned, and nothing that a shell would read gets into the script.
func TestPinAndSignRefuse(t *testing.T) {
	private, public := keys(t)
	_, other := keys(t)
	sums := filepath.Join(t.TempDir(), "SHA256SUMS")
	write(t, sums, "x\n", 0o644)
	if err := sign(private, other, sums); err == nil || !strings.Contains(err.Error(), "is not the public half") {
		t.Errorf("signed with a key that is not the pinned one: %v", err)
	}
	if err := sign(public, public, sums); err == nil {
		t.Error("a public key has signed")
	}
	var out bytes.Buffer
	if err := pin(&out, strings.NewReader("#URL#"), public, "1.0.0", "http://x/';reboot;'", "../takeback.sh"); err == nil {
		t.Errorf("pinned: %s", out.String())
	}
}
