package gadget

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// up puts what was planned into the facts, as a machine has it afterwards.
func up(f *facts.Facts, r Result) {
	f.USB.Gadgets = nil
	for _, d := range r.Devices {
		g := facts.Gadget{Name: d.Name, UDC: d.UDC, Device: d.BCD}
		for _, x := range d.Functions {
			g.Functions = append(g.Functions, facts.GadgetFunction{Name: x.Name, Type: kernelType(x.Type), Dev: x.MAC, Host: x.HostMAC, Port: strings.TrimPrefix(x.TTY, "ttyGS")})
		}
		f.USB.Gadgets = append(f.USB.Gadgets, g)
		for i := range f.USB.Controllers {
			if f.USB.Controllers[i].Name == d.UDC {
				f.USB.Controllers[i].Function = d.Name
			}
		}
	}
	for i, l := range r.Links {
		link := facts.Link{Index: 10 + i, Name: l.Name, MAC: l.MAC, PermMAC: l.MAC, ARPHRD: 1, DevType: "gadget", Up: true}
		if l.Bridge {
			link.Kind = "bridge"
		}
		f.Links = append(f.Links, link)
		for _, a := range l.Addresses {
			f.Addrs = append(f.Addrs, facts.Address{Link: link.Index, Prefix: a})
			f.Routes = append(f.Routes, facts.Route{Dst: a.Masked(), Link: link.Index, Table: 254, Type: "unicast"})
		}
	}
}

func wantsOf(r Result) string {
	var b strings.Builder
	for _, w := range r.Desired.Wants {
		b.WriteString(w.Ref.String() + attrs(w.Attrs) + "\n")
	}
	return b.String()
}

// A machine that is as planned is planned the same: nothing moves by itself.
func TestPlanOfWhatIsThere(t *testing.T) {
	for _, text := range []string{"{profile: modern, router: full}", "{profile: classic}", "{profile: classic, bridge: br-usb}", "{profile: custom, functions: [{type: eem}, {type: acm, login: true}, {type: acm, login: true}]}"} {
		for _, machine := range []func() *facts.Facts{zeroW, zero2W, pi4, virtual} {
			f := machine()
			c := config(t, text)
			r := mustPlan(t, Input{Facts: f}, c)
			up(f, r)
			if c, ok := find(r, "file:"+DhcpcdFile); ok {
				f.Files[DhcpcdFile] = facts.File{Text: c.Attrs[file.AttrContent]}
			}
			again := mustPlan(t, Input{Facts: f}, c)
			if wantsOf(again) != wantsOf(r) {
				t.Errorf("%s on %s:\n%s\nand then\n%s", text, f.Machine.Board, wantsOf(r), wantsOf(again))
			}
			for _, n := range again.Desired.Notes {
				if n.Level == "warning" {
					t.Errorf("%s: %+v", text, n)
				}
			}
		}
	}
}

// Another profile keeps names and addresses, though its MACs are others, and says what it costs.
func TestChangeOfProfile(t *testing.T) {
	f := zeroW()
	a := mustPlan(t, Input{Facts: f}, config(t, "{profile: modern}"))
	up(f, a)
	b := mustPlan(t, Input{Facts: f}, config(t, "{profile: classic}"))
	if b.Links[0].Name != "usb0" || b.Links[0].Addresses[0] != a.Links[0].Addresses[0] || b.Links[0].MAC == a.Links[0].MAC || b.Links[1].Name != "usb1" {
		t.Errorf("%+v became %+v", a.Links, b.Links)
	}
	if n := b.Desired.Notes; len(n) != 1 || !strings.Contains(n[0].Text, "sees an unplug") || !strings.Contains(n[0].Text, a.Devices[0].BCD+" becomes "+b.Devices[0].BCD) {
		t.Errorf("%+v", n)
	}
}

// A network that appears on the uplink or in a tunnel moves the link; when it has gone, the link
// stays where it is.
func TestConflictMovesTheLink(t *testing.T) {
	f := zeroW()
	c := config(t, "{profile: modern}")
	first := mustPlan(t, Input{Facts: f}, c)
	at := first.Links[0].Addresses[0]
	clash := facts.Route{Dst: netip.PrefixFrom(at.Addr(), 16).Masked(), Link: 2, Table: 51820, Type: "unicast"}
	f.Routes = append(f.Routes, clash)
	moved := mustPlan(t, Input{Facts: f}, c)
	to := moved.Links[0].Addresses[0]
	if to == at || clash.Dst.Contains(to.Addr()) || moved.Links[0].Addresses[1] != first.Links[0].Addresses[1] {
		t.Fatalf("%v became %v beside %s", at, moved.Links[0].Addresses, clash.Dst)
	}
	f.Routes = f.Routes[:1]
	up(f, moved)
	if stays := mustPlan(t, Input{Facts: f}, c).Links[0].Addresses[0]; stays != to {
		t.Errorf("%s became %s without a reason", to, stays)
	}
	// A gateway and a default route in pieces are no reason.
	g := zeroW()
	g.Routes = append(g.Routes, facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/1"), Link: 2}, facts.Route{Dst: netip.MustParsePrefix("128.0.0.0/1"), Link: 2})
	if same := mustPlan(t, Input{Facts: g}, c).Links[0].Addresses[0]; same != at {
		t.Errorf("%s became %s", at, same)
	}
}

func TestGivenAddressesThatMeetOthers(t *testing.T) {
	r := mustPlan(t, Input{Facts: zeroW()}, config(t, "{profile: modern, addresses: [192.168.1.1/24]}"))
	if n := r.Desired.Notes; len(n) != 1 || n[0].Level != "warning" || !strings.Contains(n[0].Text, "192.168.1.1/24 is in 192.168.1.0/24") {
		t.Errorf("%+v", n)
	}
}

// A phone that took usb0 keeps it, and its name is not served.
func TestPhoneThatTookTheName(t *testing.T) {
	f := zeroW()
	f.Links = append(f.Links, facts.Link{Index: 7, Name: "usb0", MAC: "02:99:99:99:99:99", PermMAC: "02:99:99:99:99:99", ARPHRD: 1, Bus: "usb"})
	r := mustPlan(t, Input{Facts: f}, config(t, "{profile: modern}"))
	if r.Links[0].Name != "usb1" || r.Intents.Members[0].Interfaces[0] != "usb1" {
		t.Errorf("%+v", r.Links)
	}
}

func TestControllers(t *testing.T) {
	f := virtual()
	c := config(t, "{profile: modern}")
	r := mustPlan(t, Input{Facts: f}, c)
	if r.Devices[0].UDC != "dummy_udc.0" {
		t.Errorf("%+v", r.Devices)
	}
	found := false
	for _, n := range r.Desired.Notes {
		found = found || strings.Contains(n.Text, "dummy_udc.0 is taken, the first of 2 free controllers (dummy_udc.0, dummy_udc.1)")
	}
	if !found {
		t.Errorf("which of two was taken is not told: %+v", r.Desired.Notes)
	}
	// What is bound stays bound, though another one sorts before it.
	f.USB.Controllers[1].Function = "provision"
	f.USB.Gadgets = []facts.Gadget{{Name: "provision", UDC: "dummy_udc.1"}}
	if r = mustPlan(t, Input{Facts: f}, c); r.Devices[0].UDC != "dummy_udc.1" {
		t.Errorf("%+v", r.Devices)
	}
	// Two gadgets have one each, the named one first.
	f = virtual()
	r = mustPlan(t, Input{Facts: f}, config(t, "{profile: modern, more: [{profile: rescue, udc: dummy_udc.0}]}"))
	if r.Devices[0].UDC != "dummy_udc.1" || r.Devices[1].UDC != "dummy_udc.0" || r.Devices[0].Serial == r.Devices[1].Serial {
		t.Errorf("%+v", r.Devices)
	}
}

func TestAutoSettles(t *testing.T) {
	settled := map[string]string{"provision": Classic}
	for _, c := range []struct {
		config string
		lacks  string
		want   string
		may    bool
	}{
		{"{profile: auto}", "", Modern, false},
		{"{profile: auto, rndis: true}", "", Classic, true},
		{"{profile: auto, rndis: true}", "ecm", Classic, false},
		{"{profile: modern, rndis: true}", "", Modern, false},
	} {
		f := zeroW()
		in := Input{Facts: f, Settled: settled}
		if c.lacks != "" {
			f.USB.Functions[c.lacks] = facts.SupportMissing
			if _, err := Plan(in, config(t, c.config)); err == nil || !strings.Contains(err.Error(), "no function ecm") {
				t.Errorf("%s: %v", c.config, err)
			}
			continue
		}
		r := mustPlan(t, in, config(t, c.config))
		if d := r.Devices[0]; d.Profile != c.want || d.May != c.may {
			t.Errorf("%s: %+v", c.config, d)
		}
	}
	f := zeroW()
	f.USB.Functions["ncm"] = facts.SupportMissing
	if r := mustPlan(t, Input{Facts: f}, config(t, "{profile: auto, rndis: true}")); r.Devices[0].Profile != Classic {
		t.Errorf("%+v", r.Devices)
	}
}

// Serial ports are numbered behind those of other gadgets, and keep the number they have.
func TestSerialPorts(t *testing.T) {
	f := virtual()
	f.USB.Gadgets = []facts.Gadget{{Name: "other", Functions: []facts.GadgetFunction{{Name: "acm.x", Type: "acm", Port: "0"}}}}
	c := config(t, "{profile: custom, functions: [{type: acm, login: true}, {type: acm}]}")
	r := mustPlan(t, Input{Facts: f}, c)
	if d := r.Devices[0].Functions; d[0].TTY != "ttyGS1" || d[1].TTY != "ttyGS2" {
		t.Errorf("%+v", d)
	}
	if w, ok := find(r, "file:/etc/systemd/system/provision-login-gs1.service"); !ok || strings.Contains(w.Attrs[file.AttrContent], "autologin") || !strings.Contains(w.Attrs[file.AttrContent], "TTYPath=/dev/ttyGS1") {
		t.Errorf("%v %v", ok, w)
	}
	f.Machine.Init = "busybox"
	r = mustPlan(t, Input{Facts: f}, c)
	if n := r.Desired.Notes; !strings.Contains(text(r), "ttyGS1::respawn:/sbin/getty") {
		t.Errorf("%+v", n)
	}
}

// Managers that are not there hear nothing, and what they hold of others is left alone.
func TestManagers(t *testing.T) {
	plain := board("Raspberry Pi Zero W", "1", "20980000.usb", "dwc2")
	plain.Files = map[string]facts.File{DhcpcdFile: {Text: "persistent\n"}, "/etc/systemd/network/10-all.network": {Text: "[Match]\nName=*\n"}}
	r := mustPlan(t, Input{Facts: plain}, config(t, "{profile: modern, login: false}"))
	for _, w := range r.Desired.Wants {
		if w.Kind == file.Kind {
			t.Errorf("%s is written for nobody", w.Name)
		}
	}
	f := pi4()
	f.Files = map[string]facts.File{"/etc/systemd/network/10-lan.network": {Text: "[Match]\nName=e* !usb*\n"}, "/x/20.network": {Text: "[Match]\nType=ether\nName=*\n"}, "/x/30.network": {Text: "# Name=usb0\n[Network]\nName=usb0\n"}}
	if _, ok := find(mustPlan(t, Input{Facts: f}, config(t, "{profile: modern}")), "file:"+NetworkdFile); ok {
		t.Error("networkd is told to leave alone what it would not take")
	}
	n := zeroW()
	r = mustPlan(t, Input{Facts: n}, config(t, "{profile: custom, functions: [{type: ncm, router: client}, {type: ecm}]}"))
	if w, _ := find(r, "file:"+NMFile); !strings.HasSuffix(w.Attrs[file.AttrContent], "unmanaged-devices+=driver:g_ether;except:interface-name:usb0\n") {
		t.Errorf("%q", w.Attrs[file.AttrContent])
	}
	d := zero2W()
	d.Files[DhcpcdFile] = facts.File{Text: "hostname\n"}
	r = mustPlan(t, Input{Facts: d}, config(t, "{profile: modern}"))
	if len(r.Desired.Triggers) != 1 || !strings.Contains(text(r), "has no line persistent") {
		t.Errorf("a restart would cost addresses: %+v", r.Desired.Triggers)
	}
	d.Files = nil
	if r = mustPlan(t, Input{Facts: d}, config(t, "{profile: modern}")); !strings.Contains(text(r), "write denyinterfaces usb0 into it") {
		t.Errorf("%+v", r.Desired.Notes)
	}
}
