// Package wireguard is WireGuard devices, kind "wireguard", and their peers, kind "wireguard-peer".
//
// A device's reference is its name. Attributes: "private-key" (secret, base64, empty for none);
// "listen-port", decimal, empty for the kernel's choice, which is read as a number as soon as the
// device is up; "fwmark", "0x" and hexadecimal digits, empty for none; "owner", the alias
// (ip-link(8)), which is Owner for what this program made. A device that somebody else made is never
// changed or removed. Where the kernel has no WireGuard, a process of Userspace is the device; nothing
// else differs.
//
// A peer's reference is its device's name and its public key: "wg0 BASE64". Attributes:
// "preshared-key" (secret, empty for none); "endpoint" (initial: a peer that roams has another one, see EndpointsKind),
// "192.0.2.1:51820" or "[2001:db8::1]:51820"; "persistent-keepalive" in seconds, empty for none;
// "allowed-ips", masked prefixes, sorted as package netip compares them, separated by a comma and a blank.
package wireguard

import (
	"context"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kinds of reference.
const (
	Kind     = "wireguard"
	PeerKind = "wireguard-peer"
)

// Attributes of a device, and of a peer.
const (
	AttrPrivateKey = "private-key"
	AttrListenPort = "listen-port"
	AttrFwmark     = "fwmark"
	AttrOwner      = "owner"

	AttrPresharedKey        = "preshared-key"
	AttrEndpoint            = "endpoint"
	AttrPersistentKeepalive = "persistent-keepalive"
	AttrAllowedIPs          = "allowed-ips"
)

// Owner marks devices of this program.
const Owner = "provision"

// Userspace makes devices where the kernel cannot. Start returns when the device name exists and its
// socket answers; Stop when both are gone, also when they never were.
type Userspace interface {
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
}

// Spec is one device.
type Spec struct {
	Name       string
	PrivateKey Key
	ListenPort uint16 // 0: whichever is free
	Fwmark     uint32 // of what it sends; 0 for none
}

// Ref names a device.
//
//go:noinline
func Ref(name string) provision.Ref { return provision.Ref{Kind: Kind, Name: name} }

// Want asks for the device.
func Want(s Spec, why string) provision.Want {
	a := provision.Attrs{AttrPrivateKey: s.PrivateKey.Clamp().String(), AttrFwmark: formatMark(s.Fwmark), AttrOwner: Owner}
	if s.ListenPort != 0 {
		a[AttrListenPort] = decimal(s.ListenPort)
	}
	return provision.Want{Ref: Ref(s.Name), Attrs: a, Why: why}
}

// PeerSpec is one peer.
type PeerSpec struct {
	Device              string
	PublicKey           Key
	PresharedKey        Key            // zero for none
	Endpoint            netip.AddrPort // invalid when it is not known: the peer comes to us
	PersistentKeepalive uint16         // seconds, 0 for none
	AllowedIPs          []netip.Prefix
}

// PeerRef names a peer of a device.
//
//go:noinline
func PeerRef(device string, public Key) provision.Ref {
	return provision.Ref{Kind: PeerKind, Name: device + " " + public.String()}
}

// WantPeer asks for the peer.
func WantPeer(s PeerSpec, why string) provision.Want {
	a := provision.Attrs{
		AttrPresharedKey:        s.PresharedKey.String(),
		AttrPersistentKeepalive: decimal(s.PersistentKeepalive),
		AttrAllowedIPs:          FormatAllowedIPs(s.AllowedIPs),
	}
	if s.Endpoint.IsValid() {
		a[AttrEndpoint] = s.Endpoint.String()
	}
	return provision.Want{Ref: PeerRef(s.Device, s.PublicKey), Attrs: a, Why: why}
}

// FormatAllowedIPs is the canonical form of a set of prefixes.
func FormatAllowedIPs(list []netip.Prefix) string {
	texts := make([]string, 0, len(list))
	for _, p := range sorted(list) {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

// sorted is list masked, in order, each once.
func sorted(list []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = p.Masked()
	}
	sort.Slice(out, func(i, j int) bool { return comparePrefix(out[i], out[j]) < 0 })
	return slices.Compact(out)
}

// canonical reports whether list is what sorted would make of it.
func canonical(list []netip.Prefix) bool {
	for i, p := range list {
		if p != p.Masked() || i > 0 && comparePrefix(list[i-1], p) >= 0 {
			return false
		}
	}
	return true
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

func formatMark(n uint32) string {
	if n == 0 {
		return ""
	}
	return "0x" + strconv.FormatUint(uint64(n), 16)
}

func decimal(n uint16) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}
