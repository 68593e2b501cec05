package agent

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/cmd/provision/internal/strict"
)

// Every kind of mistake at once: each is named with its place, in the order of the
// file.
func TestParseReportsEverything(t *testing.T) {
	const text = `version: two
colour: blue
network:
  nat-metric: -5
  first-metric: 4294967296
  dns: perhaps
  lazy: 3
  bring-up: true
  bring-up: false
  nics:
    - match: {name: "eth[", macaddress: "08:00:27", role: bridge}
      route-metric: 0
    - match: {name: eth1}
      manage: false
      route-metric: 7
    - match: {name: eth2}
      route-metric: 8
    - match: {name: eth3}
      route-metric: 8
    - route-metric: 9
    - match: {path: "["}
    - bring-up: true
      dhcp4: false
      dhcp6: false
    - match: [eth0]
    - match: {macaddress: 8}
`
	_, err := Parse("f.yaml", []byte(text))
	var ps strict.Problems
	if !errors.Is(err, ErrConfig) || !errors.As(err, &ps) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range ps {
		got = append(got, p.Error())
	}
	want := []string{
		`f.yaml:1:10: version: "two" is not a whole number`,
		`f.yaml:2:1: colour: unknown key (known: gadget, network, routing, serve, version)`,
		`f.yaml:4:15: network.nat-metric: "-5" is not a whole number from 0 to 4294967295`,
		`f.yaml:5:17: network.first-metric: "4294967296" is not a whole number from 0 to 4294967295`,
		`f.yaml:6:8: network.dns: "perhaps" is not one of keep, demote`,
		`f.yaml:7:9: network.lazy: "3" is not true or false`,
		`f.yaml:9:3: network.bring-up: given twice; first in line 8`,
		`f.yaml:11:59: network.nics[0].match.role: "bridge" is not one of nat, bridged, host-only, gadget, wifi, vpn, container, other`,
		`f.yaml:15:21: network.nics[1].route-metric: contradicts manage: false`,
		`f.yaml:18:7: network.nics[3]: the same IPv4 metric 8 as nics[2]: two NICs with equal metrics share or fight over the traffic`,
		`f.yaml:20:21: network.nics[4].route-metric: the rule has no match, so every NIC would get the same metric`,
		`f.yaml:21:21: network.nics[5].match.path: "[" is no pattern: syntax error in pattern`,
		`f.yaml:22:17: network.nics[6].bring-up: with neither dhcp4 nor dhcp6 there is nothing to bring it up with`,
		`f.yaml:25:14: network.nics[7].match: should be a mapping (key: value), is a list`,
		`f.yaml:26:27: network.nics[8].match.macaddress: 8 is a number; put quotes around it to make it text`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// What a wrong value kept from being looked at is told once the value is mended.
	fixed := strings.Replace(text, "role: bridge}", "role: bridged}", 1)
	_, err = Parse("f.yaml", []byte(fixed))
	for _, want := range []string{
		`f.yaml:11:21: network.nics[0].match.name: "eth[" is no pattern: syntax error in pattern`,
		`f.yaml:11:41: network.nics[0].match.macaddress: "08:00:27" is no MAC address like 08:00:27:aa:bb:cc`,
		`f.yaml:12:21: network.nics[0].route-metric: 0 is no usable metric`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from %v", want, err)
		}
	}
}

func TestParseVersions(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "version: missing"},
		{"network: {}\n", "f.yaml:1:1: version: missing"},
		{"version: 2\n", "f.yaml:1:10: version: 2 is newer than this program, which knows 1"},
		{"version: -1\n", "f.yaml:1:10: version: -1 is no version"},
		{"hello\n", "f.yaml:1:1: should be a mapping (key: value), is text"},
		{"a: [\n", "f.yaml:1:1: "},
		{"version: 1\nnetwork: {nat-metric: 5, first-metric: 10}\n", "f.yaml:2:23: network.nat-metric: 5 would not lose against first-metric 10"},
	} {
		_, err := Parse("f.yaml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%q: %v, want one problem: %q", tt.text, err, tt.want)
		}
	}
	if c, err := Parse("f.yaml", []byte("version: 1\n")); err != nil || !c.Network.Empty() {
		t.Errorf("a file that says nothing: %+v, %v", c, err)
	}
}

// One clear error each, and the reading neither blocks nor fills the memory.
func TestLoadRefuses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("owners, modes and FIFOs as Linux has them")
	}
	dir := t.TempDir()
	good := []byte("version: 1\n")
	write := func(name string, text []byte, mode fs.FileMode) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	trusts := os.Geteuid() == 0 // only root has something to lose
	cases := []struct {
		name, path, want string
		root             bool
	}{
		{"missing", filepath.Join(dir, "nowhere.yaml"), "no such file", false},
		{"a folder", dir, "not a regular file", false},
		{"2 MB", write("big.yaml", bytes.Repeat([]byte("# x\n"), 1<<19), 0o600), "larger than 1048577 bytes", false},
		{"a FIFO", fifo(t, filepath.Join(dir, "fifo.yaml")), "not a regular file", false},
		{"a device", "/dev/zero", "not a regular file", false},
		{"a dangling link", symlink(t, "nowhere", filepath.Join(dir, "dangling.yaml")), "no such file", false},
		{"writable by the group", write("group.yaml", good, 0o664), "writable by others (mode 0664)", true},
		{"writable by others", write("others.yaml", good, 0o602), "chmod go-w " + filepath.Join(dir, "others.yaml"), true},
	}
	if trusts {
		foreign := write("foreign.yaml", good, 0o600)
		if err := os.Chown(foreign, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, struct {
			name, path, want string
			root             bool
		}{"another user's", foreign, "belongs to user 65534, not to root", true})
		open := filepath.Join(dir, "open")
		if err := os.Mkdir(open, 0o755); err != nil {
			t.Fatal(err)
		}
		in := filepath.Join(open, "p.yaml")
		if err := os.WriteFile(in, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(open, 0o777); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, struct {
			name, path, want string
			root             bool
		}{"in a folder of all", in, "the folder " + open + " is writable by others", true},
			struct {
				name, path, want string
				root             bool
			}{"a link to another user's", symlink(t, foreign, filepath.Join(dir, "link.yaml")), "belongs to user 65534", true})
	}
	for _, tt := range cases {
		if tt.root && !trusts {
			t.Logf("%s: left out, only root refuses it", tt.name)
			continue
		}
		done := make(chan error, 1)
		go func() {
			_, _, err := Load("/", tt.path)
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want %q in one line", tt.name, err, tt.want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: blocked", tt.name)
		}
	}
	if _, _, err := Load("/", write("good.yaml", good, 0o644)); err != nil {
		t.Errorf("a good file: %v", err)
	}
}

func symlink(t *testing.T, target, path string) string {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// The first file that is there counts, also when it is wrong; a file on the boot
// partition is anybody's to write and may be so.
func TestLoadPlaces(t *testing.T) {
	root := t.TempDir()
	if c, s, err := Load(root, ""); err != nil || !s.BuiltIn || !c.Network.Empty() {
		t.Fatalf("without any file: %+v, %v, %v", c, s, err)
	}
	put := func(path, text string, mode fs.FileMode) {
		t.Helper()
		p := filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o600), os.Chmod(p, mode)); err != nil {
			t.Fatal(err)
		}
	}
	put("/boot/firmware/provision.yaml", "version: 1\nnetwork: {nat-metric: 700}\n", 0o777)
	if c, s, err := Load(root, ""); err != nil || !s.Boot || c.Network.NATMetric != 700 || s.String() != "/boot/firmware/provision.yaml" {
		t.Errorf("from the boot partition: %+v, %v, %v", c, s, err)
	}
	put(DefaultPath, "version: 1\nnetwork: {nat-metric: 800}\n", 0o644)
	if c, s, err := Load(root, ""); err != nil || s.Boot || c.Network.NATMetric != 800 {
		t.Errorf("from /etc: %+v, %v, %v", c, s, err)
	}
	put(DefaultPath, "versoin: 1\n", 0o644)
	if _, _, err := Load(root, ""); err == nil || !strings.Contains(err.Error(), DefaultPath+":1:1: versoin: unknown key (did you mean \"version\"?)") {
		t.Errorf("a wrong file in /etc: %v", err)
	}
}

// Whatever the bytes, the answer is a configuration that has no problems, or problems
// in words with the file's name.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "version: 1\n", "version: 1\nnetwork:\n  nics:\n    - match: {name: eth0}\n      route-metric: 5\n",
		"version: 1\nnetwork: {nat-metric: 1, first-metric: 4294967295}\n", "network:\n nics:\n - match: {path: \"[\", role: x}\n - bring-up: yes\n",
		"version: &a 1\nnetwork: *a\n", "version: 1\nnetwork:\n  nics: [{}, {dhcp4-overrides: {route-metric: 0}}]\n", "version: 1\nnetwork: !!str x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f.yaml", text)
		if err == nil {
			if c.Version != 1 || len(c.Network.Problems()) > 0 {
				t.Fatalf("accepted %+v", c)
			}
			return
		}
		var ps strict.Problems
		if !errors.Is(err, ErrConfig) || !errors.As(err, &ps) || len(ps) == 0 {
			t.Fatalf("no problems in %v", err)
		}
		for i, p := range ps {
			if p.File != "f.yaml" || p.Text == "" || i > 0 && p.Line < ps[i-1].Line {
				t.Fatalf("problem %d of %v", i, ps)
			}
		}
	})
}

// A card that lay in another computer must not say what root runs.
func TestCardsNameNoCommands(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "boot/firmware/provision.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(reaction string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("version: 1\nrouting: {watch: {reactions: [{name: x, interfaces: [eth0], "+reaction+"}]}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("run: [/bin/true]")
	if _, _, err := Load(root, ""); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "reactions[0].run") {
		t.Errorf("a command on a boot partition: %v", err)
	}
	write("action: restart-kube-proxy")
	if _, _, err := Load(root, ""); err != nil {
		t.Errorf("an action of our own: %v", err)
	}
}
