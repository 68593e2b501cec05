package sysctl

import (
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/nstest"
)

func TestConformance(t *testing.T) {
	for name, values := range map[string][]string{
		"ipv6.conf name:eth0 ra_defrtr_metric": {"1000", "10"},
		"ipv4.conf name:eth0 rp_filter":        {"2", "1"},
		"global net.ipv4.ip_local_port_range":  {"20000 30000", "1024 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				nstest.Network(t)
				nstest.IP(t, "link add eth0 type veth peer name veth1")
				root, err := host.OpenRoot("/")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { root.Close() })
				r := &Resource{Files: root, Devices: netdev.Read}
				if have, err := r.Get(t.Context(), name); err != nil || have == nil {
					t.Skipf("skipped: this kernel has no %s: %v", name, err)
				}
				c := enginetest.ResourceCase{Resource: r, Name: name, Fixed: true}
				for _, v := range values {
					c.Values = append(c.Values, provision.Attrs{AttrValue: v})
				}
				return c
			})
		})
	}
}
