package wireguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

func parseSockaddr(b []byte) netip.AddrPort {
	switch {
	case len(b) >= unix.SizeofSockaddrInet4 && native.Uint16(b) == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:]))
	case len(b) >= unix.SizeofSockaddrInet6 && native.Uint16(b) == unix.AF_INET6:
		a := netip.AddrFrom16([16]byte(b[8:24]))
		if zone := native.Uint32(b[24:]); zone != 0 {
			a = a.WithZone(strconv.FormatUint(uint64(zone), 10))
		}
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[2:]))
	}
	return netip.AddrPort{}
}

var errAnswer = errors.New("an answer of the kernel's WireGuard cannot be read")

// decodeDevice puts the messages of one dump together. A peer whose prefixes do not fit one message
// goes on in the next one.
func decodeDevice(d *Device, msgs [][]byte) error {
	for _, m := range msgs {
		if len(m) < 4 {
			return errAnswer
		}
		attrs, err := netdev.ParseAttrs(m[4:])
		if err != nil {
			return fmt.Errorf("%w: %w", errAnswer, err)
		}
		for _, a := range attrs {
			switch a.Kind &^ unix.NLA_F_NESTED {
			case devPrivateKey:
				copy(d.PrivateKey[:], a.Data)
			case devListenPort:
				d.ListenPort = uint16(number(a.Data))
			case devFwmark:
				d.Fwmark = uint32(number(a.Data))
			case devPeers:
				if err := decodePeers(d, a.Data); err != nil {
					return err
				}
			}
		}
	}
	d.PublicKey = d.PrivateKey.Public()
	for i := range d.Peers {
		d.Peers[i].AllowedIPs = sorted(d.Peers[i].AllowedIPs)
	}
	return nil
}

func decodePeers(d *Device, b []byte) error {
	list, err := netdev.ParseAttrs(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	for _, one := range list {
		p, err := decodePeer(one.Data)
		if err != nil {
			return err
		}
		if n := len(d.Peers); n > 0 && d.Peers[n-1].PublicKey == p.PublicKey {
			last := &d.Peers[n-1]
			last.AllowedIPs = append(last.AllowedIPs, p.AllowedIPs...)
			continue
		}
		d.Peers = append(d.Peers, p)
	}
	return nil
}

func decodePeer(b []byte) (Peer, error) {
	var p Peer
	attrs, err := netdev.ParseAttrs(b)
	if err != nil {
		return p, fmt.Errorf("%w: %w", errAnswer, err)
	}
	for _, a := range attrs {
		switch a.Kind &^ unix.NLA_F_NESTED {
		case peerPublicKey:
			copy(p.PublicKey[:], a.Data)
		case peerPresharedKey:
			copy(p.PresharedKey[:], a.Data)
		case peerEndpoint:
			p.Endpoint = parseSockaddr(a.Data)
		case peerKeepalive:
			p.PersistentKeepalive = uint16(number(a.Data))
		case peerLastHandshake: // struct __kernel_timespec
			if len(a.Data) == 16 {
				if sec, nsec := int64(native.Uint64(a.Data)), int64(native.Uint64(a.Data[8:])); sec != 0 || nsec != 0 {
					p.LastHandshake = time.Unix(sec, nsec)
				}
			}
		case peerReceived:
			p.Received = number(a.Data)
		case peerSent:
			p.Sent = number(a.Data)
		case peerAllowed:
			if p.AllowedIPs, err = decodeAllowed(a.Data); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func decodeAllowed(b []byte) ([]netip.Prefix, error) {
	list, err := netdev.ParseAttrs(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	out := make([]netip.Prefix, 0, len(list))
	for _, one := range list {
		attrs, err := netdev.ParseAttrs(one.Data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
		var addr netip.Addr
		bits := -1
		for _, a := range attrs {
			switch a.Kind {
			case allowedAddr:
				addr, _ = netip.AddrFromSlice(a.Data)
			case allowedBits:
				bits = int(number(a.Data))
			}
		}
		p, err := addr.Prefix(bits)
		if err != nil || !p.IsValid() {
			return nil, errAnswer
		}
		out = append(out, p)
	}
	return out, nil
}

// number is an unsigned integer of the kernel's, by its size.
func number(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(native.Uint16(b))
	case 4:
		return uint64(native.Uint32(b))
	case 8:
		return native.Uint64(b)
	}
	return 0
}
