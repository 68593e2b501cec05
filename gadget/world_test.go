package gadget

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func config(t testing.TB, text string) Config {
	t.Helper()
	var c Config
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return c
}

func everything() facts.Functions {
	out := facts.Functions{}
	for _, f := range []string{"acm", "ecm", "eem", "hid", "mass_storage", "ncm", "rndis"} {
		out[f] = facts.SupportModule
	}
	return out
}

// board is a machine with one uplink and one controller.
func board(model, serial, udc, driver string) *facts.Facts {
	return &facts.Facts{
		Machine: facts.Machine{Hostname: "pi", Kernel: "6.12.47+rpt-rpi-v6", Init: "systemd", Board: model, Serial: serial, MachineID: "0b26f64e8b33b8d0", Root: true},
		Links: []facts.Link{{Index: 1, Name: "lo", ARPHRD: 772, Up: true},
			{Index: 2, Name: "wlan0", MAC: "2c:cf:67:01:02:03", PermMAC: "2c:cf:67:01:02:03", ARPHRD: 1, Up: true, Carrier: true}},
		Addrs:  []facts.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.168.1.90/24"), Scope: "global", Dynamic: true}},
		Routes: []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.168.1.1"), Link: 2, Metric: 600, Proto: 16, Table: 254, Type: "unicast"}},
		Sysctl: map[string]string{"net.ipv6.conf.all.disable_ipv6": "0"},
		USB: facts.USB{ConfigFS: "/sys/kernel/config", LibComposite: true, Functions: everything(),
			Controllers: []facts.UDC{{Name: udc, Driver: driver, State: "not attached"}}},
	}
}

func zeroW() *facts.Facts {
	f := board("Raspberry Pi Zero W Rev 1.1", "00000000f3a2b1c4", "20980000.usb", "dwc2")
	f.NM.Installed, f.NM.Running = true, true
	return f
}

func zero2W() *facts.Facts {
	f := board("Raspberry Pi Zero 2 W Rev 1.0", "000000001e2d3c4b", "3f980000.usb", "dwc2")
	f.Dhcpcd.Installed, f.Dhcpcd.Running, f.Dhcpcd.Master = true, true, true
	f.Files = map[string]facts.File{DhcpcdFile: {Mode: 0o664, Text: "hostname\npersistent\ninterface wlan0\nmetric 5\n"}}
	return f
}

func pi4() *facts.Facts {
	f := board("Raspberry Pi 4 Model B Rev 1.4", "10000000a1b2c3d4", "fe980000.usb", "")
	f.Networkd.Running, f.Networkd.Version = true, "257"
	f.Networkd.Links = map[int]facts.NetworkdLink{2: {Admin: "configured"}}
	f.Files = map[string]facts.File{"/etc/systemd/network/10-all.network": {Text: "[Match]\nName=*\n[Network]\nDHCP=yes\n"}}
	return f
}

func virtual() *facts.Facts {
	f := board("", "", "dummy_udc.0", "dummy_udc")
	f.Machine.Product = "Standard PC (Q35 + ICH9, 2009)"
	f.USB.Controllers = append(f.USB.Controllers, facts.UDC{Name: "dummy_udc.1", Driver: "dummy_udc"})
	return f
}

func attrs(a provision.Attrs) string {
	if a == nil {
		return "absent"
	}
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, " %s=%q", k, a[k])
	}
	return b.String()
}

func refs(list []provision.Ref) string {
	var out []string
	for _, r := range list {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// text is a result for people.
func text(r Result) string {
	var b strings.Builder
	for _, d := range r.Devices {
		fmt.Fprintf(&b, "device %s: %s (%s) on %s, %s:%s bcd %s, serial %s, endpoints %d of %d, may use classic: %v\n", d.Name, d.Asked, d.Profile, d.UDC, d.Vendor, d.Product, d.BCD, d.Serial, d.Endpoints, d.Budget, d.May)
		for _, f := range d.Functions {
			fmt.Fprintf(&b, "  %+v\n", f)
		}
	}
	for _, l := range r.Links {
		fmt.Fprintf(&b, "link %+v\n", l)
	}
	for _, w := range r.Desired.Wants {
		fmt.Fprintf(&b, "want %s%s\n     # %s\n", w.Ref, attrs(w.Attrs), w.Why)
	}
	for _, h := range r.Desired.Holds {
		fmt.Fprintf(&b, "hold %s%s while %s\n", h.Ref, attrs(h.Attrs), refs(h.While))
	}
	for _, t := range r.Desired.Triggers {
		fmt.Fprintf(&b, "trigger %s: %s %v on %s\n", t.Name, t.Do.Kind, t.Do.Args, refs(t.On))
	}
	for _, m := range r.Intents.Members {
		fmt.Fprintf(&b, "member %+v\n", m)
	}
	for _, f := range r.Intents.Forwards {
		fmt.Fprintf(&b, "forward %+v\n", f)
	}
	for _, n := range r.Desired.Notes {
		fmt.Fprintf(&b, "%s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if a, b := append(g, make([]string, len(w))...)[i], append(w, make([]string, len(g))...)[i]; a != b {
			t.Errorf("%s:%d is otherwise now (-update writes it):\n%s\nwas\n%s", file, i+1, a, b)
			return
		}
	}
}

func mustPlan(t testing.TB, in Input, c Config) Result {
	t.Helper()
	r, err := Plan(in, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find is the want with that reference.
func find(r Result, ref string) (provision.Want, bool) {
	i := slices.IndexFunc(r.Desired.Wants, func(w provision.Want) bool { return w.Ref.String() == ref })
	if i < 0 {
		return provision.Want{}, false
	}
	return r.Desired.Wants[i], true
}
