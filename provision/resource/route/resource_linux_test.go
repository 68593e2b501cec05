package route

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
)

func equal(t *testing.T, got, want string) {
	t.Helper()
	clean := func(s string) string {
		var out []string
		for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(out, "\n")
	}
	if clean(got) != clean(want) {
		t.Errorf("got\n%s\nwant\n%s", clean(got), clean(want))
	}
}

func put(t *testing.T, w provision.Want) {
	t.Helper()
	if err := try(t, w); err != nil {
		t.Fatal(err)
	}
}

func try(t *testing.T, w provision.Want) error {
	t.Helper()
	have, err := Resource{}.Get(t.Context(), w.Name)
	if err != nil {
		t.Fatal(err)
	}
	return Resource{}.Set(t.Context(), w.Name, have, w.Attrs)
}

// ip(8) is the judge.
func TestMadeAsWanted(t *testing.T) {
	network(t)
	put(t, Want(Spec{Key: Key{Dst: pfx("192.0.0.0/24"), Table: 300, Dev: "name:eth0"}, Source: ip("192.0.0.2")}, ""))
	put(t, Want(Spec{Key: Key{Family: 4, Table: 300, Dev: "name:eth0"}, Gateway: ip("192.0.0.1"), MTU: 1400}, ""))
	put(t, Want(Spec{Key: Key{Family: 4, Table: 300, Dev: "name:eth1", Metric: 9}, Gateway: ip("198.51.100.1"), OnLink: true}, ""))
	put(t, Want(Spec{Key: Key{Family: 6, Table: 300, Dev: "name:eth0"}, Gateway: ip("fe80::1"), Source: ip("2001:db8::2")}, ""))
	equal(t, nstest.IP(t, "route show table 300"), `
default via 192.0.0.1 dev eth0 proto 158 mtu 1400
default via 198.51.100.1 dev eth1 proto 158 metric 9 onlink
192.0.0.0/24 dev eth0 proto 158 scope link src 192.0.0.2`)
	equal(t, nstest.IP(t, "-6 route show table 300"), `default via fe80::1 dev eth0 proto 158 src 2001:db8::2 metric 1024 pref medium`)
}

// A monitor that misses no event says that there is no moment without a route.
func TestAddBeforeDelete(t *testing.T) {
	for _, tc := range []struct {
		family   int
		from, to Spec
		events   string // of the monitor: + added, - deleted
	}{
		{4, Spec{Gateway: ip("192.0.0.1")}, Spec{Gateway: ip("192.0.0.9")}, "+-"},
		{4, Spec{Gateway: ip("192.0.0.1")}, Spec{Gateway: ip("192.0.0.1"), MTU: 1400}, "+-"},
		{6, Spec{Gateway: ip("2001:db8::1")}, Spec{Gateway: ip("2001:db8::9")}, "+-"},
		{6, Spec{Gateway: ip("2001:db8::1")}, Spec{Gateway: ip("2001:db8::1"), MTU: 1400}, "+"},
	} {
		t.Run(fmt.Sprint(tc.family, tc.to.Gateway, tc.to.MTU), func(t *testing.T) {
			network(t)
			tc.from.Key, tc.to.Key = Key{Family: tc.family, Table: 100, Dev: "name:eth0"}, Key{Family: tc.family, Table: 100, Dev: "name:eth0"}
			put(t, Want(tc.from, ""))
			events := listen(t)
			put(t, Want(tc.to, ""))
			if got := events(); got != tc.events {
				t.Errorf("got %q, want %q", got, tc.events)
			}
		})
	}
}

// The device moves: the new route is added while the old one is there, as the engine does it.
func TestDeviceMoves(t *testing.T) {
	for _, f := range []struct {
		family int
		a, b   string
	}{{4, "192.0.0.1", "192.0.1.1"}, {6, "2001:db8::1", "2001:db8:1::1"}} {
		t.Run(fmt.Sprint(f.family), func(t *testing.T) {
			network(t)
			a := Want(Spec{Key: Key{Family: f.family, Table: 100, Dev: "name:eth0"}, Gateway: ip(f.a)}, "")
			b := Want(Spec{Key: Key{Family: f.family, Table: 100, Dev: "name:eth1"}, Gateway: ip(f.b)}, "")
			put(t, a)
			put(t, b)
			all, err := Resource{}.List(t.Context(), []string{a.Name, b.Name})
			if err != nil || all[a.Name] == nil || all[b.Name] == nil {
				t.Fatalf("both should be there: %v, %v", all, err)
			}
			a.Attrs = nil
			put(t, a)
			if all, err = (Resource{}).List(t.Context(), []string{a.Name, b.Name}); err != nil || all[a.Name] != nil || all[b.Name] == nil {
				t.Errorf("the second alone should be there: %v, %v", all, err)
			}
		})
	}
}

func TestPending(t *testing.T) {
	network(t)
	nstest.IP(t, "link add eth9 type veth peer name far9")
	for name, s := range map[string]Spec{
		"no device":         {Key: Key{Family: 4, Table: 100, Dev: "name:eth7"}, Gateway: ip("192.0.0.1")},
		"device down":       {Key: Key{Family: 4, Table: 100, Dev: "name:eth9"}, Gateway: ip("192.0.0.1")},
		"device down, IPv6": {Key: Key{Dst: pfx("2001:db8::/64"), Table: 100, Dev: "name:eth9"}},
		"gateway":           {Key: Key{Family: 4, Table: 100, Dev: "name:eth0"}, Gateway: ip("198.51.100.1")},
		"gateway, IPv6":     {Key: Key{Family: 6, Table: 100, Dev: "name:eth0"}, Gateway: ip("2001:db8:77::1")},
		"source":            {Key: Key{Family: 4, Table: 100, Dev: "name:eth0"}, Gateway: ip("192.0.0.1"), Source: ip("192.0.0.77")},
		"source, IPv6":      {Key: Key{Family: 6, Table: 100, Dev: "name:eth0"}, Gateway: ip("2001:db8::1"), Source: ip("2001:db8::77")},
	} {
		if err := try(t, Want(s, "")); !errors.Is(err, provision.ErrPending) {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, nstest.IP(t, "route show table all proto 158"), "")
	equal(t, nstest.IP(t, "-6 route show table all proto 158"), "")
}

// What somebody else has in the place is seen, and taken over only where it can come back.
func TestForeign(t *testing.T) {
	for _, tc := range []struct {
		family         int
		foreign, proto string
		key            Key
		want           Spec
		refused        string
	}{
		{4, "default via 192.0.0.7 dev eth0 proto static", "4", Key{Dev: "name:eth0"}, Spec{Gateway: ip("192.0.0.1")}, ""},
		{6, "default via 2001:db8::7 dev eth0 proto static metric 9", "4", Key{Dev: "name:eth0", Metric: 9}, Spec{Gateway: ip("2001:db8::1")}, ""},
		{6, "default via 2001:db8::1 dev eth0 proto static metric 9", "4", Key{Dev: "name:eth0", Metric: 9}, Spec{Gateway: ip("2001:db8::1")}, ""},
		{4, "default via 192.0.0.7 dev eth0 proto dhcp metric 9", "16", Key{Dev: "name:eth0", Metric: 9}, Spec{Gateway: ip("192.0.0.1")}, "a DHCP client"},
		{6, "default via 2001:db8::7 dev eth0 proto ra metric 9", "9", Key{Dev: "name:eth0", Metric: 9}, Spec{Gateway: ip("2001:db8::1")}, "router advertisements"},
		{4, "default via 192.0.0.7 dev eth0 proto bgp", "186", Key{Dev: "name:eth0"}, Spec{Gateway: ip("192.0.0.1")}, "a daemon (proto 186)"},
		{4, "default via 192.0.0.7 dev eth0 window 20000", "3", Key{Dev: "name:eth0"}, Spec{Gateway: ip("192.0.0.1")}, "more than can be put back"},
		{4, "default via 192.0.1.7 dev eth1", "", Key{Dev: "name:eth0"}, Spec{Gateway: ip("192.0.0.1")}, "already has a route to there"},
		{6, "default via 2001:db8:1::7 dev eth1 metric 9", "", Key{Dev: "name:eth0", Metric: 9}, Spec{Gateway: ip("2001:db8::1")}, "already has a route to there"},
		{4, "default nexthop via 192.0.1.7 dev eth1 nexthop via 192.0.0.7 dev eth0", "", Key{Dev: "name:eth0"}, Spec{Gateway: ip("192.0.0.1")}, "already has a route to there"},
		{6, "default metric 9 nexthop via 2001:db8:1::7 dev eth1 nexthop via 2001:db8::7 dev eth0", "3", Key{Dev: "name:eth0", Metric: 9}, Spec{Gateway: ip("2001:db8::1")}, "more than can be put back"},
	} {
		t.Run(fmt.Sprint(tc.family, " ", tc.foreign), func(t *testing.T) {
			network(t)
			opt := fmt.Sprintf("-%d ", tc.family)
			nstest.IP(t, opt+"route add "+tc.foreign)
			before := nstest.IP(t, opt+"route")
			tc.want.Key = tc.key
			tc.want.Family = tc.family
			w := Want(tc.want, "")
			have, err := Resource{}.Get(t.Context(), w.Name)
			if err != nil || have[AttrProto] != tc.proto {
				t.Fatalf("seen as %v, %v", have, err)
			}
			if (Resource{}).Wrote(have) {
				t.Error("it is taken for an own one")
			}
			err = Resource{}.Set(t.Context(), w.Name, have, w.Attrs)
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("got %v, want it to say %q", err, tc.refused)
				}
				if have != nil {
					if err := (Resource{}).Set(t.Context(), w.Name, have, nil); err == nil {
						t.Error("it can be removed")
					}
				}
			} else {
				if err != nil {
					t.Fatal(err)
				}
				now, err := Resource{}.Get(t.Context(), w.Name)
				if err != nil || !(Resource{}).Wrote(now) {
					t.Fatalf("is %v, %v", now, err)
				}
				// Going back.
				if err := (Resource{}).Set(t.Context(), w.Name, now, have); err != nil {
					t.Fatal(err)
				}
			}
			equal(t, nstest.IP(t, opt+"route"), before)
		})
	}
}

// All or nothing: the last of them fails.
func TestBatchUndone(t *testing.T) {
	network(t)
	gone := Want(Spec{Key: Key{Family: 4, Table: 100, Dev: "name:eth0", Metric: 3}, Gateway: ip("192.0.0.1")}, "")
	put(t, gone)
	before := nstest.IP(t, "route show table all proto 158") + nstest.IP(t, "-6 route show table all proto 158")
	have, err := Resource{}.Get(t.Context(), gone.Name)
	if err != nil {
		t.Fatal(err)
	}
	moved := Want(Spec{Key: Key{Family: 4, Table: 100, Dev: "name:eth0", Metric: 3}, Gateway: ip("192.0.0.9")}, "")
	steps := []provision.Step{{Name: gone.Name, Have: have, Want: moved.Attrs}}
	for i := range uint32(5) {
		w := Want(Spec{Key: Key{Family: 6, Table: 100 + i, Dev: "name:eth0"}, Gateway: ip("fe80::1")}, "")
		steps = append(steps, provision.Step{Name: w.Name, Want: w.Attrs})
	}
	bad := Want(Spec{Key: Key{Family: 4, Table: 300, Dev: "name:eth0"}, Gateway: ip("198.51.100.1")}, "")
	steps = append(steps, provision.Step{Name: bad.Name, Want: bad.Attrs})
	if err := (Resource{}).SetAll(t.Context(), steps); !errors.Is(err, provision.ErrPending) {
		t.Errorf("got %v", err)
	}
	equal(t, nstest.IP(t, "route show table all proto 158")+nstest.IP(t, "-6 route show table all proto 158"), before)
	if err := (Resource{}).SetAll(t.Context(), steps[:6]); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{
		"inet table 100 default dev name:eth1",
		"inet table 1000 unreachable default metric 4278198272",
		"inet6 table 254 2001:db8::/64 dev mac:08:00:27:aa:bb:cc metric 1024",
		"inet table 100 192.0.2.1/32 dev name:eth1 metric 7",
	} {
		if k, err := Parse(name); err != nil || k.String() != name {
			t.Errorf("%q reads as %q: %v", name, k, err)
		}
	}
	for _, name := range []string{
		"", "inet", "inet default dev name:eth1", "inet table x default dev name:eth1", "inet table 100 default", "inet6 table 100 default dev name:eth1",
		"inet table 100 192.0.2.1/24 dev name:eth1", "inet table 100 default dev name:eth1 metric 0", "inet table 0 default dev name:eth1",
		"inet table 100 ::/0 dev name:eth1", "inet table 100 0.0.0.0/0 dev name:eth1", "inet table 100 unreachable default dev name:eth1",
		"inet table 100 default metric 7 dev name:eth1", "inet table 100 default dev name:eth1 ", "inet6 table 1 ::ffff:1.2.3.4/128 dev name:a metric 1",
	} {
		if k, err := Parse(name); err == nil {
			t.Errorf("%q reads as %+v", name, k)
		}
	}
}

func TestRefusals(t *testing.T) {
	network(t)
	name := "inet table 100 default dev name:eth0"
	for _, tc := range []struct {
		name string
		want provision.Attrs
		text string
	}{
		{name, provision.Attrs{"weight": "3"}, "unknown attribute"},
		{name, provision.Attrs{AttrMTU: "big"}, "no number of bytes"},
		{name, provision.Attrs{AttrMTU: "0"}, "no number of bytes"},
		{name, provision.Attrs{AttrGateway: "192.000.0.1"}, "no address"},
		{name, provision.Attrs{AttrSource: "2001:db8::2"}, "no address"},
		{name, provision.Attrs{AttrOnLink: "yes"}, "true or empty"},
		{name, provision.Attrs{AttrOnLink: "true"}, "about a gateway"},
		{name, provision.Attrs{AttrProto: ""}, "no protocol number"},
		{"inet table 100 unreachable default", provision.Attrs{AttrGateway: "192.0.0.1"}, "neither gateway"},
		{"inet table 100 default dev eth0", provision.Attrs{}, "device selector"},
	} {
		if err := (Resource{}).Set(t.Context(), tc.name, nil, tc.want); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s %v: got %v, want it to say %q", tc.name, tc.want, err, tc.text)
		}
	}
	equal(t, nstest.IP(t, "route show table all proto 158"), "")
}
