// Package sysctl is the live value of kernel parameters under net: kind "sysctl".
// Permanence is a file in /etc/sysctl.d, which is a want of its own.
//
// A reference's name is "FAMILY.conf SELECTOR KEY" for a parameter of one device
// ("ipv6.conf mac:08:00:27:aa:bb:cc ra_defrtr_metric"; FAMILY is ipv4 or ipv6) or
// "global KEY" ("global net.ipv4.ip_forward"). Attribute: "value", as the kernel
// prints it, without the final newline. A parameter that the kernel does not have
// (IPv6 disabled, device gone) is absent.
package sysctl

import "github.com/provision-net/provision/provision"

// Kind of reference.
const Kind = "sysctl"

// AttrValue is the parameter's value.
const AttrValue = "value"

// LinkRef names parameter key of one device in net.FAMILY.conf; family is "ipv4"
// or "ipv6".
func LinkRef(family, selector, key string) provision.Ref {
	return provision.Ref{Kind: Kind, Name: family + ".conf " + selector + " " + key}
}

// Link asks for the value of parameter key of one device.
func Link(family, selector, key, value, why string) provision.Want {
	return provision.Want{Ref: LinkRef(family, selector, key), Attrs: provision.Attrs{AttrValue: value}, Why: why}
}

// GlobalRef names a parameter by its dotted key: "net.ipv4.ip_forward".
func GlobalRef(key string) provision.Ref {
	return provision.Ref{Kind: Kind, Name: "global " + key}
}

// Global asks for the value of a parameter by its dotted key.
func Global(key, value, why string) provision.Want {
	return provision.Want{Ref: GlobalRef(key), Attrs: provision.Attrs{AttrValue: value}, Why: why}
}
