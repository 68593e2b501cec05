package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write facts.json of the machines in testdata anew")

// capturedMachine is machine.yaml of a captured machine: what its tree of files
// does not say.
type capturedMachine struct {
	About      string            `json:"about"` // what is strange about it, and where it comes from
	EUID       int               `json:"euid"`
	PID        int               `json:"pid,omitempty"` // whose ancestors are looked at
	Env        map[string]string `json:"env,omitempty"`
	Offline    bool              `json:"offline,omitempty"` // a mounted image: no kernel
	Foreign    []int             `json:"foreign,omitempty"` // processes in other network namespaces
	Unreadable []string          `json:"unreadable,omitempty"`
	Network    Network           `json:"network"`
	Sockets    Sockets           `json:"sockets,omitzero"`
}

// Network, Sockets and SameNetwork make a captured machine a Kernel.
type capturedKernel struct{ m capturedMachine }

func (k capturedKernel) Network(context.Context) (Network, error) {
	n := k.m.Network
	n.Links = append([]Link(nil), n.Links...)
	return n, nil
}
func (k capturedKernel) Sockets(context.Context) (Sockets, error) { return k.m.Sockets, nil }
func (k capturedKernel) SameNetwork(pid int) (same, known bool) {
	for _, p := range k.m.Foreign {
		if p == pid {
			return false, true
		}
	}
	return true, true
}

// unpack writes an archive of files below dir. Each begins with a line
//
//	-- PATH [MODE] [args] --
//	-- PATH -> TARGET --
//
// and "args" joins the lines by zero bytes, as procfs does with arguments.
func unpack(dir, archive string) error {
	var name, mode, kind string
	var text strings.Builder
	flush := func() error {
		if name == "" {
			return nil
		}
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		s := text.String()
		if kind == "args" {
			s = strings.ReplaceAll(s, "\n", "\x00")
		}
		perm := uint64(0o644)
		if mode != "" {
			var err error
			if perm, err = strconv.ParseUint(mode, 8, 12); err != nil {
				return fmt.Errorf("%s: mode %q", name, mode)
			}
		}
		if err := os.WriteFile(p, []byte(s), 0o600); err != nil {
			return err
		}
		return os.Chmod(p, fs.FileMode(perm))
	}
	for line := range strings.Lines(archive) {
		head, ok := strings.CutPrefix(line, "-- ")
		head, ok2 := strings.CutSuffix(head, " --\n")
		if !ok || !ok2 {
			text.WriteString(line)
			continue
		}
		if err := flush(); err != nil {
			return err
		}
		name, mode, kind = "", "", ""
		text.Reset()
		if from, to, ok := strings.Cut(head, " -> "); ok {
			p := filepath.Join(dir, from)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				return err
			}
			if err := os.Symlink(to, p); err != nil {
				return err
			}
			continue
		}
		f := strings.Fields(head)
		name = f[0]
		for _, x := range f[1:] {
			if x == "args" {
				kind = x
			} else {
				mode = x
			}
		}
	}
	return flush()
}

// gatherCaptured gathers the facts of the captured machine in dir and the number
// of accesses to its tree.
func gatherCaptured(t *testing.T, dir string) (*Facts, int) {
	t.Helper()
	f, reads, _ := gatherNamed(t, dir)
	return f, reads
}

// gatherNamed also names what was looked at; change is of how it is gathered.
func gatherNamed(t *testing.T, dir string, change ...func(*Gatherer)) (*Facts, int, []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "machine.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = yamlToJSON(b); err != nil {
		t.Fatalf("%s/machine.yaml: %v", dir, err)
	}
	var m capturedMachine
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s/machine.yaml: %v", dir, err)
	}
	archive, err := os.ReadFile(filepath.Join(dir, "tree.txt"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := unpack(root, string(archive)); err != nil {
		t.Fatalf("%s/tree.txt: %v", dir, err)
	}
	var mu sync.Mutex
	reads := 0
	var names []string
	g := Gatherer{
		Root: root,
		Env:  func(k string) (string, bool) { v, ok := m.Env[k]; return v, ok },
		PID:  max(m.PID, 1),
		EUID: func() int { return m.EUID },
		hook: func(op, name string) error {
			mu.Lock()
			reads++
			names = append(names, name)
			mu.Unlock()
			for _, u := range m.Unreadable {
				if op == "read" && name == u {
					return syscall.EACCES
				}
			}
			return nil
		},
	}
	if !m.Offline {
		g.Kernel = capturedKernel{m}
	}
	for _, c := range change {
		c(&g)
	}
	f, err := g.Gather(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// Whoever runs the test owns what it unpacked.
	for p, file := range f.Files {
		file.UID, file.GID = 0, 0
		f.Files[p] = file
	}
	return f, reads, names
}

// machines lists the captured machines.
func machines(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob("testdata/*/machine.yaml")
	if err != nil || len(dirs) < 8 {
		t.Fatalf("%d captured machines in testdata (%v)", len(dirs), err)
	}
	for i := range dirs {
		dirs[i] = filepath.Dir(dirs[i])
	}
	return dirs
}

func TestMachines(t *testing.T) {
	for _, dir := range machines(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f, reads := gatherCaptured(t, dir)
			var got bytes.Buffer
			if err := f.WriteJSON(&got); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(dir, "facts.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("facts differ from %s (run with -update and look at the difference)\n%s", golden, firstDifference(got.String(), string(want)))
			}
			loaded, err := Load(bytes.NewReader(got.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(loaded, f) {
				t.Error("facts loaded from what was printed are not equal")
			}
			if reads > 900 {
				t.Errorf("%d accesses to the file tree: detection must not open files by the thousand", reads)
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d\ngot  %s\nwant %s", i+1, g[i], append(w, make([]string, len(g))...)[i])
		}
	}
	return fmt.Sprintf("%d lines are missing at the end", len(w)-len(g))
}
