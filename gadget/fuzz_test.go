package gadget

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/linkname"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// dice draw from bytes; when they are used up it is always the first.
type dice struct{ b []byte }

func (d *dice) n(most int) int {
	if len(d.b) == 0 {
		return 0
	}
	v := int(d.b[0]) % most
	d.b = d.b[1:]
	return v
}

func pick[T any](d *dice, from ...T) T { return from[d.n(len(from))] }

func some[T any](d *dice, from ...T) []T {
	var out []T
	for range d.n(3) {
		out = append(out, pick(d, from...))
	}
	return out
}

func (d *dice) gadget(free string, profile ...string) Gadget {
	power := uint16(d.n(3) * 250)
	g := Gadget{Profile: pick(d, profile...), RNDIS: d.n(2) == 0, Router: pick(d, "", "none", "full", "split", "client", free), UDC: pick(d, "", "", "auto", "dummy_udc.0", free),
		Bridge: pick(d, "", "", "br-usb", free), VendorID: pick(d, "", "", "0x1209", free), ProductID: pick(d, "", "0001", free), Product: pick(d, "", free), Serial: pick(d, "", "S1", free),
		Addresses: some(d, "auto", "10.55.0.1/24", "fd00:1::1/64", "169.254.1.1/16", free), Interfaces: some(d, "usb0", "ncm0", free), HostOUI: pick(d, "", "", "00:11:22", free),
		MTU: pick[uint16](d, 0, 0, 1420, 7), RNDISClass: pick(d, "", "e0/01/03", "ef/04/01"), SelfPowered: d.n(2) == 0, RemoteWakeup: d.n(2) == 0, LED: pick(d, "", "ACT", free)}
	if g.Router == "split" || d.n(8) == 7 {
		g.Routes = append(some(d, "10.8.0.0/16", "fd08::/32", free), "10.9.0.0/16")
	}
	if d.n(2) == 1 {
		g.MaxPower = &power
	}
	if g.Profile == Custom {
		for range 1 + d.n(5) {
			f := Function{Type: pick(d, "ncm", "ecm", "rndis", "eem", "acm", "mass-storage", "hid", free), Configuration: uint8(d.n(3))}
			switch f.Type {
			case "acm":
				f.Login = d.n(2) == 0
			case "mass-storage":
				f.Image, f.Writable, f.CDROM = pick(d, "/srv/a.img", "/dev/sda1", "/boot/x", free), d.n(3) == 1, d.n(2) == 1
			case "hid":
				f.Report, f.ReportLength, f.Protocol = pick(d, "05010906", "0501", free), uint16(d.n(20)), uint8(d.n(3))
			default:
				f.Interface, f.MAC, f.HostMAC = pick(d, "", "", "n0", "n1", free), pick(d, "", "", "02:00:00:00:00:01", free), pick(d, "", "", "02:00:00:00:00:02", free)
				f.Router, f.Addresses = pick(d, "", "", "full", "client", free), some(d, "auto", "10.66.0.1/24", free)
			}
			g.Functions = append(g.Functions, f)
		}
	}
	return g
}

// tamed leaves out most of what is wrong, so that more than the refusals is seen.
func tamed(g *Gadget, n int) {
	if g.Profile == "" {
		g.Profile = Modern
	}
	if !slices.Contains([]string{RouterFull, RouterSplit, RouterClient}, g.Router) || g.Profile == Rescue {
		g.Router = ""
	}
	if g.Router != RouterSplit {
		g.Routes = nil
	} else {
		g.Routes = []string{"10.9.0.0/16"}
	}
	g.UDC, g.VendorID, g.ProductID, g.Interfaces, g.Addresses, g.MTU, g.LED, g.MaxPower = "", "", "", nil, nil, 0, "", nil
	if g.Bridge != "" && g.Profile != Rescue {
		g.Bridge = fmt.Sprintf("br%d", n)
	} else {
		g.Bridge = ""
	}
	single := false
	for i := range g.Functions {
		f := &g.Functions[i]
		single = single || !network(f.Type)
		f.Interface, f.MAC, f.HostMAC, f.Addresses, f.Router = "", "", "", nil, ""
		switch f.Type {
		case "ncm", "ecm", "eem":
			if i%2 == 1 {
				f.Interface = fmt.Sprintf("n%d.%d", n, i)
			}
		case "mass-storage":
			f.Image, f.CDROM = "/srv/a.img", f.CDROM && !f.Writable
		case "hid":
			f.Report, f.ReportLength = "0501", 8
		case "acm":
		case "rndis":
			g.RNDIS = true
			if i > 0 {
				f.Type = "ecm"
			}
		default:
			f.Type = "ncm"
		}
	}
	for i := range g.Functions {
		if single {
			g.Functions[i].Configuration = 0
		} else {
			g.Functions[i].Configuration = uint8(min(i+1, 2))
		}
	}
	if !slices.ContainsFunc(g.Functions, func(f Function) bool { return network(f.Type) }) && g.Profile == Custom {
		g.Router, g.Routes, g.Bridge = "", nil, ""
	}
}

func (d *dice) draw(free string) (Input, Config) {
	f := pick(d, zeroW, zero2W, pi4, virtual)()
	if d.n(3) == 1 {
		f.Machine.Serial = free
	}
	if d.n(4) == 1 {
		f.Machine.Offline = true
	}
	f.Machine.Init = pick(d, "systemd", "systemd", "openrc")
	for range d.n(6) {
		a := netip.AddrFrom4([4]byte{byte(d.n(2) * 10), byte(d.n(256)), byte(d.n(256)), 0})
		f.Routes = append(f.Routes, facts.Route{Dst: netip.PrefixFrom(a, d.n(33)).Masked(), Link: 2, Table: uint32(d.n(256)), Type: "unicast"})
	}
	f.USB.Controllers = append(f.USB.Controllers, facts.UDC{Name: "dummy_udc.0", Function: pick(d, "", "", "g_ether", free)})
	if d.n(3) == 1 {
		f.USB.Gadgets = []facts.Gadget{{Name: pick(d, "provision", "g1", free), UDC: pick(d, "", "dummy_udc.0"), Functions: []facts.GadgetFunction{{Name: "acm.GS0", Type: "acm", Port: pick(d, "0", "3", free)}, {Name: "ncm.usb0", Type: "ncm", Dev: free}}}}
		f.Links = append(f.Links, facts.Link{Index: 5, Name: pick(d, "usb0", "br-usb", free), MAC: pick(d, "02:00:00:00:00:01", free), Kind: pick(d, "", "bridge")})
	}
	profiles := []string{Auto, Modern, Classic, Windows, Rescue, Custom, Custom, ""}
	tame := d.n(4) > 0
	c := Config{Gadget: d.gadget(free, profiles...)}
	for range d.n(3) {
		c.More = append(c.More, d.gadget(free, profiles...))
	}
	if tame {
		tamed(&c.Gadget, 0)
		for i := range c.More {
			tamed(&c.More[i], i+1)
		}
	}
	return Input{Facts: f, Settled: map[string]string{"provision": pick(d, "", Classic, free)}, Images: map[string]Image{"/srv/a.img": {Kind: "file", Path: "/srv/a.img"}, "/dev/sda1": {Kind: "block"}}}, c
}

// judgePlan: the same twice, all or nothing, and every want is one that its kind takes.
func judgePlan(t *testing.T, in Input, c Config) bool {
	t.Helper()
	r, err := Plan(in, c)
	again, err2 := Plan(in, c)
	if !reflect.DeepEqual(r, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
		t.Fatalf("twice the same is not the same: %v and %v", err, err2)
	}
	if err != nil {
		if !reflect.DeepEqual(r, Result{}) || !strings.HasPrefix(err.Error(), "gadget.") {
			t.Fatalf("half of it: %v, %+v", err, r)
		}
		return false
	}
	seen := map[string]bool{}
	macs := map[string]bool{}
	order := []string{usbgadget.KindGadget, usbgadget.KindFunction, usbgadget.KindConfig, usbgadget.KindOSDesc, usbgadget.KindUDC}
	last := map[string]int{}
	for _, w := range r.Desired.Wants {
		if seen[w.Ref.String()] {
			t.Fatalf("%s is wanted twice", w.Ref)
		}
		seen[w.Ref.String()] = true
		if w.Why == "" || w.Name == "" {
			t.Errorf("%s says not why", w.Ref)
		}
		name, _, ours := usbgadget.Split(w.Ref)
		if ours {
			at := slices.Index(order, w.Kind)
			if at < last[name] {
				t.Errorf("%s comes too late", w.Ref)
			}
			last[name] = at
		}
		switch w.Kind {
		case usbgadget.KindGadget:
			for _, k := range []string{"manufacturer", "product", "serialnumber"} {
				if why := badString(w.Attrs[k]); why != "" {
					t.Errorf("%s %s", k, why)
				}
			}
		case usbgadget.KindFunction:
			for _, k := range []string{"dev_addr", "host_addr"} {
				m, has := w.Attrs[k]
				if !has {
					continue
				}
				if b, err := parseBytes(m, 6); err != nil || b[0]&1 != 0 || macs[m] || m != strings.ToLower(m) {
					t.Errorf("%s of %s is %q", k, w.Ref, m)
				}
				macs[m] = true
			}
		case usbgadget.KindConfig:
			for _, f := range strings.Fields(w.Attrs[usbgadget.AttrFunctions]) {
				if !seen[usbgadget.KindFunction+":"+name+"/"+f] {
					t.Errorf("%s links %s, which is not there yet", w.Ref, f)
				}
			}
		case usbgadget.KindOSDesc:
			if c := w.Attrs[usbgadget.AttrConfig]; c != "" && !seen[usbgadget.KindConfig+":"+name+"/"+c] {
				t.Errorf("%s describes %s, which is not there", w.Ref, c)
			}
		case usbgadget.KindUDC:
			if w.Attrs[usbgadget.AttrUDC] == "" {
				t.Errorf("%s is bound to nothing", w.Ref)
			}
		case file.Kind, link.Kind, sysctl.Kind, linkname.Kind, address.Kind, bridge.Kind, bridge.PortKind:
		default:
			t.Errorf("unknown kind %s", w.Ref)
		}
	}
	for _, h := range r.Desired.Holds {
		if !seen[h.Ref.String()] {
			t.Errorf("a hold on %s, which nobody wants", h.Ref)
		}
	}
	var nets []netip.Prefix
	names := map[string]bool{}
	for _, l := range r.Links {
		if names[l.Name] || l.Name == "" || len(l.Name) > 15 || l.MAC == "" {
			t.Errorf("link %+v", l)
		}
		names[l.Name] = true
		for _, a := range l.Addresses {
			if a.Addr().IsLinkLocalUnicast() && a.Addr().Is4() {
				t.Errorf("%s on %s", a, l.Name)
			}
			if a.Bits() == 29 {
				for _, o := range nets {
					if o.Overlaps(a.Masked()) {
						t.Errorf("%s and %s on two links", o, a)
					}
				}
				nets = append(nets, a.Masked())
			}
		}
	}
	return true
}

func FuzzPlan(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		b := make([]byte, 200)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		f.Add(b, "free")
	}
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, b []byte, free string) {
		in, c := (&dice{b}).draw(free)
		judgePlan(t, in, c)
	})
}

// TestRandomPlans draws many, of which enough are right for the judgement to mean something.
func TestRandomPlans(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	right := 0
	for range 1500 {
		b := make([]byte, 120)
		for i := range b {
			b[i] = byte(r.UintN(256))
		}
		in, c := (&dice{b}).draw("usb0")
		if judgePlan(t, in, c) {
			right++
		}
	}
	t.Logf("%d of 1500 are right", right)
	if right < 200 {
		t.Errorf("only %d of 1500 are right: draw others", right)
	}
}
