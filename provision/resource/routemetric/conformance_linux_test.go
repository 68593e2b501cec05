package routemetric

import (
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

// Only the kind that moves: the other one cannot bring a value about alone, which
// TestPrune is about.
func TestConformance(t *testing.T) {
	for family, routes := range map[int][]string{
		4: {"route add default via 10.0.2.2 dev eth0"},
		6: {"-6 route add default metric 100 nexthop via fe80::2 dev eth0 nexthop via fe80::2 dev eth1"},
	} {
		ref := Ref(family, "name:eth0")
		t.Run(ref.Name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				network(t)
				for _, r := range routes {
					nstest.IP(t, r)
				}
				return enginetest.ResourceCase{
					Resource: Resource{}, Name: ref.Name, Fixed: true,
					Values: []provision.Attrs{metrics("1000"), metrics("10,1000"), metrics("7")},
				}
			})
		})
	}
}
