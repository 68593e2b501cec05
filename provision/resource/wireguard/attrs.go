package wireguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

func (d *Device) attrs() provision.Attrs {
	return provision.Attrs{
		AttrPrivateKey: d.PrivateKey.String(),
		AttrListenPort: decimal(d.ListenPort),
		AttrFwmark:     formatMark(d.Fwmark),
		AttrOwner:      d.Alias,
	}
}

func (p *Peer) attrs() provision.Attrs {
	a := provision.Attrs{
		AttrPresharedKey:        p.PresharedKey.String(),
		AttrPersistentKeepalive: decimal(p.PersistentKeepalive),
		AttrAllowedIPs:          FormatAllowedIPs(p.AllowedIPs),
	}
	if p.Endpoint.IsValid() {
		a[AttrEndpoint] = p.Endpoint.String()
	}
	return a
}

// checkName says why no device can be called so (dev_valid_name in net/core/dev.c); the name is also
// that of a socket and of a unit.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0xfffd
	}) {
		return fmt.Errorf("wireguard %q: a device's name has 1 to 15 bytes, and no slash, colon, percent sign or blank", name)
	}
	return nil
}

// parsePeerName takes a peer's reference apart.
func parsePeerName(name string) (device string, public Key, err error) {
	device, text, _ := strings.Cut(name, " ")
	if public, err = ParseKey(text); err != nil || public == (Key{}) {
		return "", Key{}, fmt.Errorf("wireguard-peer %q: want a device's name and a public key: %w", name, ErrKey)
	}
	return device, public, checkName(device)
}

// deviceChange judges what is wanted of a device that is now as d says (nil: there is none), and is
// what has to be done about it. Values must be in the form that Get gives. Secrets are not repeated.
func deviceChange(name string, d *Device, want provision.Attrs) (change, error) {
	if d == nil {
		d = &Device{}
	}
	var c change
	for k, v := range want {
		switch k {
		case AttrPrivateKey:
			key, err := ParseKey(v)
			if err == nil && key != key.Clamp() {
				err = errors.New("it is not in the form that X25519 uses (RFC 7748 section 5)")
			}
			if err != nil {
				return c, fmt.Errorf("wireguard %s: private-key: %w", name, err)
			}
			if key != d.PrivateKey {
				c.privateKey = &key
			}
		case AttrListenPort:
			port, ok := parseNumber(v, 16)
			if !ok {
				return c, fmt.Errorf("wireguard %s: listen-port %q is no port", name, v)
			}
			if p := uint16(port); p != d.ListenPort {
				c.listenPort = &p
			}
		case AttrFwmark:
			mark, err := strconv.ParseUint(strings.TrimPrefix(v, "0x"), 16, 32)
			if v != "" && err != nil || formatMark(uint32(mark)) != v {
				return c, fmt.Errorf("wireguard %s: fwmark %q: want 0x and a hexadecimal number other than 0, or nothing", name, v)
			}
			if m := uint32(mark); m != d.Fwmark {
				c.fwmark = &m
			}
		case AttrOwner:
			if v != Owner {
				return c, fmt.Errorf("wireguard %s: it would be somebody else's afterwards", name)
			}
		default:
			return c, fmt.Errorf("cannot set %s of wireguard %s: unknown attribute", k, name)
		}
	}
	return c, nil
}

// peerWant is what is wanted of a peer that is now as p says (nil: there is none): what has to be
// told, and all its prefixes afterwards.
func peerWant(name string, public Key, p *Peer, want provision.Attrs) (c peerChange, allowed []netip.Prefix, err error) {
	c = peerChange{publicKey: public, updateOnly: p != nil}
	if p == nil {
		p = &Peer{}
	}
	allowed = p.AllowedIPs
	for k, v := range want {
		switch k {
		case AttrPresharedKey:
			key, err := ParseKey(v)
			if err != nil {
				return c, nil, fmt.Errorf("wireguard-peer %s: preshared-key: %w", name, err)
			}
			if key != p.PresharedKey {
				c.presharedKey = &key
			}
		case AttrEndpoint:
			if v == "" {
				continue // where a peer was heard is not forgotten
			}
			e, err := parseEndpoint(v)
			if err != nil {
				return c, nil, fmt.Errorf("wireguard-peer %s: %w", name, err)
			}
			if e != p.Endpoint {
				c.endpoint = e
			}
		case AttrPersistentKeepalive:
			n, ok := parseNumber(v, 16)
			if !ok {
				return c, nil, fmt.Errorf("wireguard-peer %s: persistent-keepalive %q: want 1 to 65535 seconds, or nothing", name, v)
			}
			if s := uint16(n); s != p.PersistentKeepalive {
				c.keepalive = &s
			}
		case AttrAllowedIPs:
			if allowed, err = parseAllowedIPs(v); err != nil {
				return c, nil, fmt.Errorf("wireguard-peer %s: %w", name, err)
			}
		default:
			return c, nil, fmt.Errorf("cannot set %s of wireguard-peer %s: unknown attribute", k, name)
		}
	}
	return c, allowed, nil
}

// parseNumber reads a canonical decimal number, "" as 0.
func parseNumber(s string, bits int) (uint64, bool) {
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && n != 0 && strconv.FormatUint(n, 10) == s
}

func parseEndpoint(s string) (netip.AddrPort, error) {
	e, err := netip.ParseAddrPort(s)
	if err != nil || e.Port() == 0 || e.Addr().IsUnspecified() || e.Addr().Is4In6() {
		return netip.AddrPort{}, fmt.Errorf("endpoint %q: want an address and a port such as 192.0.2.1:51820 or [2001:db8::1]:51820", s)
	}
	zone := e.Addr().Zone()
	if _, err := strconv.ParseUint(zone, 10, 32); zone == "" || err == nil {
		return e, nil
	}
	// The kernel knows devices by their numbers.
	dev, err := net.InterfaceByName(zone)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("endpoint %q: there is no device %s", s, zone)
	}
	return netip.AddrPortFrom(e.Addr().WithZone(strconv.Itoa(dev.Index)), e.Port()), nil
}

// parseAllowedIPs reads what FormatAllowedIPs writes, and nothing else.
func parseAllowedIPs(s string) ([]netip.Prefix, error) {
	if s == "" {
		return nil, nil
	}
	list := make([]netip.Prefix, 0, strings.Count(s, ",")+1)
	for text := range strings.SplitSeq(s, ", ") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("allowed-ips: %q is no prefix such as 192.0.2.0/24", text)
		}
		list = append(list, p)
	}
	if want := FormatAllowedIPs(list); want != s {
		return nil, fmt.Errorf("allowed-ips %q are written %q", s, want)
	}
	return list, nil
}
