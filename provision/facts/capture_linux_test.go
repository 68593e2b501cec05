package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/provision-net/provision/provision/facts/tree"
)

// TestCapture turns the running system into a captured machine in the directory
// $FACTS_CAPTURE: run the compiled test binary on the machine in question.
func TestCapture(t *testing.T) {
	dir := os.Getenv("FACTS_CAPTURE")
	if dir == "" {
		t.Skip("FACTS_CAPTURE names no directory to capture this machine into")
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	g := Gatherer{hook: func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		seen[name] = true
		return nil
	}}
	f, err := g.Gather(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	network, err := systemKernel().Network(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := systemKernel().Sockets(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	m := capturedMachine{About: "captured", EUID: os.Geteuid(), PID: os.Getpid(), Network: network, Sockets: sockets}
	if v := os.Getenv("SSH_CONNECTION"); v != "" {
		m.Env = map[string]string{"SSH_CONNECTION": v}
	}
	live := tree.Live()
	paths := make([]string, 0, len(seen))
	for p := range seen {
		paths = append(paths, path.Clean(p))
	}
	sort.Strings(paths)
	var out bytes.Buffer
	done := map[string]bool{}
	for _, p := range paths {
		capturePath(live, &out, done, p)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var y bytes.Buffer
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	n, err := yamlNode(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := encodeYAML(&y, n); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"tree.txt": out.Bytes(), "machine.yaml": y.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d links, %d files", len(f.Links), len(done))
}

// capturePath writes what is at p, symlinks on the way as such. Of processes only
// those that matter are kept, of dpkg's database only the named packages.
func capturePath(live *tree.Tree, out *bytes.Buffer, done map[string]bool, p string) {
	if done[p] || p == "/" {
		return
	}
	if rest, ok := strings.CutPrefix(p, "/proc/"); ok && rest[0] >= '0' && rest[0] <= '9' {
		comm, err := live.Head(path.Join("/proc", strings.Split(rest, "/")[0], "comm"), 64)
		if err != nil || !wanted(strings.TrimSpace(string(comm))) && !strings.HasPrefix(rest, "1/") && !strings.HasSuffix(rest, "/stat") {
			return
		}
	}
	parent := path.Dir(p)
	if real, err := live.Resolve(parent); err == nil && real != parent && !strings.HasPrefix(p, "/proc/self/") {
		capturePath(live, out, done, parent)
		capturePath(live, out, done, path.Join(real, path.Base(p)))
		return
	}
	if target, err := live.Readlink(p); err == nil {
		done[p] = true
		if p == "/proc/self" {
			return
		}
		fmt.Fprintf(out, "-- %s -> %s --\n", p, target)
		if !path.IsAbs(target) {
			target = path.Join(parent, target)
		}
		enabled := strings.Contains(p, ".wants/") || strings.Contains(p, ".requires/") || strings.HasPrefix(p, "/etc/rc")
		if !strings.Contains(target, "[") && !enabled {
			capturePath(live, out, done, target)
		}
		return
	}
	fi, err := live.Stat(p)
	if err != nil {
		return
	}
	done[p] = true
	if fi.IsDir() {
		if strings.HasSuffix(p, ".wants") || strings.HasSuffix(p, ".requires") || strings.Contains(p, "/NetworkManager") || strings.HasPrefix(p, "/etc/rc") || p == "/run" {
			names, _ := live.ReadDir(p)
			for _, n := range names {
				enables := !strings.HasPrefix(p, "/etc/rc") && !strings.Contains(p, "/systemd/") || ofInterest(strings.TrimLeft(n, "S0123456789"))
				if enables && (p != "/run" || strings.HasPrefix(n, "net-")) {
					capturePath(live, out, done, path.Join(p, n))
				}
			}
		}
		if strings.HasSuffix(p, "/fd") {
			names, _ := live.ReadDir(p)
			for _, n := range names {
				if target, err := live.Readlink(path.Join(p, n)); err == nil && strings.HasPrefix(target, "socket:") && !done[path.Join(p, n)] {
					done[path.Join(p, n)] = true
					fmt.Fprintf(out, "-- %s -> %s --\n", path.Join(p, n), target)
				}
			}
		}
		if strings.HasSuffix(p, "/systemd") {
			names, _ := live.ReadDir(p)
			for _, n := range names {
				if sharedVersion(n) != 0 {
					fmt.Fprintf(out, "-- %s --\n", path.Join(p, n))
				}
			}
		}
		return
	}
	b, err := live.ReadFile(p, maxDatabase)
	if err != nil {
		return
	}
	kind := ""
	switch {
	case p == "/var/lib/dpkg/status":
		var keep bytes.Buffer
		stanzas(b, "Package: ", packageNames, func(name string, s []byte) {
			fmt.Fprintf(&keep, "Package: %s\nStatus: %s\nVersion: %s\n\n", name, field(s, "Status: "), field(s, "Version: "))
		})
		b = keep.Bytes()
	case strings.HasSuffix(p, "/cmdline") && p != "/proc/cmdline", strings.HasSuffix(p, "/environ"):
		kind = " args"
		b = bytes.ReplaceAll(b, []byte{0}, []byte{'\n'})
	case bytes.IndexByte(b, 0) >= 0:
		b = nil // a program: only that it is there matters
	case p == "/proc/cpuinfo":
		b = b[:min(len(b), 1500)]
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	mode := ""
	if fi.Mode().Perm() != 0o644 && !strings.HasPrefix(p, "/proc") && !strings.HasPrefix(p, "/sys") {
		mode = fmt.Sprintf(" %04o", fi.Mode().Perm())
	}
	fmt.Fprintf(out, "-- %s%s%s --\n%s", p, mode, kind, b)
}
