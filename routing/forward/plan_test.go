package forward

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/file"
)

// router is a machine with a way out whose advertisements the kernel handles, a LAN and a VLAN.
func router() *facts.Facts {
	sysctls := func(ra, rp string) map[string]string {
		return map[string]string{"ipv6.accept_ra": ra, "ipv4.rp_filter": rp, "ipv4.forwarding": "0", "ipv6.forwarding": "0"}
	}
	return &facts.Facts{
		Machine: facts.Machine{Init: "systemd"},
		Links: []facts.Link{
			{Index: 1, Name: "lo", ARPHRD: 772, Sysctl: map[string]string{"ipv4.forwarding": "1"}},
			{Index: 2, Name: "eth0", PermMAC: "08:00:27:00:00:01", Up: true, Sysctl: sysctls("1", "1")},
			{Index: 3, Name: "usb0", PermMAC: "08:00:27:00:00:02", Up: true, Sysctl: sysctls("1", "0")},
			{Index: 4, Name: "eth0.100", Kind: "vlan", Up: true, Sysctl: sysctls("1", "2")},
			{Index: 5, Name: "wlan0", PermMAC: "08:00:27:00:00:03", Up: true, Sysctl: sysctls("0", "1")},
		},
		Addrs: []facts.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.0.2.2/24")}},
		Routes: []facts.Route{{Dst: netip.MustParsePrefix("::/0"), Link: 4, Table: 254, Type: "unicast", Proto: facts.ProtoRA},
			{Dst: netip.MustParsePrefix("::/0"), Link: 3, Table: 254, Type: "unicast", Proto: facts.ProtoRA}},
		Sysctl: map[string]string{Forward4: "0", Forward6: "0", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "1"},
		Files:  map[string]facts.File{},
	}
}

func text1(d provision.Desired) string {
	var b strings.Builder
	for _, w := range d.Wants {
		if w.Kind == file.Kind {
			if w.Attrs[file.AttrType] == file.TypeFile {
				for line := range strings.Lines(w.Attrs[file.AttrContent]) {
					if line[0] != '#' {
						b.WriteString("file " + line)
					}
				}
			}
			continue
		}
		fmt.Fprintf(&b, "%s = %s", w.Name, w.Attrs["value"])
		if w.Mode == provision.IfPresent {
			b.WriteString(" (if present)")
		}
		b.WriteByte('\n')
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "%s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	asked := intent.Set{Forwards: []intent.Forward{{From: "inside", To: "outside"}}}
	for _, tc := range []struct {
		name string
		in   Input
		edit func(*facts.Facts)
		want string
	}{
		{"nothing asks", Input{Uplinks: []string{"eth0"}}, nil, ""},
		{"a zone asks", Input{Intents: asked, Inside: []string{"usb*"}, Uplinks: []string{"eth0", "wlan0"}}, nil, `
file -net/ipv6/conf/eth0/accept_ra = 2
file -net/ipv6/conf/eth0.100/accept_ra = 2
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
ipv6.conf mac:08:00:27:00:00:01 accept_ra = 2
ipv6.conf name:eth0.100 accept_ra = 2
global net.ipv4.ip_forward = 1
global net.ipv6.conf.all.forwarding = 1
global net.ipv4.conf.all.accept_redirects = 0
info wlan0: accept_ra is 0: its network manager handles router advertisements itself, or nobody does; forwarding takes no route away
`},
		{"the kill switch opens", Input{Intents: asked, Inside: []string{"usb*"}, Uplinks: []string{"eth0"}, KillSwitch: true}, func(f *facts.Facts) {
			f.Links = append(f.Links, facts.Link{Index: 9, Name: "docker0", Kind: "bridge"})
		}, `
file -net/ipv6/conf/eth0/accept_ra = 2
file -net/ipv6/conf/eth0.100/accept_ra = 2
file net/ipv4/ip_forward = 0
file net/ipv6/conf/all/forwarding = 0
ipv6.conf mac:08:00:27:00:00:01 accept_ra = 2
ipv6.conf name:eth0.100 accept_ra = 2
warning docker: with the kill switch forwarding is off while docker starts: docker turns it on itself then and sets the policy of its FORWARD chain to drop
`},
		{"2 is on, and what was excluded forwards", Input{Config: Config{Forwarding: "yes"}, Inside: []string{"usb0"}}, func(f *facts.Facts) {
			f.Sysctl[Forward4], f.Sysctl[Forward6] = "2", "1"
			f.Routes = nil
			f.Links[4].Sysctl["ipv4.forwarding"] = "0"
			f.Links[2].Sysctl["ipv6.forwarding"] = "1"
		}, `
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
global net.ipv4.ip_forward = 2
ipv4.conf mac:08:00:27:00:00:02 forwarding = 1
global net.ipv6.conf.all.forwarding = 1
global net.ipv4.conf.all.accept_redirects = 0
`},
		{"what differed before comes back", Input{Config: Config{Forwarding: "yes"}}, func(f *facts.Facts) {
			f.Routes = nil
			f.Links[1].Sysctl["ipv6.forwarding"] = "1"
		}, `
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
global net.ipv4.ip_forward = 1
global net.ipv6.conf.all.forwarding = 1
ipv6.conf mac:08:00:27:00:00:01 forwarding = 1
global net.ipv4.conf.all.accept_redirects = 0
`},
		{"off", Input{Config: Config{Forwarding: "no"}, Uplinks: []string{"eth0"}, Intents: asked}, nil, `
file net/ipv4/ip_forward = 0
file net/ipv6/conf/all/forwarding = 0
global net.ipv4.ip_forward = 0
global net.ipv6.conf.all.forwarding = 0
`},
		{"no IPv6", Input{Config: Config{Forwarding: "yes"}}, func(f *facts.Facts) {
			delete(f.Sysctl, Forward6)
			f.Routes = nil
		}, `
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
global net.ipv4.ip_forward = 1
global net.ipv4.conf.all.accept_redirects = 0
warning net.ipv6.conf.all.forwarding: the kernel does not have this parameter (ipv6 is disabled): only the other family is forwarded
`},
		{"an image", Input{Config: Config{Forwarding: "yes"}, Uplinks: []string{"wwan0", "wlan*"}}, func(f *facts.Facts) {
			*f = facts.Facts{Machine: facts.Machine{Offline: true, Init: "systemd"}}
		}, `
file -net/ipv6/conf/wwan0/accept_ra = 2
file -net/ipv6/conf/wlan*/accept_ra = 2
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
`},
		{"ways out that may come", Input{Config: Config{Forwarding: "yes"}, Uplinks: []string{"wwan0", "eth*"}}, func(f *facts.Facts) {
			f.Machine.Init = "openrc"
			f.Routes = nil
		}, `
file -net/ipv6/conf/eth0/accept_ra = 2
file -net/ipv6/conf/eth0.100/accept_ra = 2
file -net/ipv6/conf/wwan0/accept_ra = 2
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
ipv6.conf mac:08:00:27:00:00:01 accept_ra = 2
ipv6.conf name:eth0.100 accept_ra = 2
ipv6.conf name:wwan0 accept_ra = 2 (if present)
global net.ipv4.ip_forward = 1
global net.ipv6.conf.all.forwarding = 1
global net.ipv4.conf.all.accept_redirects = 0
`},
		{"filters only where they are strict", Input{Loose: []Loose{{Interface: "*", Why: "two ways out"}}}, func(f *facts.Facts) {
			f.Sysctl["net.ipv4.conf.default.rp_filter"] = "0"
		}, `
file -net/ipv4/conf/eth0/rp_filter = 2
file -net/ipv4/conf/eth0.100/rp_filter = 2
file -net/ipv4/conf/wlan0/rp_filter = 2
ipv4.conf mac:08:00:27:00:00:01 rp_filter = 2
ipv4.conf name:eth0.100 rp_filter = 2
ipv4.conf mac:08:00:27:00:00:03 rp_filter = 2
`},
		{"all is strict", Input{Loose: []Loose{{Interface: "usb0", Marked: true, Why: "marks"}}}, func(f *facts.Facts) {
			f.Sysctl["net.ipv4.conf.all.rp_filter"] = "1"
		}, `
file -net/ipv4/conf/usb0/rp_filter = 2
file -net/ipv4/conf/usb0/src_valid_mark = 1
ipv4.conf mac:08:00:27:00:00:02 rp_filter = 2
ipv4.conf mac:08:00:27:00:00:02 src_valid_mark = 1
`},
		{"all is loose", Input{Loose: []Loose{{Interface: "eth0", Why: "x"}}}, func(f *facts.Facts) { f.Sysctl["net.ipv4.conf.all.rp_filter"] = "2" }, ""},
		{"a device that may come", Input{Loose: []Loose{{Interface: "wg0", Marked: true, Why: "a tunnel"}, {Interface: "eni*", Why: "nodes"}}}, nil, `
file -net/ipv4/conf/wg0/rp_filter = 2
file -net/ipv4/conf/wg0/src_valid_mark = 1
file -net/ipv4/conf/eni*/rp_filter = 2
ipv4.conf name:wg0 rp_filter = 2 (if present)
ipv4.conf name:wg0 src_valid_mark = 1 (if present)
`},
		{"choices", Input{Config: Config{Forwarding: "yes", Interfaces: []Interface{{Name: "eth0", AcceptRA: "no", RPFilter: "keep"}, {Name: "usb0", AcceptRA: "yes", RPFilter: "strict"}, {Name: "e*", AcceptRA: "yes"}}},
			Uplinks: []string{"eth0"}, Loose: []Loose{{Interface: "eth0", Why: "x"}}}, func(f *facts.Facts) { f.Routes = nil }, `
file -net/ipv6/conf/usb0/accept_ra = 2
file -net/ipv6/conf/e*/accept_ra = 2
file -net/ipv6/conf/eth0/accept_ra
file -net/ipv4/conf/usb0/rp_filter = 1
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
ipv6.conf mac:08:00:27:00:00:02 accept_ra = 2
ipv6.conf name:eth0.100 accept_ra = 2
ipv4.conf mac:08:00:27:00:00:02 rp_filter = 1
global net.ipv4.ip_forward = 1
global net.ipv6.conf.all.forwarding = 1
global net.ipv4.conf.all.accept_redirects = 0
`},
		{"who else has a say", Input{Config: Config{Forwarding: "yes"}, Loose: []Loose{{Interface: "usb0", Why: "x"}}}, func(f *facts.Facts) {
			f.Routes = nil
			f.Sysctl["net.ipv4.conf.all.rp_filter"] = "2"
			f.Networkd.Running = true
			f.Files = map[string]facts.File{
				"/etc/sysctl.d/10-early.conf":                  {Text: "net.ipv4.ip_forward=0\n"},
				"/run/sysctl.d/70-late.conf":                   {Text: "# net.ipv4.ip_forward=0\n-net.ipv6.conf.all.forwarding = 0\nnet.ipv4.ip_forward = 2\n"},
				"/etc/sysctl.conf":                             {Text: "net/ipv4/ip_forward=0"},
				"/etc/systemd/network/10-a.network":            {Text: "[Network]\nIPv4Forwarding=no\nIPForward=no\n"},
				"/etc/systemd/networkd.conf":                   {Text: "[Network]\nIPv6Forwarding=yes\n"},
				"/etc/systemd/networkd.conf.d/kill-switch.txt": {Text: "IPForward"},
			}
		}, `
file net/ipv4/ip_forward = 1
file net/ipv6/conf/all/forwarding = 1
global net.ipv4.ip_forward = 1
global net.ipv6.conf.all.forwarding = 1
global net.ipv4.conf.all.accept_redirects = 0
warning /etc/sysctl.conf: sets net/ipv4/ip_forward to 0 after /etc/sysctl.d/60-provision.conf has set it to 1: at boot this file wins; remove the line
warning /run/sysctl.d/70-late.conf: sets net/ipv6/conf/all/forwarding to 0 after /etc/sysctl.d/60-provision.conf has set it to 1: at boot this file wins; remove the line
warning /etc/systemd/network/10-a.network: IPv4Forwarding=no lets systemd-networkd turn forwarding off again: remove the line
warning usb0: it has no IPv4 address: on such an interface the reverse path filter drops these packets even when it is loose (net/ipv4/fib_frontend.c); give it an address, or set rp-filter: off
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := router()
			if tc.edit != nil {
				tc.edit(f)
			}
			tc.in.Facts = f
			if got := text1(Plan(tc.in)); got != strings.TrimPrefix(tc.want, "\n") {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// The switch for IPv6 never comes before what keeps the routes, and "all" of accept_ra and
// rp_filter is never written, whatever is asked.
func TestOrder(t *testing.T) {
	for _, forwarding := range []string{"auto", "yes", "no"} {
		for _, up := range [][]string{nil, {"eth0"}, {"*"}, {"ppp0", "eth0.100"}} {
			for _, ks := range []bool{false, true} {
				d := Plan(Input{Facts: router(), Config: Config{Forwarding: forwarding}, Uplinks: up, KillSwitch: ks, Loose: []Loose{{Interface: "*", Marked: true}}})
				switched := false
				for _, w := range d.Wants {
					if w.Name == "global "+Forward6 {
						switched = true
					}
					if switched && strings.Contains(w.Name, "accept_ra") {
						t.Errorf("%v: %s after the switch", up, w.Name)
					}
					if ks && forwarding != "no" && strings.HasSuffix(w.Name, "forward") || strings.Contains(w.Name, "all.accept_ra") || strings.Contains(w.Name, "all.rp_filter") {
						t.Errorf("%v: %s is wanted", up, w.Name)
					}
					if c := w.Attrs[file.AttrContent]; strings.Contains(c, "conf/all/accept_ra") || strings.Contains(c, "conf/all/rp_filter") || ks && strings.Contains(c, "ip_forward = 1") {
						t.Errorf("%v: the file says\n%s", up, c)
					}
				}
			}
		}
	}
}

func TestProblems(t *testing.T) {
	c := Config{Forwarding: "maybe", Interfaces: []Interface{
		{Name: "eth0", AcceptRA: "yes"}, {Name: "eth0", RPFilter: "loose"}, {}, {Name: "a b", RPFilter: "soft"}, {Name: "all", AcceptRA: "1"}, {Name: "sixteen-letters-", RPFilter: "off"}, {Name: "w*n0", RPFilter: "off"}}}
	var got []string
	for _, p := range c.Problems() {
		got = append(got, p.Path+": "+p.Text)
	}
	want := []string{
		`forwarding: "maybe" is neither auto nor yes nor no`,
		`interfaces[1].name: eth0 is already told by interfaces[0], which decides: put both into one entry`,
		`interfaces[2].name: is missing: name an interface, such as eth0 or wlan*`,
		`interfaces[2]: says nothing: give accept-ra or rp-filter, or leave it out`,
		`interfaces[3].name: "a b" is no name of an interface, nor a pattern that ends with *`,
		`interfaces[3].rp-filter: "soft" is none of auto, loose, strict, off, keep`,
		`interfaces[4].name: "all" is no interface but the kernel's word for every one: name the interfaces`,
		`interfaces[4].accept-ra: "1" is neither auto nor yes nor no`,
		`interfaces[5].name: "sixteen-letters-" is longer than 15 bytes, the most that a name has`,
		`interfaces[6].name: "w*n0" is no name of an interface, nor a pattern that ends with *`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if p := (Config{Forwarding: "true", Interfaces: []Interface{{Name: "wlan*", RPFilter: "loose"}}}).Problems(); p != nil {
		t.Error(p)
	}
}

func FuzzAssignment(f *testing.F) {
	for _, s := range []string{"net.ipv4.conf.enp3s0/200.forwarding=1", "-net/ipv4/ip_forward = 0", "a", "=", ".=.", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, value, ok := assignment(s)
		if !ok {
			return
		}
		// What it reads, written with slashes, reads as the same.
		if strings.Contains(key, "/") && strings.IndexAny(key, "./") == strings.Index(key, "/") && key[0] != '-' && key[0] != '#' && key[0] != ';' {
			if k, v, ok := assignment(key + "=" + value); !ok || k != key || v != value {
				t.Fatalf("%q reads as %q = %q, and that as %q = %q", s, key, value, k, v)
			}
		}
	})
}
