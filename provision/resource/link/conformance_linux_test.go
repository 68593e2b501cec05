package link

import (
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

func TestConformance(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		nstest.Network(t)
		nstest.IP(t, "link add veth0 type veth peer name veth1")
		return enginetest.ResourceCase{
			Resource: Resource{}, Name: "name:veth0", Fixed: true,
			Values: []provision.Attrs{UpMTU("", 1280, "").Attrs, {AttrUp: "false", AttrMTU: "1420"}},
		}
	})
}
