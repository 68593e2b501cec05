package address

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

func TestConformance(t *testing.T) {
	for name, tc := range map[string]struct {
		addr   string
		values []provision.Attrs
	}{
		"inet":       {"192.0.2.1/24", []provision.Attrs{{AttrFlags: "", AttrMetric: ""}, {AttrFlags: "noprefixroute", AttrMetric: "7"}}},
		"inet6":      {"2001:db8::1/64", []provision.Attrs{{AttrFlags: "nodad", AttrMetric: ""}, {AttrFlags: "nodad noprefixroute", AttrMetric: "7"}}},
		"link-local": {"fe80::1/64", []provision.Attrs{{AttrFlags: "nodad"}, {AttrFlags: ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				nstest.Network(t)
				nstest.IP(t, "link add veth0 type veth peer name veth1")
				nstest.IP(t, "link set veth0 addrgenmode none")
				nstest.IP(t, "link set veth0 up")
				return enginetest.ResourceCase{Resource: Resource{}, Name: Ref("name:veth0", netip.MustParsePrefix(tc.addr)).Name, Values: tc.values}
			})
		})
	}
}
