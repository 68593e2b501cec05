// Package firewalld puts a device into a zone of firewalld, at run time and for good: kind
// "firewalld-zone", named after the device. It speaks firewalld's D-Bus interface
// (firewalld.dbus(5)) and never reloads it, because a reload forgets what others have set at run
// time only.
//
// Where NetworkManager has a device, the zone of its connection profile (connection.zone,
// nm-settings(5)) wins whenever the connection is activated.
package firewalld

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "firewalld-zone"

// The attributes: names of zones, "" for none, which makes a device one of the default zone.
const (
	AttrRuntime   = "runtime"
	AttrPermanent = "permanent"
)

// Trusted is the zone that accepts everything (firewalld.zones(5)); what our own table refuses is
// refused all the same.
const Trusted = "trusted"

// Want is device being in zone, now and after each start of firewalld.
func Want(device, zone, why string) provision.Want {
	return provision.Want{
		Ref:   provision.Ref{Kind: Kind, Name: device},
		Attrs: provision.Attrs{AttrRuntime: zone, AttrPermanent: zone},
		Why:   why,
	}
}

// Check tells why firewalld would not take a device's name (src/firewall/functions.py, checkInterface).
// A + at the end stands for whatever follows, as in iptables.
func Check(device string) error {
	if device == "" || len(device) > 16 || strings.ContainsAny(device, " !*/") || strings.ContainsFunc(device, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("device %q: firewalld takes up to 16 printable characters without blanks and none of ! * /", device)
	}
	return nil
}

func checkZone(zone string) error {
	if strings.ContainsFunc(zone, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) {
		return fmt.Errorf("zone %q: want letters, digits, _ and -", zone)
	}
	return nil
}
