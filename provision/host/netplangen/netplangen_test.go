package netplangen

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host"
)

// generator stands for netplan: it writes files into the scratch root, and says no to YAML that holds the word "broken".
type generator struct {
	t     *testing.T
	files map[string]string
	saw   []string // YAML files in the scratch root

	scratch string
}

func (g *generator) Run(_ context.Context, c host.Command) (host.Output, error) {
	if !reflect.DeepEqual(c.Argv[:3], []string{"netplan", "generate", "--root-dir"}) || len(c.Argv) != 4 {
		g.t.Fatalf("ran %q", c.Argv)
	}
	if !slices.Contains(c.Env, "SYSTEMD_OFFLINE=1") || c.Timeout <= 0 {
		g.t.Errorf("ran with environment %q and timeout %v", c.Env, c.Timeout)
	}
	scratch := c.Argv[3]
	g.saw, g.scratch = nil, scratch
	broken := ""
	_ = filepath.WalkDir(scratch, func(p string, d os.DirEntry, _ error) error {
		if !strings.HasSuffix(p, ".yaml") {
			return nil
		}
		info, _ := d.Info()
		if info.Mode().Perm() != 0o600 {
			g.t.Errorf("%s has mode %v", p, info.Mode())
		}
		g.saw = append(g.saw, strings.TrimPrefix(p, scratch))
		if text, _ := os.ReadFile(p); strings.Contains(string(text), "broken") {
			broken = p
		}
		return nil
	})
	if broken != "" {
		return host.Output{Code: 1, Stderr: []byte("\n" + broken + ":3:5: Error in network definition: unknown key 'broken'\n")}, nil
	}
	for name, text := range g.files {
		at := filepath.Join(scratch, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			g.t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o640); err != nil {
			g.t.Fatal(err)
		}
	}
	return host.Output{}, nil
}

func TestGenerate(t *testing.T) {
	tree := map[string]string{"/etc/netplan/50-cloud-init.yaml": "network: {}\n", "/run/netplan/10-x.yaml": "network: {}\n"}
	g := &generator{t: t, files: map[string]string{"/run/systemd/network/10-netplan-eth0.network": "[Match]\n", "/run/systemd/network/other": "no"}}
	got, err := Generate(t.Context(), g, tree)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/netplan/50-cloud-init.yaml", "/run/netplan/10-x.yaml"}; !reflect.DeepEqual(g.saw, want) {
		t.Errorf("netplan saw %q, want %q", g.saw, want)
	}
	if len(got) != 1 || string(got["/run/systemd/network/10-netplan-eth0.network"].Data) != "[Match]\n" {
		t.Errorf("collected %v", got)
	}
	tree["/etc/netplan/99-new.yaml"] = "broken: 1\n"
	_, err = Generate(t.Context(), g, tree)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Said != "/etc/netplan/99-new.yaml:3:5: Error in network definition: unknown key 'broken'" {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(g.scratch); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the scratch directory stays: %v", err)
	}
}

// answer is a host.Runner that says the same each time.
type answer struct {
	out host.Output
	err error
}

func (a answer) Run(context.Context, host.Command) (host.Output, error) { return a.out, a.err }

func TestGenerateErrors(t *testing.T) {
	for want, a := range map[string]answer{
		"netplan says: exit status 3 without a word":              {out: host.Output{Code: 3}},
		"cannot run \"netplan generate\": file does not exist":    {err: os.ErrNotExist},
		"netplan says: /etc/netplan/a.yaml:1:2: wrong; see there": {out: host.Output{Code: 1, Stderr: []byte("** (generate:1): WARNING **: Permissions for /x are too open\nERROR: /etc/netplan/a.yaml:1:2: wrong\n   ^\n"), Stdout: []byte("see there\n")}},
	} {
		if _, err := Generate(t.Context(), a, nil); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The live tree is what Sync generates from; other files there are not netplan's.
func TestSource(t *testing.T) {
	f := host.NewFake(t)
	f.Put("/etc/netplan/50-cloud-init.yaml", "a")
	f.Put("/etc/netplan/README", "not netplan's")
	f.Put("/run/netplan/10-x.yaml", "b")
	got, err := source(f)
	if want := map[string]string{"/etc/netplan/50-cloud-init.yaml": "a", "/run/netplan/10-x.yaml": "b"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
}

func TestSyncTouchesOnlyWhatDiffers(t *testing.T) {
	f := host.NewFake(t)
	f.Put("/etc/netplan/50.yaml", "network: {}\n")
	f.PutFile("/run/systemd/network/10-netplan-eth0.network", host.File{Data: []byte("same"), Mode: 0o640, UID: os.Getuid(), GID: os.Getgid()})
	f.PutFile("/run/systemd/network/10-netplan-eth1.network", host.File{Data: []byte("old"), Mode: 0o640, UID: os.Getuid(), GID: os.Getgid()})
	f.Put("/run/systemd/network/10-netplan-gone.network", "stale")
	f.Put("/run/systemd/network/70-user.network", "user's")
	g := &generator{t: t, files: map[string]string{
		"/run/systemd/network/10-netplan-eth0.network":                      "same",
		"/run/systemd/network/10-netplan-eth1.network":                      "new",
		"/run/NetworkManager/system-connections/netplan-wlan0.nmconnection": "fresh",
	}}
	got, err := Sync(context.Background(), f, g)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/run/NetworkManager/system-connections/netplan-wlan0.nmconnection", "/run/systemd/network/10-netplan-eth1.network", "/run/systemd/network/10-netplan-gone.network"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
	if data, err := f.ReadFile("/run/systemd/network/70-user.network", 100); err != nil || string(data) != "user's" {
		t.Errorf("a file that netplan did not make: %q, %v", data, err)
	}
	before := f.Writes()
	if got, err := Sync(context.Background(), f, g); err != nil || len(got) != 0 || f.Writes() != before {
		t.Errorf("the second time: changed %q, %v", got, err)
	}
}

// What netplan says shows the line of the file that it stumbled over; it may hold a password.
func TestComplaintShowsNoLineOfTheFile(t *testing.T) {
	said := "\n/scratch/etc/netplan/w.yaml:9:23: Error in network definition: expected scalar\n" +
		"            password: [hunter2, x]\n                      ^\n"
	if got, want := complaint(said, "/scratch", 1), "/etc/netplan/w.yaml:9:23: Error in network definition: expected scalar"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The copies hold secrets: they belong into memory, and TMPDIR is somebody else's choice.
func TestScratchDirectory(t *testing.T) {
	elsewhere, run := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", elsewhere)
	dir, err := scratchDir(run)
	if err != nil || filepath.Dir(dir) != run {
		t.Fatalf("got %q, %v", dir, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can look into it: %v, %v", info.Mode(), err)
	}
	if dir, err = scratchDir(filepath.Join(run, "missing")); err != nil || filepath.Dir(dir) != elsewhere {
		t.Errorf("without %s: got %q, %v", runDir, dir, err)
	}
	var saw generator
	saw.t = t
	if _, err := Generate(t.Context(), &saw, map[string]string{"/etc/netplan/a.yaml": "network: {}"}); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 && !strings.HasPrefix(saw.scratch, runDir+"/") {
		t.Errorf("root's copies are in %s", saw.scratch)
	}
	if _, err := os.Stat(saw.scratch); !os.IsNotExist(err) {
		t.Errorf("%s was left behind: %v", saw.scratch, err)
	}
}
