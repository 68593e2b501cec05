// Package link is the administrative state of network devices: kind "link". A
// reference's name is a device selector, "mac:08:00:27:aa:bb:cc" (permanent MAC of
// hardware) or "name:eth1". Attribute: "up", "true" or "false" (IFF_UP).
package link

import (
	"strconv"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "link"

// AttrUp is IFF_UP as "true" or "false".
const AttrUp = "up"

// Ref names the device that selector selects.
func Ref(selector string) provision.Ref { return provision.Ref{Kind: Kind, Name: selector} }

// Up asks that the device is administratively up.
func Up(selector, why string) provision.Want { return State(selector, true, why) }

// State asks that the device is administratively up or down.
func State(selector string, up bool, why string) provision.Want {
	return provision.Want{Ref: Ref(selector), Attrs: provision.Attrs{AttrUp: strconv.FormatBool(up)}, Why: why}
}
