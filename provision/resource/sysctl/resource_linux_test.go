package sysctl

import (
	"errors"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/nstest"
)

// The kernel's own parameters, in a network namespace.
func TestKernel(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add eth0.5 type veth peer name veth1")
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r := &Resource{Files: root, Devices: netdev.Read}
	set := func(w provision.Want) error {
		t.Helper()
		have, err := r.Get(t.Context(), w.Name)
		if err != nil {
			t.Fatal(err)
		}
		return r.Set(t.Context(), w.Name, have, w.Attrs)
	}
	for _, w := range []provision.Want{
		Link("ipv4", "name:eth0.5", "rp_filter", "2", ""),
		Link("ipv6", "name:eth0.5", "accept_ra", "2", ""),
		Link("ipv6", "name:eth0.5", "ra_defrtr_metric", "1000", ""),
		Global("net.ipv4.ip_forward", "1", ""),
		Global("net.ipv4.ip_local_port_range", "20000 30000", ""),
	} {
		if have, _ := r.Get(t.Context(), w.Name); have == nil {
			t.Logf("not tried: this kernel has no %s", w.Name)
			continue
		}
		if err := set(w); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
		if got, err := r.Get(t.Context(), w.Name); err != nil || got[AttrValue] != w.Attrs[AttrValue] {
			t.Errorf("%s: got %v, %v", w.Name, got, err)
		}
	}
	if err := set(Link("ipv4", "name:eth0.5", "rp_filter", "many", "")); err == nil || !strings.Contains(err.Error(), "does not take this value") {
		t.Errorf("a value that is none: %v", err)
	}
	for _, name := range []string{"ipv6.conf name:eth0.5 none", "ipv6.conf name:eth9 accept_ra", "global net.none"} {
		if got, err := r.Get(t.Context(), name); got != nil || err != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	// The parameter goes with its device.
	w := Link("ipv4", "name:eth0.5", "rp_filter", "1", "")
	have, err := r.Get(t.Context(), w.Name)
	if err != nil || have == nil {
		t.Fatal(have, err)
	}
	nstest.IP(t, "link del eth0.5")
	if err := r.Set(t.Context(), w.Name, have, w.Attrs); !errors.Is(err, provision.ErrStale) {
		t.Errorf("the device is gone: %v", err)
	}
}

var _ Files = (*host.Root)(nil)
