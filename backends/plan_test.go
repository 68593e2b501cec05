package backends_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// fixed is a backend that wants the same shape for every NIC.
type fixed struct {
	manager backends.Manager
	desire  func(f *facts.Facts, nics []backends.NIC) (provision.Desired, error)
}

func (b fixed) Manager() backends.Manager { return b.manager }
func (b fixed) Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	return b.desire(f, nics)
}
func (fixed) Explain(*facts.Facts, facts.Link, string) []backends.Reason { return nil }

// kernelAndFile is a backend that moves IPv4 by a file and a trigger, IPv6 by sysctl.
func kernelAndFile(m backends.Manager, path string) fixed {
	return fixed{m, func(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
		var d provision.Desired
		d.Wants = append(d.Wants, file.Want(path, []byte(facts.Marker+"\n"), 0o644, "test"))
		for _, n := range nics {
			if n.Metric4 != nil {
				d.Wants = append(d.Wants, routemetric.Prune(4, n.Link.Selector(), *n.Metric4, n.Why))
			}
		}
		d.Triggers = []provision.Trigger{{Name: "t-" + path, On: []provision.Ref{file.Ref(path)}, Why: "test"}}
		d.Append(backends.KernelRA(f, nics))
		return d, nil
	}}
}

func winners(w []backends.Winner) string {
	var out []string
	for _, x := range w {
		out = append(out, x.Link+" "+x.Gateway)
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	f := backendtest.Ifupdown("dhclient")
	d, r, err := backends.Plan(f, backends.Config{}, backends.Memory{}, []backends.Backend{kernelAndFile(backends.Ifupdown, "/etc/network/x"), kernelAndFile(backends.Netplan, "/etc/netplan/never")})
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, w := range d.Wants {
		refs = append(refs, w.Ref.String())
	}
	want := []string{"file:/etc/network/x", "daemon-route-metric:inet mac:08:00:27:00:00:02", "daemon-route-metric:inet mac:08:00:27:00:00:03",
		"file:/etc/sysctl.d", "file:/etc/sysctl.d/90-provision.conf",
		"sysctl:ipv6.conf mac:08:00:27:00:00:02 ra_defrtr_metric", "sysctl:ipv6.conf mac:08:00:27:00:00:03 ra_defrtr_metric", "file:/var/lib/provision/metrics.json"}
	if !slices.Equal(refs, want) {
		t.Errorf("wants\n%s\nwant\n%s", strings.Join(refs, "\n"), strings.Join(want, "\n"))
	}
	if got := winners(r.Winners); got != "enp0s3 10.0.2.2, enp0s3 fe80::2" {
		t.Errorf("now %s", got)
	}
	if got := winners(r.After); got != "enp0s8 192.168.76.1, enp0s8 fe80::1" {
		t.Errorf("after %s", got)
	}
	if !strings.Contains(r.After[0].Why, "the lowest metric 10: enp0s3 has 1000") || !strings.Contains(r.Winners[0].Why, "the same metric 0 as enp0s8") {
		t.Errorf("reasons %q, %q", r.Winners[0].Why, r.After[0].Why)
	}
	if len(r.Changes) != 7 || len(r.Triggers) != 3 { // all but the directory; the file, and a solicitation for each NIC
		t.Errorf("%d changes, %d triggers: %+v", len(r.Changes), len(r.Triggers), r.Changes)
	}
	one, _ := json.Marshal(r)
	_, again, _ := backends.Plan(f, backends.Config{}, backends.Memory{}, []backends.Backend{kernelAndFile(backends.Ifupdown, "/etc/network/x")})
	two, _ := json.Marshal(again)
	if string(one) != string(two) {
		t.Error("two reports of one machine differ")
	}
}

func TestPlanRefuses(t *testing.T) {
	boom := errors.New("boom")
	bad := fixed{backends.Netplan, func(*facts.Facts, []backends.NIC) (provision.Desired, error) { return provision.Desired{}, boom }}
	for _, c := range []struct {
		name string
		f    *facts.Facts
		cfg  backends.Config
		list []backends.Backend
		want string
	}{
		{"a backend's error", backendtest.NetplanNetworkd(257), backends.Config{}, []backends.Backend{bad}, "boom"},
		{"no backend", backendtest.NetplanNetworkd(257), backends.Config{}, nil, "no backend for its manager netplan"},
		{"config", backendtest.NetplanNetworkd(257), backends.Config{DNS: "x"}, []backends.Backend{bad}, "network.dns"},
	} {
		d, r, err := backends.Plan(c.f, c.cfg, backends.Memory{}, c.list)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
		if len(d.Wants)+len(d.Triggers) != 0 || len(r.NICs) != 3 || len(r.Problems) == 0 {
			t.Errorf("%s: something is wanted (%d), or the report says nothing (%d NICs, problems %q)", c.name, len(d.Wants), len(r.NICs), r.Problems)
		}
	}
}

func TestMerge(t *testing.T) {
	part := func(name, line string) provision.Desired {
		return provision.Desired{Wants: []provision.Want{file.Dir("/etc/sysctl.d", name), file.Want(backends.SysctlPath, []byte(facts.Marker+"\n"+line+"\n"), 0o644, name)}}
	}
	d, err := backends.Merge(part("a", "-net/ipv6/conf/b/ra_defrtr_metric = 1"), part("b", "-net/ipv6/conf/a/ra_defrtr_metric = 2"))
	if err != nil || len(d.Wants) != 2 {
		t.Fatalf("%d wants, %v", len(d.Wants), err)
	}
	want := facts.Marker + "\n-net/ipv6/conf/a/ra_defrtr_metric = 2\n-net/ipv6/conf/b/ra_defrtr_metric = 1\n"
	if got := d.Wants[1].Attrs[file.AttrContent]; got != want {
		t.Errorf("got %q", got)
	}
	a := provision.Desired{Wants: []provision.Want{file.Want("/etc/x", []byte("1"), 0o644, "one")}}
	b := provision.Desired{Wants: []provision.Want{file.Want("/etc/x", []byte("2"), 0o644, "two")}}
	nm := func(name string) provision.Desired {
		return provision.Desired{
			Wants:    []provision.Want{file.Want(backends.NMConfPath, []byte(facts.Marker+"\n\n# why\n[connection-provision-"+name+"]\nipv4.route-metric=1\n"), 0o644, name)},
			Triggers: []provision.Trigger{{Name: "nm", On: []provision.Ref{file.Ref(backends.NMConfPath)}, Do: daemon.NMRestart("name:" + name)}},
		}
	}
	d, err = backends.Merge(nm("b"), nm("a"), nm("b"))
	if err != nil || len(d.Wants) != 1 || len(d.Triggers) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	want = facts.Marker + "\n\n# why\n[connection-provision-a]\nipv4.route-metric=1\n\n# why\n[connection-provision-b]\nipv4.route-metric=1\n"
	if got := d.Wants[0].Attrs[file.AttrContent]; got != want {
		t.Errorf("got %q", got)
	}
	if got := d.Triggers[0].Do.Args["selectors"]; got != "name:a,name:b" || len(d.Triggers[0].On) != 1 {
		t.Errorf("trigger %+v", d.Triggers[0])
	}
	if _, err := backends.Merge(a, b); err == nil || !strings.Contains(err.Error(), "/etc/x is wanted in two ways (one; two)") {
		t.Errorf("two contents of one file: %v", err)
	}
}

func TestKernelRA(t *testing.T) {
	f := backendtest.Box()
	backendtest.Add(f, "eth0.100", backendtest.Wire{Kind: "vlan", GW6: "fe80::1", Metric6: 1024, Proto6: facts.ProtoRA})
	backendtest.Add(f, "eth1", backendtest.Wire{NoIPv6Metric: true})
	nics := []backends.NIC{{Link: f.Links[1], Metric6: u32(10)}, {Link: f.Links[2], Metric6: u32(11)}, {Link: f.Links[0]}}
	d := backends.KernelRA(f, nics)
	if len(d.Wants) != 3 || len(d.Triggers) != 1 || d.Triggers[0].On[0] != d.Wants[2].Ref || len(d.Expect) != 1 || d.Expect[0].Ref != routemetric.Ref(6, "name:eth0.100") || !strings.Contains(d.Wants[1].Attrs[file.AttrContent], "\n-net/ipv6/conf/eth0.100/ra_defrtr_metric = 10\n") ||
		d.Wants[2].Ref != sysctl.LinkRef("ipv6", "name:eth0.100", "ra_defrtr_metric") || d.Wants[2].Attrs[sysctl.AttrValue] != "10" {
		t.Errorf("got %+v, %+v, %+v", d.Wants, d.Triggers, d.Expect)
	}
	nics[0].Lazy = true
	if lazy := backends.KernelRA(f, nics); len(lazy.Wants) != 3 || len(lazy.Triggers) != 0 {
		t.Errorf("lazy: %+v", lazy)
	}
	if len(d.Notes) != 1 || d.Notes[0].Subject != "eth1" {
		t.Errorf("an old kernel is not told of: %+v", d.Notes)
	}
	f.Machine.Offline = true
	if d := backends.KernelRA(f, nics); len(d.Wants) != 2 || len(d.Notes)+len(d.Triggers)+len(d.Expect) != 0 {
		t.Errorf("offline: %+v", d)
	}
}

func TestPredictMultipath(t *testing.T) {
	f := backendtest.Box()
	a := backendtest.Add(f, "eth0", backendtest.Wire{Addr6: "2001:db8:1::2/64"})
	b := backendtest.Add(f, "eth1", backendtest.Wire{Addr6: "2001:db8:2::2/64"})
	gw := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	f.Routes = []facts.Route{{Dst: netip.MustParsePrefix("::/0"), Metric: 100, Proto: facts.ProtoRA, Table: 254, Type: "unicast",
		Hops: []facts.Hop{{Gateway: gw("fe80::1"), Link: a}, {Gateway: gw("fe80::2"), Link: b}}}}
	d := provision.Desired{Wants: []provision.Want{routemetric.Prune(6, f.Links[a-1].Selector(), 1000, "")}}
	now, after, _ := backends.Predict(f, nil, d)
	if len(now) != 1 || len(after) != 2 {
		t.Fatalf("now %+v after %+v", now, after)
	}
	if w := backends.Winners(f, after)[1]; w.Link != "eth1" || w.Metric != 100 {
		t.Errorf("winner %+v", w)
	}
	if w := backends.Winners(f, now)[1]; !strings.Contains(w.Why, "shares the traffic") {
		t.Errorf("now %+v", w)
	}
	if w := backends.Winners(f, after)[0]; w.Link != "" || w.Why != "no route" {
		t.Errorf("IPv4 %+v", w)
	}
}

func TestPredictLeaseRoute(t *testing.T) {
	f := backendtest.Ifupdown("dhclient")
	f.Routes = append(f.Routes[:2:2], f.Routes[3:]...) // the second NIC's IPv4 default never got in
	l := f.Links[2]
	d := provision.Desired{
		Wants:    []provision.Want{routemetric.Move(4, f.Links[1].Selector(), 1000, ""), routemetric.Move(4, l.Selector(), 10, "")},
		Triggers: []provision.Trigger{{Do: leaseroute.Add(l.Selector(), l.Name, 10)}, {Do: leaseroute.Add(f.Links[1].Selector(), f.Links[1].Name, 1000)}},
	}
	now, after, _ := backends.Predict(f, nil, d)
	if w := backends.Winners(f, now)[0]; w.Link != "enp0s3" {
		t.Errorf("now %+v", w)
	}
	if w := backends.Winners(f, after)[0]; w.Link != "enp0s8" || w.Metric != 10 || len(after) != len(now)+1 {
		t.Errorf("after %+v of %+v", w, after)
	}
}

func TestPredictLazy(t *testing.T) {
	f := backendtest.NM("1.42.4")
	m := uint32(1000)
	nics := []backends.NIC{{Link: f.Links[1], Metric4: &m, Lazy: true}}
	e := routemetric.Expect(4, f.Links[1].Selector(), m, "")
	e.Mode = provision.Report
	d := provision.Desired{Wants: []provision.Want{file.Want("/etc/x", nil, 0o644, "")}, Expect: []provision.Want{e}}
	now, after, boot := backends.Predict(f, nics, d)
	got := ""
	for _, routes := range [][]facts.Route{now, after, boot} {
		got += backends.Winners(f, routes)[0].Link + " "
	}
	if got != "enp0s3 enp0s3 enp0s8 " {
		t.Errorf("winners now, after, after boot: %s", got)
	}
}

func TestReportWarns(t *testing.T) {
	f := backendtest.NetplanNetworkd(252)
	f.Machine.WaitOnline = []string{"systemd-networkd-wait-online.service", "NetworkManager-wait-online.service"}
	stale := f.Routes[0]
	stale.Metric = 1000
	f.Routes = append(f.Routes, stale)
	owners := backends.Owners(f)
	r := backends.Detect(f, owners, backends.Roles(f, owners))
	var all []string
	for _, n := range r.Notes {
		all = append(all, n.Subject+": "+n.Text)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"2 units keep the boot waiting", "enp0s3: two IPv4 default routes by the same gateway 10.0.2.2 with the metrics 100 and 1000"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Each controller has its own NICs: a gadget's by their addresses, a legacy module's by their place.
func TestReportUSB(t *testing.T) {
	f := backendtest.NetplanNetworkd(252)
	f.USB.Controllers = []facts.UDC{{Name: "dummy_udc.0", Function: "mine"}, {Name: "dummy_udc.1", Function: "g_ether"}, {Name: "dummy_udc.2"}}
	f.USB.Gadgets = []facts.Gadget{
		{Name: "idle", Functions: []facts.GadgetFunction{{Name: "ecm.usb9", Dev: "02:00:00:00:00:09"}}},
		{Name: "mine", UDC: "dummy_udc.0", Functions: []facts.GadgetFunction{{Name: "acm.GS0"}, {Name: "ncm.usb0", Dev: "02:00:00:00:00:01"}}},
	}
	add := func(name, mac, path string) {
		i := backendtest.Add(f, name, backendtest.Wire{MAC: mac, DevType: "gadget"})
		f.Links[i-1].DevPath = path
	}
	add("usb0", "02:00:00:00:00:01", "/devices/platform/dummy_udc.0/gadget.0")
	add("usb4", "02:00:00:00:00:04", "/devices/platform/dummy_udc.1/gadget.1")
	add("usb9", "02:00:00:00:00:09", "/devices/virtual")
	var got []string
	for _, u := range backends.Detect(f, backends.Owners(f), backends.Roles(f, nil)).USB {
		got = append(got, fmt.Sprintf("%s %t %v %v", u.Name, u.Legacy, u.Functions, u.NICs))
	}
	want := "dummy_udc.0 false [acm.GS0 ncm.usb0] [usb0] | dummy_udc.1 true [] [usb4] | dummy_udc.2 false [] []"
	if s := strings.Join(got, " | "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	if r := backends.Detect(backendtest.NetplanNetworkd(252), nil, nil); r.USB != nil {
		t.Errorf("a machine without a controller reports %+v", r.USB)
	}
}
