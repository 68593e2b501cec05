package forward

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// world is a box whose device wan0 hears a router's advertisements.
type world struct {
	*testing.T
	box, router *nstest.NS
	r           *sysctl.Resource
}

func newWorld(t *testing.T) *world {
	t.Helper()
	box, router := nstest.New(t), nstest.New(t)
	box.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0\nsysctl -qw net.ipv6.conf.default.accept_ra=1")
	router.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	box.Pair("wan0", router, "lan0")
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &world{t, box, router, &sysctl.Resource{Files: root, Devices: netdev.Read}}
}

// advertise sends one router advertisement from the router.
func (w *world) advertise() {
	w.Helper()
	var err error
	w.router.Do(func() {
		err = within(5*time.Second, func() error { // the link-local address comes with the carrier
			ifi, err := interfaceByName("lan0")
			if err != nil {
				return err
			}
			c, _, err := ndp.Listen(ifi, ndp.LinkLocal)
			if err != nil {
				return err
			}
			defer c.Close()
			return c.WriteTo(&ndp.RouterAdvertisement{CurrentHopLimit: 64, RouterLifetime: 30 * time.Minute}, nil, netip.MustParseAddr("ff02::1"))
		})
	})
	if err != nil {
		w.Fatalf("cannot advertise: %v", err)
	}
}

// hasDefault waits until the box has a default route from an advertisement, or until want is false has none.
func (w *world) hasDefault(want bool) bool {
	for end := time.Now().Add(3 * time.Second); ; {
		out := w.box.Sh("ip -6 route show default")
		if strings.Contains(out, "proto ra") == want {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		if want {
			w.advertise()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// set brings wants about in their order. It returns what was there before the first of them, as
// the engine's snapshot has it, in the reverse order.
func (w *world) set(wants []provision.Want) (before []provision.Want) {
	w.Helper()
	var err error
	each := func(f func(want provision.Want, have provision.Attrs) error) {
		w.Helper()
		w.box.Do(func() {
			for _, want := range wants {
				if want.Kind != sysctl.Kind {
					continue
				}
				var have provision.Attrs
				if have, err = w.r.Get(context.Background(), want.Name); err != nil || have == nil && want.Mode == provision.IfPresent {
					continue
				}
				if err = f(want, have); err != nil {
					return
				}
			}
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	each(func(want provision.Want, have provision.Attrs) error {
		before = append([]provision.Want{{Ref: want.Ref, Attrs: have}}, before...)
		return nil
	})
	each(func(want provision.Want, have provision.Attrs) error {
		return w.r.Set(context.Background(), want.Name, have, want.Attrs)
	})
	return before
}

func (w *world) value(path string) string {
	w.Helper()
	return strings.TrimSpace(w.box.Sh("cat /proc/sys/net/" + path))
}

func (w *world) plan() []provision.Want {
	f := &facts.Facts{
		Links: []facts.Link{{Index: 2, Name: "wan0", Kind: "veth", Up: true, Sysctl: map[string]string{
			"ipv6.accept_ra": w.value("ipv6/conf/wan0/accept_ra"), "ipv4.forwarding": w.value("ipv4/conf/wan0/forwarding"), "ipv6.forwarding": w.value("ipv6/conf/wan0/forwarding")}}},
		Sysctl: map[string]string{Forward4: w.value("ipv4/ip_forward"), Forward6: w.value("ipv6/conf/all/forwarding")},
	}
	return Plan(Input{Facts: f, Config: Config{Forwarding: "yes"}, Uplinks: []string{"wan0"}}).Wants
}

func TestDefaultRouteSurvives(t *testing.T) {
	w := newWorld(t)
	if !w.hasDefault(true) {
		t.Fatal("no default route from the advertisement")
	}
	before := w.set(w.plan())
	if w.value("ipv4/ip_forward") != "1" || w.value("ipv6/conf/all/forwarding") != "1" || w.value("ipv6/conf/wan0/accept_ra") != "2" {
		t.Fatal("not forwarding")
	}
	if !strings.Contains(w.box.Sh("ip -6 route show default"), "proto ra") {
		t.Error("turning forwarding on lost the default route")
	}
	// A later advertisement is heard: a route that was taken away comes back.
	w.box.Sh("ip -6 route del default")
	if !w.hasDefault(true) {
		t.Error("advertisements are ignored while forwarding")
	}
	// Planned again it asks for what is.
	w.set(w.plan())
	// And back, in the reverse order: everything is as it was, the route stays.
	w.set(before)
	w.set(before) // accept_redirects was dragged along by the switch after it had been put back
	for path, want := range map[string]string{"ipv4/ip_forward": "0", "ipv6/conf/all/forwarding": "0", "ipv6/conf/wan0/accept_ra": "1", "ipv4/conf/all/accept_redirects": "1", "ipv4/conf/wan0/forwarding": "0"} {
		if got := w.value(path); got != want {
			t.Errorf("back, %s is %s, want %s", path, got, want)
		}
	}
	if !strings.Contains(w.box.Sh("ip -6 route show default"), "proto ra") {
		t.Error("going back lost the default route")
	}
}

// The negative control: without accept_ra 2 the kernel takes the route away and hears no more.
func TestDefaultRouteIsLostWithout(t *testing.T) {
	w := newWorld(t)
	if !w.hasDefault(true) {
		t.Fatal("no default route from the advertisement")
	}
	var switches []provision.Want
	for _, want := range w.plan() {
		if strings.HasPrefix(want.Name, "global ") {
			switches = append(switches, want)
		}
	}
	w.set(switches)
	if !w.hasDefault(false) {
		t.Fatal("the default route survived: this kernel does not need accept_ra 2")
	}
	w.advertise()
	w.advertise()
	if strings.Contains(w.box.Sh("ip -6 route show default"), "proto ra") {
		t.Error("an advertisement was heard while forwarding with accept_ra 1")
	}
}

// What stands in the file is what systemd-sysctl makes of it, dots in names of devices included.
func TestFileAsSystemdReadsIt(t *testing.T) {
	const judge = "/usr/lib/systemd/systemd-sysctl"
	box := nstest.New(t)
	box.Sh("ip link add eth0.100 type veth peer name eth1\nip link add eth2 type veth peer name eth3\nsysctl -qw net.ipv4.ip_forward=0\nsysctl -qw net.ipv4.conf.all.rp_filter=0\nsysctl -qw net.ipv4.conf.eth2.rp_filter=0\nsysctl -qw net.ipv4.conf.lo.rp_filter=0")
	if out, err := box.Try(judge + " --version"); err != nil {
		t.Skipf("skipped: no %s: %s", judge, out)
	}
	conf := t.TempDir() + "/60-provision.conf"
	writeFile(t, conf, text([]line{{"net/ipv6/conf/eth0.100/accept_ra", "2", "why"}, {"net/ipv4/conf/eth*/rp_filter", "2", ""}, {"net/ipv4/conf/eth2/rp_filter", "", ""},
		{"net/ipv4/conf/gone0/rp_filter", "2", ""}, {"net/ipv4/ip_forward", "1", ""}, {"net/ipv6/conf/all/forwarding", "1", ""}}))
	box.Sh(judge + " " + conf)
	for path, want := range map[string]string{"ipv6/conf/eth0.100/accept_ra": "2", "ipv4/conf/eth1/rp_filter": "2", "ipv4/conf/lo/rp_filter": "0", "ipv4/conf/eth2/rp_filter": "0", "ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"} {
		if got := strings.TrimSpace(box.Sh("cat /proc/sys/net/" + path)); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
