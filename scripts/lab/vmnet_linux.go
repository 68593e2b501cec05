package lab

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Defaults lists the default routes of the main table, the winner first, like World.Defaults.
func (v *VM) Defaults(t testing.TB, family int) []Route {
	t.Helper()
	var raw []ipRoute
	v.ip(t, &raw, fmt.Sprintf("-%d", family), "route", "show", "default")
	return defaults(routesOf(family, raw), family)
}

// Global returns the first usable global address of the family on dev, "" if there is none yet or no such device.
func (v *VM) Global(t testing.TB, dev string, family int) string {
	t.Helper()
	var raw []ipLink
	v.ip(t, &raw, "addr", "show")
	for _, a := range addrsOf(raw) {
		if a.Dev == dev && a.Family == family && a.Scope == "global" && !a.Tentative {
			return a.Addr
		}
	}
	return ""
}

// AwaitDefaults waits until each named NIC has a default route in both families, like World.AwaitDefaults.
func (v *VM) AwaitDefaults(t testing.TB, d time.Duration, nics ...string) {
	t.Helper()
	Await(t, d, func() error {
		for _, family := range []int{4, 6} {
			routes := v.Defaults(t, family)
			for _, name := range nics {
				if !slices.ContainsFunc(routes, func(r Route) bool { return r.Dev == name }) {
					return fmt.Errorf("%s has no IPv%d default route", name, family)
				}
			}
		}
		return nil
	})
}

// LinkByMAC returns the name of the NIC with that address, "" if there is none.
func (v *VM) LinkByMAC(t testing.TB, mac string) string {
	t.Helper()
	var raw []ipLink
	v.ip(t, &raw, "link", "show")
	for _, l := range raw {
		if l.Address == mac {
			return l.Ifname
		}
	}
	return ""
}

func (v *VM) ip(t testing.TB, into any, args ...string) {
	t.Helper()
	out := v.MustRun(t, "ip", append([]string{"-j"}, args...)...)
	if err := decodeIP(out, into, args); err != nil {
		t.Fatalf("lab: %v", err)
	}
}

// Plug plugs a virtio NIC on a user network of its own into the running machine; there is one port for it. The name is udev's choice.
func (v *VM) Plug(t testing.TB, n NICOpts) {
	t.Helper()
	v.HMP(t, fmt.Sprintf("netdev_add user,id=%s,net=%s,ipv6-net=%s", spare+"net", n.Net4, n.Net6))
	v.Replug(t, n)
}

// Replug plugs it in again after Unplug.
func (v *VM) Replug(t testing.TB, n NICOpts) {
	t.Helper()
	v.HMP(t, fmt.Sprintf("device_add virtio-net-pci,id=%s,bus=%s,netdev=%s,romfile=,mac=%s", spare+"nic", spare, spare+"net", n.MAC))
}

// Unplug takes out what Plug plugged in; the guest is asked first, so it takes a moment.
func (v *VM) Unplug(t testing.TB) {
	t.Helper()
	v.HMP(t, "device_del "+spare+"nic")
}
