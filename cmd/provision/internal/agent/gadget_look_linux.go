package agent

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget/life"
	"github.com/provision-net/provision/provision/host/udc"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// GadgetStatus looks; it changes nothing.
func (a *Agent) GadgetStatus(ctx context.Context, socket string) (GadgetStatus, error) {
	out := GadgetStatus{Controllers: controllers(), Gadgets: []GadgetOne{}, Links: []GadgetLinkState{}, Hosts: a.hosts().Hosts()}
	s, err := a.gadgetState()
	if err != nil {
		return out, err
	}
	lives := map[string]life.Status{}
	err = control.Client{Socket: socket, Start: "provision gadget watch"}.Get(ctx, control.PathStatus, nil, &lives)
	out.Watched = err == nil
	var leases []control.Lease
	err = control.Client{Socket: control.DefaultSocket}.Get(ctx, control.PathLeases, nil, &leases)
	out.Served = err == nil
	for _, d := range s.Devices {
		g := GadgetOne{Device: d, Bound: sysfs(usbgadget.Mount + "/usb_gadget/" + path.Base(d.Name) + "/UDC")}
		// UDC keeps the name of a controller that has gone, and of one that came back and could not be bound (configfs.c, udc/core.c).
		i := slices.IndexFunc(out.Controllers, func(c Controller) bool { return c.Name == g.Bound })
		switch {
		case i >= 0 && sysfs(usbgadget.Controllers+"/"+g.Bound+"/function") == path.Base(d.Name):
			g.State = out.Controllers[i].State
		default:
			g.Bound = ""
		}
		if l, ok := lives[d.Name]; ok {
			g.Life = &l
		}
		out.Gadgets = append(out.Gadgets, g)
	}
	for _, l := range s.Links {
		out.Links = append(out.Links, linkState(l, leases))
	}
	return out, nil
}

func linkState(l GadgetLink, leases []control.Lease) GadgetLinkState {
	s := GadgetLinkState{GadgetLink: l}
	dev, err := net.InterfaceByName(l.Name)
	if err != nil || dev.HardwareAddr.String() != l.MAC {
		return s
	}
	s.There, s.Up = true, dev.Flags&net.FlagUp != 0
	if addrs, err := dev.Addrs(); err == nil {
		for _, a := range addrs {
			s.Live = append(s.Live, a.String())
		}
	}
	if c, err := udc.Counters(l.Name); err == nil && len(c) == 1 {
		s.Carrier, s.RX, s.TX = c[0].Carrier, c[0].RX, c[0].TX
	}
	for _, lease := range leases {
		if a, err := netip.ParseAddr(lease.Address); err == nil && slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Contains(a) }) {
			s.Leases = append(s.Leases, lease)
		}
	}
	return s
}

// controllers are those of /sys/class/udc (Documentation/ABI/stable/sysfs-class-udc).
func controllers() []Controller {
	out := []Controller{}
	list, _ := os.ReadDir("/sys/class/udc") // a machine without has none
	for _, e := range list {
		dir := "/sys/class/udc/" + e.Name()
		c := Controller{Name: e.Name(), State: sysfs(dir + "/state"), Speed: sysfs(dir + "/current_speed")}
		if c.Speed == "UNKNOWN" {
			c.Speed = ""
		}
		out = append(out, c)
	}
	return out
}

func sysfs(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// kernelLog is the kernel's log as far as it is kept; nil when it may not be read.
func kernelLog() []string {
	const readAll = 3 // SYSLOG_ACTION_READ_ALL, syslog(2)
	buf := make([]byte, 256<<10)
	n, err := unix.Klogctl(readAll, buf)
	if err != nil {
		return nil
	}
	return append([]string{}, strings.Split(strings.TrimSpace(string(buf[:n])), "\n")...)
}
