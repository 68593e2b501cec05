package route

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

// network is a machine with two Ethernet devices, both families.
func network(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	for i := range 2 {
		for _, c := range []string{
			"link add eth%[1]d type veth peer name far%[1]d", "link set far%[1]d addrgenmode none", "link set eth%[1]d addrgenmode none", "link set eth%[1]d up", "link set far%[1]d up",
			"addr add 192.0.%[1]d.2/24 dev eth%[1]d", "-6 addr add 2001:db8:%[1]d::2/64 dev eth%[1]d nodad",
		} {
			nstest.IP(t, fmt.Sprintf(c, i))
		}
	}
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		key    Key
		values []Spec
		opt    []string
	}{
		"default of a table": {
			Key{Family: 4, Table: 100, Dev: "name:eth0"},
			[]Spec{{Gateway: ip("192.0.0.1")}, {Gateway: ip("192.0.0.9"), Source: ip("192.0.0.2"), MTU: 1400}, {Gateway: ip("198.51.100.1"), OnLink: true}},
			[]string{AttrSource, AttrMTU},
		},
		"default of a table, IPv6": {
			Key{Family: 6, Table: 1000, Dev: "name:eth0"},
			[]Spec{{Gateway: ip("2001:db8::1")}, {Gateway: ip("2001:db8::1"), Source: ip("2001:db8::2"), MTU: 1400}, {Gateway: ip("fe80::9")}},
			[]string{AttrSource, AttrMTU},
		},
		"IPv6 gateway for IPv4": {
			Key{Family: 4, Table: 70000, Dev: "name:eth1", Dst: pfx("203.0.113.0/24"), Metric: 7},
			[]Spec{{Gateway: ip("fe80::1")}, {Gateway: ip("192.0.1.1")}}, nil,
		},
		"connected": {
			Key{Table: 100, Dev: "name:eth0", Dst: pfx("192.0.0.0/24")},
			[]Spec{{}, {Source: ip("192.0.0.2")}, {MTU: 1280}}, []string{AttrSource, AttrMTU},
		},
		"connected, IPv6": {
			Key{Table: 100, Dev: "name:eth0", Dst: pfx("2001:db8::/64"), Metric: 10},
			[]Spec{{}, {MTU: 1280}}, []string{AttrMTU},
		},
		"main": {
			Key{Family: 4, Dev: "name:eth1", Metric: 5}, []Spec{{Gateway: ip("192.0.1.1")}, {Gateway: ip("192.0.1.7")}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				network(t)
				rc := enginetest.ResourceCase{Resource: Resource{}, Optional: c.opt}
				for _, v := range c.values {
					v.Key = c.key
					w := Want(v, "")
					rc.Name = w.Name
					rc.Values = append(rc.Values, w.Attrs)
				}
				return rc
			})
		})
	}
}

// What has no attributes but the protocol cannot differ otherwise.
func TestTypes(t *testing.T) {
	network(t)
	var r Resource
	for _, k := range []Key{
		{Family: 4, Table: 1000, Type: Unreachable, Metric: Worst},
		{Family: 6, Table: 1000, Type: Unreachable, Metric: Worst},
		{Family: 4, Table: 1000, Type: Blackhole, Dst: pfx("192.0.2.0/24")},
		{Family: 6, Table: 1000, Type: Prohibit, Dst: pfx("2001:db8::/32")},
		{Family: 4, Table: 1000, Type: Throw, Dst: pfx("172.17.0.0/16")},
		{Family: 6, Table: 1000, Type: Throw, Dst: pfx("fd00::/64")},
	} {
		w := Want(Spec{Key: k}, "")
		for _, want := range []provision.Attrs{w.Attrs, w.Attrs, nil, w.Attrs} {
			have, err := r.Get(t.Context(), w.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Set(t.Context(), w.Name, have, want); err != nil {
				t.Fatalf("%s: %v", w.Name, err)
			}
			if have, err = r.Get(t.Context(), w.Name); err != nil || (have == nil) != (want == nil) || have[AttrProto] != want[AttrProto] {
				t.Errorf("%s: wanted %v, is %v, %v", w.Name, want, have, err)
			}
		}
	}
	equal(t, nstest.IP(t, "route show table 1000"), `
unreachable default proto 158 metric 4278198272
throw 172.17.0.0/16 proto 158
blackhole 192.0.2.0/24 proto 158`)
	equal(t, nstest.IP(t, "-6 route show table 1000"), `
prohibit 2001:db8::/32 dev lo proto 158 metric 1024 pref medium
throw fd00::/64 dev lo proto 158 metric 1024 pref medium
unreachable default dev lo proto 158 metric 4278198272 pref medium`)
}
