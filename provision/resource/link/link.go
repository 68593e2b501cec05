// Package link is the administrative state of network devices: kind "link". A
// reference's name is a device selector, "mac:08:00:27:aa:bb:cc" (permanent MAC of
// hardware) or "name:eth1". Attributes: "up", "true" or "false" (IFF_UP); "mtu" in bytes, decimal.
package link

import (
	"strconv"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "link"

// AttrUp is IFF_UP as "true" or "false"; AttrMTU the largest packet in bytes (IFLA_MTU).
const (
	AttrUp  = "up"
	AttrMTU = "mtu"
)

// Ref names the device that selector selects.
func Ref(selector string) provision.Ref { return provision.Ref{Kind: Kind, Name: selector} }

// Up asks that the device is administratively up.
func Up(selector, why string) provision.Want { return State(selector, true, why) }

// State asks that the device is administratively up or down.
func State(selector string, up bool, why string) provision.Want {
	return provision.Want{Ref: Ref(selector), Attrs: provision.Attrs{AttrUp: strconv.FormatBool(up)}, Why: why}
}

// UpMTU asks that the device is up and that packets of mtu bytes fit. The size is set first: what
// comes up with a larger one may lose its first packets.
func UpMTU(selector string, mtu int, why string) provision.Want {
	w := Up(selector, why)
	w.Attrs[AttrMTU] = strconv.Itoa(mtu)
	return w
}
