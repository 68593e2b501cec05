package gadget

import (
	"net/netip"

	"github.com/provision-net/provision/provision"
)

// linkName wants the device with that address to be called name.
func linkName(mac, name, why string) provision.Want {
	return provision.Want{Ref: provision.Ref{Kind: "link-name", Name: "mac:" + mac}, Attrs: provision.Attrs{"name": name}, Why: why}
}

// addressWant wants an address on a device. Duplicate address detection asks nobody on a link whose
// other end is one host, and would keep the server silent for its first second.
func addressWant(selector string, a netip.Prefix, why string) provision.Want {
	attrs := provision.Attrs{}
	if a.Addr().Is6() {
		attrs["flags"] = "nodad"
	}
	return provision.Want{Ref: provision.Ref{Kind: "address", Name: selector + " " + a.String()}, Attrs: attrs, Why: why}
}

// bridgeWant wants a bridge without spanning tree: with it a port would be silent for 30 s, and the
// host's first DHCP would fail.
func bridgeWant(name, mac, why string) provision.Want {
	return provision.Want{Ref: provision.Ref{Kind: "bridge", Name: name}, Attrs: provision.Attrs{"mac": mac, "stp": "0"}, Why: why}
}

func bridgePort(selector, bridge, why string) provision.Want {
	return provision.Want{Ref: provision.Ref{Kind: "bridge-port", Name: selector}, Attrs: provision.Attrs{"bridge": bridge}, Why: why}
}
