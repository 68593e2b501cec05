package daemon

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/coreos/go-systemd/v22/unit"
)

// hotplug finds "allow-hotplug ... IFNAME ...".
func hotplug(definition []byte, ifname string) bool {
	for line := range bytes.Lines(definition) {
		w := strings.Fields(string(line))
		if len(w) > 1 && w[0] == "allow-hotplug" && slices.Contains(w[1:], ifname) {
			return true
		}
	}
	return false
}

// hotplugUnit is the unit by which Debian's udev rule (80-ifupdown.rules) brings up a NIC that appears, and a connection to
// systemd; nil where there is no such unit or udev knows no such device.
//
// A NIC must be brought up by that unit and not beside it: the unit is bound to the device, so it takes the NIC down when it is
// unplugged. Without it ifstate would go on listing the NIC, and ifup would pass over it when it is plugged in again. It also
// gives the DHCP client a control group of its own, which outlives ours.
func (x *Actor) hotplugUnit(ctx context.Context, ifname string) (*sd.Conn, string) {
	if _, err := os.Stat(x.path("/run/systemd/system")); err != nil { // sd_booted(3)
		return nil, ""
	}
	c, err := x.systemd(ctx)
	if err != nil {
		x.log().Info("not through systemd", "link", ifname, "error", err)
		return nil, ""
	}
	name := "ifup@" + unit.UnitNameEscape(ifname) + ".service"
	device := unit.UnitNamePathEscape("/sys/subsystem/net/devices/"+ifname) + ".device"
	// Started without its device (a container has no udev) the unit would wait for it.
	if s, err := x.unitState(ctx, c, device); err == nil && s == "active" {
		if p, err := c.GetUnitPropertyContext(ctx, name, "LoadState"); err == nil && p.Value.Value() == "loaded" {
			return c, name
		}
	}
	c.Close()
	return nil, ""
}

// forget stops the unit of a NIC that is down already. Its ifdown fails where nothing defines the NIC any more; that is no
// fault of the machine.
func (x *Actor) forget(ctx context.Context, ifname string) {
	c, name := x.hotplugUnit(ctx, ifname)
	if c == nil {
		return
	}
	defer c.Close()
	if running, err := x.active(ctx, c, name); err != nil || !running {
		return
	}
	err := x.job(ctx, name, func(ctx context.Context, ch chan<- string) (int, error) {
		return c.StopUnitContext(ctx, name, "replace", ch)
	})
	if err == nil {
		return
	}
	x.log().Debug("stopped", "unit", name, "error", err)
	if err := c.ResetFailedUnitContext(ctx, name); err != nil {
		x.log().Debug("cannot reset the failure", "unit", name, "error", err)
	}
}
