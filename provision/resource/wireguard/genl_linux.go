package wireguard

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/rtnl"
)

// Numbers of the generic netlink family "wireguard" (linux/wireguard.h).
const (
	familyName    = "wireguard"
	familyVersion = 1

	cmdGet = 0
	cmdSet = 1

	devIndex      = 1
	devName       = 2
	devPrivateKey = 3
	devFlags      = 5
	devListenPort = 6
	devFwmark     = 7
	devPeers      = 8

	devReplacePeers = 1

	peerPublicKey     = 1
	peerPresharedKey  = 2
	peerFlags         = 3
	peerEndpoint      = 4
	peerKeepalive     = 5
	peerLastHandshake = 6
	peerReceived      = 7
	peerSent          = 8
	peerAllowed       = 9

	peerRemove         = 1
	peerReplaceAllowed = 2
	peerUpdateOnly     = 4

	allowedFamily = 1
	allowedAddr   = 2
	allowedBits   = 3
)

// messageLimit bounds one message: a nested attribute's length is a 16-bit number, and the kernel
// takes a message whole into one buffer.
const messageLimit = 32 << 10

// peerMost is more than one peer with one prefix takes.
const peerMost = 256

var native = binary.NativeEndian

// genlHeader is struct genlmsghdr.
func genlHeader(command byte) []byte { return []byte{command, familyVersion, 0, 0} }

// askDevice is the body of the request for a device.
func askDevice(index int) []byte {
	return rtnl.AppendAttr(genlHeader(cmdGet), devIndex, rtnl.U32(uint32(index)))
}

// messages are the bodies of the requests that carry c out, in their order. None is much longer
// than limit; what happens once for a device or a peer is in its first one alone.
func (c change) messages(index, limit int) [][]byte {
	var out [][]byte
	head := rtnl.AppendAttr(genlHeader(cmdSet), devIndex, rtnl.U32(uint32(index)))
	msg := slices.Clone(head)
	if c.replacePeers {
		msg = rtnl.AppendAttr(msg, devFlags, rtnl.U32(devReplacePeers))
	}
	if c.privateKey != nil {
		msg = rtnl.AppendAttr(msg, devPrivateKey, c.privateKey[:])
	}
	if c.listenPort != nil {
		msg = rtnl.AppendAttr(msg, devListenPort, u16(*c.listenPort))
	}
	if c.fwmark != nil {
		msg = rtnl.AppendAttr(msg, devFwmark, rtnl.U32(*c.fwmark))
	}
	var peers []byte
	flush := func() {
		if len(peers) > 0 {
			msg = rtnl.AppendAttr(msg, devPeers|unix.NLA_F_NESTED, peers)
		}
		out, msg, peers = append(out, msg), slices.Clone(head), nil
	}
	for _, p := range c.peers {
		for first := true; ; first = false {
			if len(peers) > 0 && len(peers)+peerMost > limit {
				flush()
			}
			var b []byte
			b, p.allowed = p.encode(first, limit-len(peers))
			peers = rtnl.AppendAttr(peers, unix.NLA_F_NESTED, b)
			if len(p.allowed) == 0 {
				break
			}
			flush()
		}
	}
	flush()
	return out
}

// encode is the attributes of one peer with as many prefixes as there is room for, and the others.
func (p peerChange) encode(first bool, room int) ([]byte, []netip.Prefix) {
	b := rtnl.AppendAttr(nil, peerPublicKey, p.publicKey[:])
	flags := uint32(0)
	if p.remove {
		flags |= peerRemove
	}
	if p.updateOnly || !first {
		flags |= peerUpdateOnly
	}
	if p.replaceAllowed && first {
		flags |= peerReplaceAllowed
	}
	if flags != 0 {
		b = rtnl.AppendAttr(b, peerFlags, rtnl.U32(flags))
	}
	if first {
		if p.presharedKey != nil {
			b = rtnl.AppendAttr(b, peerPresharedKey, p.presharedKey[:])
		}
		if p.endpoint.IsValid() {
			b = rtnl.AppendAttr(b, peerEndpoint, sockaddr(p.endpoint))
		}
		if p.keepalive != nil {
			b = rtnl.AppendAttr(b, peerKeepalive, u16(*p.keepalive))
		}
	}
	var list []byte
	rest := p.allowed
	for len(rest) > 0 && (len(list) == 0 || len(b)+len(list)+64 < room) {
		a := rest[0].Addr()
		family := uint16(unix.AF_INET)
		if a.Is6() {
			family = unix.AF_INET6
		}
		one := rtnl.AppendAttr(nil, allowedFamily, u16(family))
		one = rtnl.AppendAttr(one, allowedAddr, a.AsSlice())
		one = rtnl.AppendAttr(one, allowedBits, []byte{byte(rest[0].Bits())})
		list = rtnl.AppendAttr(list, unix.NLA_F_NESTED, one)
		rest = rest[1:]
	}
	if len(list) > 0 {
		b = rtnl.AppendAttr(b, peerAllowed|unix.NLA_F_NESTED, list)
	}
	return b, rest
}

func u16(n uint16) []byte { return native.AppendUint16(nil, n) }

// sockaddr is struct sockaddr_in or sockaddr_in6; a zone is the device's number.
func sockaddr(e netip.AddrPort) []byte {
	a := e.Addr()
	if a.Is4() {
		b := make([]byte, unix.SizeofSockaddrInet4)
		native.PutUint16(b, unix.AF_INET)
		binary.BigEndian.PutUint16(b[2:], e.Port())
		copy(b[4:], a.AsSlice())
		return b
	}
	b := make([]byte, unix.SizeofSockaddrInet6)
	native.PutUint16(b, unix.AF_INET6)
	binary.BigEndian.PutUint16(b[2:], e.Port())
	copy(b[8:], a.AsSlice())
	zone, _ := strconv.ParseUint(a.Zone(), 10, 32) // judged
	native.PutUint32(b[24:], uint32(zone))
	return b
}
