// Package linkname is what network devices are called: kind "link-name". A reference's name is a
// device selector that outlives the change: "mac:02:00:5e:aa:bb:cc", or "name:" with an alternative
// name. Attribute: "name".
package linkname

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "link-name"

// AttrName is the device's name.
const AttrName = "name"

// Ref names the device that has the MAC.
func Ref(mac string) provision.Ref { return provision.Ref{Kind: Kind, Name: "mac:" + mac} }

// Want asks that the device with the MAC is called name.
func Want(mac, name, why string) provision.Want {
	return provision.Want{Ref: Ref(mac), Attrs: provision.Attrs{AttrName: name}, Why: why}
}

// check says why no device can be called so (dev_valid_name in net/core/dev.c); the kernel would
// fill in a number for a percent sign.
func check(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0xfffd
	}) {
		return fmt.Errorf("%q is no name of a device: it has 1 to 15 bytes, and no slash, colon, percent sign or blank", name)
	}
	return nil
}
