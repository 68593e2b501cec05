package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/file"
)

// bullseye is a machine with dhcpcd, whose NICs apply wants something of, and a gadget.
type bullseye struct {
	t     *testing.T
	agent *Agent
	facts *facts.Facts
	fs    *host.Fake
	e     *provision.Engine
}

const dhcpcdAsShipped = "hostname\nduid\npersistent\noption rapid_commit\nslaac private\n"

func newBullseye(t *testing.T) *bullseye {
	b := &bullseye{t: t, facts: backendtest.Dhcpcd("10.1.0"), fs: host.NewFake(t)}
	usb := usbMachine()
	b.facts.USB, b.facts.Machine.Serial, b.facts.Machine.Kernel = usb.USB, usb.Machine.Serial, usb.Machine.Kernel
	c := gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Modern}}
	b.agent = &Agent{Options: Options{Root: t.TempDir(), Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1, Gadget: c}}, backends: managers()}
	b.fs.Put(gadget.DhcpcdFile, dhcpcdAsShipped)
	b.fs.PutFile(filepath.Dir(GadgetPath), host.File{Mode: 0o755 | os.ModeDir})
	store, err := provision.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.e = &provision.Engine{Resources: map[string]provision.Resource{file.Kind: &file.Resource{FS: b.fs}}, Store: store}
	return b
}

func (b *bullseye) text() string {
	got, err := b.fs.ReadFile(gadget.DhcpcdFile, 1<<20)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(got)
}

// look is the machine as it is now.
func (b *bullseye) look(context.Context) (*facts.Facts, error) {
	f := *b.facts
	f.Files = maps.Clone(f.Files)
	have := f.Files[gadget.DhcpcdFile]
	have.Text = b.text()
	f.Files[gadget.DhcpcdFile] = have
	return &f, nil
}

// run applies what of d is about the two files that count here, and says how much was written.
func (b *bullseye) run(d provision.Desired, scoped bool) uint64 {
	b.t.Helper()
	files := provision.Desired{}
	for _, w := range d.Wants {
		if w.Ref == file.Ref(gadget.DhcpcdFile) || w.Ref == file.Ref(GadgetPath) {
			files.Wants = append(files.Wants, w)
		}
	}
	b.e.Scope = nil
	if scoped {
		var err error
		if b.e.Scope, err = b.agent.gadgetScope(d); err != nil {
			b.t.Fatal(err)
		}
	}
	before := b.fs.Writes()
	if _, err := b.e.Apply(b.t.Context(), files, provision.ApplyOptions{}); err != nil {
		b.t.Fatal(err)
	}
	// The agent reads it from the disk.
	path := filepath.Join(b.agent.Root, GadgetPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if text, err := b.fs.ReadFile(GadgetPath, 1<<20); err == nil {
		err = os.WriteFile(path, text, 0o600)
		if err != nil {
			b.t.Fatal(err)
		}
	} else {
		os.Remove(path)
	}
	return b.fs.Writes() - before
}

func (b *bullseye) apply() (gadget.Result, uint64) {
	b.t.Helper()
	f, _ := b.look(b.t.Context())
	g, err := b.agent.goal(b.t.Context(), f)
	if err != nil {
		b.t.Fatal(err)
	}
	return g.Gadget, b.run(g.Desired, false)
}

func (b *bullseye) up() (gadget.Result, uint64) {
	b.t.Helper()
	f, _ := b.look(b.t.Context())
	c, configured := b.agent.gadgetConfig()
	r, err := b.agent.gadgetPlanOf(b.t.Context(), f, c, configured)
	if err != nil {
		b.t.Fatal(err)
	}
	return r, b.run(r.Desired, true)
}

func (b *bullseye) down() {
	b.t.Helper()
	d, err := b.agent.downGoal(b.t.Context(), b.e, b.look)
	if err != nil {
		b.t.Fatal(err)
	}
	b.run(d, true)
}

func (b *bullseye) is(when string, gadget, nics bool) {
	b.t.Helper()
	text := b.text()
	if strings.Contains(text, "denyinterfaces usb0\n") != gadget || strings.Contains(text, "interface enp0s3\n") != nics || !strings.HasPrefix(text, "hostname\n") {
		b.t.Errorf("%s (gadget %v, NICs %v):\n%s", when, gadget, nics, text)
	}
}

// What of dhcpcd.conf is the gadget's comes and goes with it, what is the NICs' stays, and each of
// the two commands finds what the other one did as it should be.
func TestDhcpcdConfOfTwo(t *testing.T) {
	for name, first := range map[string]string{"apply first": "apply", "gadget up first": "up", "gadget up alone": ""} {
		t.Run(name, func(t *testing.T) {
			b := newBullseye(t)
			if first != "apply" {
				b.up()
				b.is("up", true, false)
			}
			if first == "" {
				b.down()
				if got := b.text(); got != dhcpcdAsShipped {
					t.Fatalf("down leaves\n%s", got)
				}
				if s, err := b.e.Status(t.Context()); err != nil || s.Refs != 0 {
					t.Errorf("%+v, %v", s, err)
				}
				return
			}
			applied, _ := b.apply()
			b.is("apply", true, true)
			upped, n := b.up()
			if n != 0 {
				t.Errorf("gadget up after apply wrote %d times:\n%s", n, b.text())
			}
			same(t, applied, upped)
			if again, n := b.apply(); n != 0 {
				t.Errorf("apply after gadget up wrote %d times:\n%s", n, b.text())
			} else {
				same(t, upped, again)
			}
			b.down()
			b.is("down", false, true)
			b.down()
			b.is("down again", false, true)
			b.up()
			b.is("up again", true, true)
			if _, n := b.apply(); n != 0 {
				t.Errorf("apply after that wrote %d times:\n%s", n, b.text())
			}
			b.down()
			if _, err := b.e.Revert(t.Context(), false); err != nil || b.text() != dhcpcdAsShipped {
				t.Errorf("revert: %v\n%s", err, b.text())
			}
		})
	}
}

// same compares all that two plans want.
func same(t *testing.T, a, b gadget.Result) {
	t.Helper()
	for i := range max(len(a.Desired.Wants), len(b.Desired.Wants)) {
		if i >= len(a.Desired.Wants) || i >= len(b.Desired.Wants) || !reflect.DeepEqual(a.Desired.Wants[i], b.Desired.Wants[i]) {
			one, _ := json.Marshal(a.Desired.Wants)
			two, _ := json.Marshal(b.Desired.Wants)
			t.Fatalf("want %d differs:\n%s\n%s", i, one, two)
		}
	}
}
