package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/gadget/verdict"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/linkname"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/usbgadget"
	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

const controller = "20980000.usb"

// pi is a machine whose configfs is the kernel's in memory, with the watch's hands on it.
type pi struct {
	t      *testing.T
	kernel *fakekernel.Kernel
	net    map[string]told // links, addresses, names, by kind
	routes []facts.Route
	hands  life.Planner
	agent  *Agent
}

func newPi(t *testing.T) *pi {
	nstest.Network(t)
	for _, dir := range []string{"/var/lib", "/run"} {
		nstest.Mount(t, "tmpfs", dir, "tmpfs", 0, "")
	}
	if err := os.MkdirAll(filepath.Dir(GadgetPath), 0o700); err != nil {
		t.Fatal(err)
	}
	p := &pi{t: t, kernel: fakekernel.New(controller), net: map[string]told{}}
	a, err := New(Options{Root: "/", StateDir: DefaultStateDir, Log: slog.New(slog.DiscardHandler),
		Config: Config{Version: 1, Gadget: gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Auto, RNDIS: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	a.gather, a.equip = p.facts, p.equip
	p.agent = a
	if _, err := a.GadgetUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.hands = &following{watch: &gadgetWatch{agent: a, root: a.Root, log: a.Log}, device: gadget.Device{Name: "provision", UDC: controller}}
	return p
}

func (p *pi) equip(e *provision.Engine) {
	for kind, r := range usbgadget.Resources(p.kernel, "") {
		e.Resources[kind] = r
	}
	for _, kind := range []string{link.Kind, linkname.Kind, address.Kind, bridge.Kind, bridge.PortKind, sysctl.Kind} {
		if p.net[kind] == nil {
			p.net[kind] = told{}
		}
		e.Resources[kind] = p.net[kind]
	}
}

func (p *pi) read(name string) string {
	text, _ := p.kernel.ReadFile(name, 1<<16) // what is not there reads as nothing
	return strings.TrimSpace(string(text))
}

func (p *pi) list(dir string) (out []string) {
	entries, _ := p.kernel.ReadDir(dir)
	for _, e := range entries {
		out = append(out, e.Name)
	}
	return out
}

// facts is what the machine would tell of itself.
func (p *pi) facts(context.Context) (*facts.Facts, error) {
	f := usbMachine()
	f.USB.Controllers = nil
	for _, u := range p.list(fakekernel.Controllers) {
		f.USB.Controllers = append(f.USB.Controllers, facts.UDC{Name: u, Driver: "dwc2", State: "configured", Function: p.read(fakekernel.Controllers + "/" + u + "/function")})
	}
	all := fakekernel.Mount + "/usb_gadget"
	for _, name := range p.list(all) {
		g := facts.Gadget{Name: name, UDC: p.read(path.Join(all, name, "UDC")), Device: p.read(path.Join(all, name, "bcdDevice"))}
		for _, fn := range p.list(path.Join(all, name, "functions")) {
			typ, _, _ := strings.Cut(fn, ".")
			g.Functions = append(g.Functions, facts.GadgetFunction{Name: fn, Type: typ, Dev: p.read(path.Join(all, name, "functions", fn, "dev_addr"))})
		}
		f.USB.Gadgets = append(f.USB.Gadgets, g)
	}
	f.Routes = p.routes
	return f, nil
}

// is checks that a profile is up, wholly: in configfs, bound, written down, and nothing else is.
func (p *pi) is(when, profile string, functions ...string) {
	p.t.Helper()
	if got := p.list(fakekernel.Mount + "/usb_gadget/provision/functions"); !slices.Equal(got, functions) {
		p.t.Errorf("%s: the functions are %q, want %q", when, got, functions)
	}
	if got := p.read(fakekernel.Controllers + "/" + controller + "/function"); got != "provision" || len(p.kernel.Interfaces(controller)) == 0 {
		p.t.Errorf("%s: the controller has %q: %v", when, got, p.kernel.Interfaces(controller))
	}
	s, err := p.agent.gadgetState()
	if err != nil || len(s.Devices) != 1 || s.Devices[0].Profile != profile {
		p.t.Errorf("%s: %+v is written down (%v), want %s", when, s.Devices, err, profile)
	}
	if p.agent.again != nil {
		p.t.Errorf("%s: the next one would plan of what is past", when)
	}
}

// subnet is the IPv4 network of the only link, as it is written down and as it is on the machine.
func (p *pi) subnet() netip.Prefix {
	p.t.Helper()
	s, err := p.agent.gadgetState()
	if err != nil || len(s.Links) != 1 {
		p.t.Fatalf("%+v, %v", s.Links, err)
	}
	at := s.Links[0].Addresses[0]
	n := 0
	for name, attrs := range p.net[address.Kind] {
		if _, a, _ := strings.Cut(name, " "); attrs != nil && strings.Contains(a, ".") {
			if n++; a != at.String() {
				p.t.Errorf("%s is on the machine, %s is written down", name, at)
			}
		}
	}
	if n != 1 {
		p.t.Errorf("%d IPv4 addresses on the machine: %v", n, p.net[address.Kind])
	}
	return at.Masked()
}

var (
	modernHas  = []string{"acm.GS0", "ncm.usb0"}
	classicHas = []string{"ecm.usb0", "rndis.usb1"}
)

func TestSwitchOfTheWatch(t *testing.T) {
	p := newPi(t)
	p.is("up", gadget.Modern, modernHas...)
	do := func(profile verdict.Profile) error { return p.hands.Switch(t.Context(), profile) }
	if err := do(verdict.Classic); err != nil {
		t.Fatal(err)
	}
	p.is("classic", gadget.Classic, classicHas...)
	changes, unplugs := p.kernel.Changes(), p.kernel.Unplugs()
	if err := do(verdict.Classic); err != nil || p.kernel.Changes() != changes || p.kernel.Unplugs() != unplugs {
		t.Errorf("classic once more: %v, %d changes, %d unplugs", err, p.kernel.Changes()-changes, p.kernel.Unplugs()-unplugs)
	}
	if err := do(verdict.Modern); err != nil {
		t.Fatal(err)
	}
	p.is("modern again", gadget.Modern, modernHas...)
	// An edit of the file meanwhile is nothing that a switch of the watch takes over.
	p.agent.Config.Gadget.Profile = gadget.Rescue
	if err := do(verdict.Classic); err != nil {
		t.Fatal(err)
	}
	p.is("with another file", gadget.Classic, classicHas...)
	// What was taken down stays down.
	if _, err := p.agent.GadgetDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := do(verdict.Modern); err != nil || len(p.list(fakekernel.Mount+"/usb_gadget")) != 0 {
		t.Errorf("after down: %v, %s", err, p.kernel)
	}
}

func TestFailedSwitchKeepsTheOldProfile(t *testing.T) {
	p := newPi(t)
	p.kernel.Kinds = slices.DeleteFunc(p.kernel.Kinds, func(k string) bool { return k == "rndis" }) // and the facts do not know
	if err := p.hands.Switch(t.Context(), verdict.Classic); err == nil || !strings.Contains(err.Error(), "rndis") {
		t.Fatalf("it was switched: %v", err)
	}
	p.is("failed", gadget.Modern, modernHas...)
	changes := p.kernel.Changes()
	if err := p.hands.Readdress(t.Context()); err != nil || p.kernel.Changes() != changes {
		t.Errorf("the next step is of classic still: %v, %d changes", err, p.kernel.Changes()-changes)
	}
	p.kernel.Kinds = append(p.kernel.Kinds, "rndis")
	if err := p.hands.Switch(t.Context(), verdict.Classic); err != nil {
		t.Fatal(err)
	}
	p.kernel.Kinds = []string{"ecm", "rndis"}
	if err := p.hands.Switch(t.Context(), verdict.Modern); err == nil {
		t.Fatal("it was switched to modern")
	}
	p.is("failed back", gadget.Classic, classicHas...)
}

func TestReaddressOfTheWatch(t *testing.T) {
	p := newPi(t)
	first := p.subnet()
	unplugs := p.kernel.Unplugs()
	if err := p.hands.Readdress(t.Context()); err != nil || p.subnet() != first {
		t.Errorf("without a reason: %v, %s became %s", err, first, p.subnet())
	}
	p.routes = []facts.Route{{Dst: netip.PrefixFrom(first.Addr(), 16).Masked(), Link: 2, Table: 254, Type: "unicast"}}
	if err := p.hands.Readdress(t.Context()); err != nil {
		t.Fatal(err)
	}
	moved := p.subnet()
	if moved.Overlaps(p.routes[0].Dst) {
		t.Errorf("%s is in %s still", moved, p.routes[0].Dst)
	}
	if p.kernel.Unplugs() != unplugs {
		t.Error("the host has seen an unplug for it")
	}
	p.is("moved", gadget.Modern, modernHas...)
}

func TestControllerReturns(t *testing.T) {
	p := newPi(t)
	at := p.subnet()
	if err := p.hands.Switch(t.Context(), verdict.Classic); err != nil {
		t.Fatal(err)
	}
	p.kernel.RemoveUDC(controller)
	// Nothing is there to be bound to: an error, and what is to be is not forgotten.
	if err := p.hands.Restore(t.Context()); err == nil {
		t.Error("restored without a controller")
	}
	p.kernel.AddUDC(controller)
	if err := p.hands.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.is("the controller is back", gadget.Classic, classicHas...)
	// The kernel fails when it is half done, which is known of network functions on a controller that
	// comes again: the next one that comes has it back.
	kinds := p.kernel.Kinds
	p.kernel.Kinds = nil
	if err := p.hands.Restore(t.Context()); err == nil || len(p.list(fakekernel.Mount+"/usb_gadget")) != 0 {
		t.Errorf("restored without functions: %v\n%s", err, p.kernel)
	}
	p.kernel.Kinds = kinds
	if err := p.hands.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.is("after a failure", gadget.Classic, classicHas...)
	if err := p.hands.Switch(t.Context(), verdict.Modern); err != nil || p.subnet() != at {
		t.Errorf("%v: %s became %s", err, at, p.subnet())
	}
	// Who takes it down meanwhile has nothing to take down, and does not want it back all the same.
	p.kernel.Kinds = nil
	if err := p.hands.Restore(t.Context()); err == nil || !p.agent.owes() {
		t.Fatalf("restored without functions: %v", err)
	}
	if _, err := p.agent.GadgetDown(t.Context()); err != nil || p.agent.owes() {
		t.Fatal(err)
	}
	p.kernel.Kinds = kinds
	if err := p.hands.Restore(t.Context()); err != nil || len(p.list(fakekernel.Mount+"/usb_gadget")) != 0 {
		t.Errorf("after down: %v\n%s", err, p.kernel)
	}
}
