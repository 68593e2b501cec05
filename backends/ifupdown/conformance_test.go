package ifupdown

import (
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/leaseroute"
)

func TestConformance(t *testing.T) {
	static := func() *facts.Facts {
		f := with("", "source interfaces.d/*\nauto enp0s3\niface enp0s3 inet static\n  address 10.0.2.15/24\n  gateway 10.0.2.2\niface enp0s3 inet6 auto\n",
			"lan", "auto enp0s8\niface enp0s8 inet static\n  address 192.168.76.15/24\n  gateway 192.168.76.1\n  metric 700\n")
		f.Clients, f.Ifupdown.Client = nil, ""
		return f
	}
	hotplug := func() *facts.Facts {
		f := backendtest.Ifupdown("dhclient")
		backendtest.Add(f, "enp0s9", backendtest.Wire{Down: true, Slot: 9, KernelRA: true})
		return f
	}
	old := func() *facts.Facts {
		f := backendtest.Ifupdown("dhclient")
		for i := range f.Links {
			delete(f.Links[i].Sysctl, "ipv6.ra_defrtr_metric")
		}
		return f
	}
	backendtest.Run(t, backendtest.Suite{
		New: func() backends.Backend { return New() },
		// It adds a route and leaves the client alone.
		LazyKinds: []string{leaseroute.Kind},
		Machines: []backendtest.Machine{
			{Name: "dhclient", Facts: func() *facts.Facts { return backendtest.Ifupdown("dhclient") }, Lossless: true},
			{Name: "dhcpcd", Facts: func() *facts.Facts { return backendtest.Ifupdown("dhcpcd") }, Lossless: true},
			{Name: "static", Facts: static, Lossless: true},
			{Name: "a third NIC", Facts: hotplug, Lossless: true},
			{Name: "kernel before 5.12", Facts: old, Lossless: true, NoIPv6: true},
		},
	})
}
