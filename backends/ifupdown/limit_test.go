package ifupdown_test

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/ifupdown"
)

// dhcpcd does not start with a metric that it cannot read: the NIC would be without an
// address at the next boot. dhclient hands it on to ip(8), which takes all 32 bits.
func TestMetricsThatAClientCannotRead(t *testing.T) {
	for _, c := range []struct {
		client string
		metric uint32
		ok     bool
	}{{"dhcpcd", 1<<31 - 1, true}, {"dhcpcd", 1 << 31, false}, {"dhclient", 1<<32 - 1, true}} {
		f := backendtest.Ifupdown(c.client)
		for _, fresh := range []bool{false, true} {
			l := f.Links[1]
			if fresh {
				l = f.Links[backendtest.Add(f, "enp0s9", backendtest.Wire{Slot: 9, Down: true})-1]
			}
			_, err := ifupdown.New().Desire(f, []backends.NIC{{Link: l, Metric4: &c.metric, Metric6: &c.metric, BringUp: fresh, DHCP4: true, DHCP6: true,
				Owner: backends.Ownership{Link: l.Name, Owner: backends.Ifupdown}, Why: "test"}})
			if c.ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "takes metrics up to 2147483647") {
				t.Errorf("%s, metric %d, new NIC %v: got %v", c.client, c.metric, fresh, err)
			}
		}
	}
}
