// Package dhcpprobe asks whether a DHCPv4 server answers on a link, without taking a
// lease: it sends a DHCPDISCOVER and waits for an OFFER that it never requests
// (RFC 2131 section 3.1: the server forgets an offer that nobody requests). The
// running client is not disturbed: it ignores replies with another transaction id.
package dhcpprobe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Offer is what a server offered.
type Offer struct {
	Server  netip.Addr
	Address netip.Addr
	Lease   time.Duration
}

// ErrSilent is returned when no server offered anything in time.
var ErrSilent = errors.New("no DHCP server answers")

const (
	serverPort = 67
	clientPort = 68
)

// discover is an IPv4 packet from 0.0.0.0:68 to the broadcast address. It carries no
// client identifier, so a server finds the lease of the running client by its hardware
// address and offers the same address at once, instead of first testing a new one with
// an echo request, which takes dnsmasq 3 s.
func discover(mac net.HardwareAddr, xid [4]byte) ([]byte, error) {
	d, err := dhcpv4.New(
		dhcpv4.WithTransactionID(xid),
		dhcpv4.WithHwAddr(mac),
		dhcpv4.WithBroadcast(true),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter),
	)
	if err != nil {
		return nil, fmt.Errorf("cannot make a DHCPDISCOVER: %w", err)
	}
	body := d.ToBytes()
	p := make([]byte, 28, 28+len(body))
	p = append(p, body...)
	ip, udp := p[:20], p[20:]
	ip[0] = 0x45
	ip[1] = 0x10 // low delay, as the clients send it
	binary.BigEndian.PutUint16(ip[2:], uint16(len(p)))
	ip[8] = 64
	ip[9] = 17
	copy(ip[16:], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip, 0))
	binary.BigEndian.PutUint16(udp, clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	pseudo := sum(ip[12:20], uint32(17+len(udp)))
	check := ^sum(udp, uint32(pseudo))
	if check == 0 {
		check = 0xffff // RFC 768: zero means none
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return p, nil
}

// sum is the ones' complement sum of RFC 1071.
func sum(b []byte, s uint32) uint16 {
	for len(b) > 1 {
		s += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// offered reads an IPv4 packet and reports whether it is an OFFER to our DISCOVER.
func offered(p []byte, mac net.HardwareAddr, xid [4]byte) (Offer, bool) {
	if len(p) < 20 || p[0]>>4 != 4 || p[9] != 17 {
		return Offer{}, false
	}
	head, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if head < 20 || total > len(p) || total < head+8 {
		return Offer{}, false
	}
	udp := p[head:total]
	if binary.BigEndian.Uint16(udp) != serverPort || binary.BigEndian.Uint16(udp[2:]) != clientPort {
		return Offer{}, false
	}
	d, err := dhcpv4.FromBytes(udp[8:])
	if err != nil || d.OpCode != dhcpv4.OpcodeBootReply || d.TransactionID != xid ||
		d.MessageType() != dhcpv4.MessageTypeOffer || d.ClientHWAddr.String() != mac.String() {
		return Offer{}, false
	}
	o := Offer{Lease: d.IPAddressLeaseTime(0)}
	o.Address, _ = netip.AddrFromSlice(d.YourIPAddr.To4())
	server := d.ServerIdentifier().To4()
	if server == nil {
		server = net.IP(p[12:16])
	}
	o.Server, _ = netip.AddrFromSlice(server)
	return o, o.Address.IsValid() && !o.Address.IsUnspecified()
}
