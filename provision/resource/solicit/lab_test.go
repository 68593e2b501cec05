//go:build lab && linux

package solicit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab"
)

// Between two advertisements that are minutes apart the metric of the kernel's default route follows the sysctl at once, the route
// stays the kernel's own, and later advertisements still refresh it.
func TestMetricFollowsTheSysctlAtOnce(t *testing.T) {
	lab.Need(t, lab.Tier2)
	nat := lab.NAT()
	nat.RAMin, nat.RAMax = 200*time.Second, 600*time.Second
	w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{nat}})
	set := func(metric int) error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/ra_defrtr_metric", fmt.Appendln(nil, metric), 0)
	}
	inside := func(f func() error) {
		t.Helper()
		if err := w.Machine.Do(f); err != nil {
			t.Fatal(err)
		}
	}
	inside(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	lab.Await(t, 10*time.Second, func() error {
		if len(w.Defaults(6)) == 0 {
			return errors.New("no IPv6 default route yet")
		}
		return nil
	})
	for _, metric := range []int{1000, 10, 1024} {
		begin := time.Now()
		inside(func() error {
			if err := set(metric); err != nil {
				return err
			}
			return Actor{}.Do(context.Background(), Action("name:eth0"))
		})
		inside(func() error {
			routes, err := netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return err
			}
			n := 0
			for _, r := range routes {
				if r.Dst == nil || r.Dst.String() == "::/0" {
					if n++; r.Priority != metric {
						return fmt.Errorf("the default route has metric %d, want %d", r.Priority, metric)
					}
				}
			}
			if n != 1 {
				return fmt.Errorf("%d default routes, want 1", n)
			}
			return nil
		})
		t.Logf("metric %d after %v", metric, time.Since(begin).Round(time.Millisecond))
	}
	w.KillRA("eth0")
	begin := time.Now()
	inside(func() error {
		if err := set(77); err != nil {
			return err
		}
		return Actor{}.Do(context.Background(), Action("name:eth0"))
	})
	if took := time.Since(begin); took > 2*count*interval {
		t.Errorf("a silent router held it up for %v", took)
	}
}
