package bed

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// Packet is one captured frame, as far as the tests want to know.
type Packet struct {
	N              int // place in the capture
	At             time.Time
	Out            bool // towards the station or server behind the captured interface
	SrcMAC, DstMAC string
	EtherType      uint16
	Proto          uint8          // of IP: 17 UDP, 6 TCP, 58 ICMPv6
	Src, Dst       netip.AddrPort // with port 0 for what has none
	HopLimit       uint8
	DHCP           *dhcpv4.DHCPv4
	ARP            *ARP
	ICMP6          uint8  // type: 133 RS, 134 RA
	Payload        []byte // of UDP, or the ICMPv6 message
}

// ARP is an ARP packet (RFC 826). A probe has no sender address (RFC 5227 section 1.1).
type ARP struct {
	Op             uint16 // 1 request, 2 reply
	Sender, Target netip.Addr
	SenderMAC      string
}

const broadcastMAC = "ff:ff:ff:ff:ff:ff"

func decode(b []byte) Packet {
	p := Packet{At: time.Now()}
	if len(b) < 14 {
		return p
	}
	p.DstMAC, p.SrcMAC = net.HardwareAddr(b[0:6]).String(), net.HardwareAddr(b[6:12]).String()
	p.EtherType = binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	switch p.EtherType {
	case unix.ETH_P_ARP:
		if len(b) >= 28 {
			p.ARP = &ARP{Op: binary.BigEndian.Uint16(b[6:]), SenderMAC: net.HardwareAddr(b[8:14]).String(),
				Sender: netip.AddrFrom4([4]byte(b[14:18])), Target: netip.AddrFrom4([4]byte(b[24:28]))}
		}
	case unix.ETH_P_IP:
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return p
		}
		p.Proto, p.HopLimit = b[9], b[8]
		src, dst := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		if n := int(binary.BigEndian.Uint16(b[2:])); n >= 20 && n < len(b) {
			b = b[:n]
		}
		p.transport(src, dst, b[int(b[0]&15)*4:])
	case unix.ETH_P_IPV6:
		if len(b) < 40 {
			return p
		}
		p.Proto, p.HopLimit = b[6], b[7]
		src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		if n := 40 + int(binary.BigEndian.Uint16(b[4:])); n < len(b) {
			b = b[:n]
		}
		p.transport(src, dst, b[40:])
	}
	return p
}

func (p *Packet) transport(src, dst netip.Addr, b []byte) {
	p.Src, p.Dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	switch {
	case (p.Proto == unix.IPPROTO_UDP || p.Proto == unix.IPPROTO_TCP) && len(b) >= 8:
		p.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
		p.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
		if p.Proto != unix.IPPROTO_UDP {
			return
		}
		p.Payload = append([]byte(nil), b[8:]...)
		if s, d := p.Src.Port(), p.Dst.Port(); d == 67 || d == 68 || s == 67 {
			p.DHCP, _ = dhcpv4.FromBytes(p.Payload)
		}
	case p.Proto == unix.IPPROTO_ICMPV6 && len(b) >= 4:
		p.ICMP6, p.Payload = b[0], append([]byte(nil), b...)
	}
}

// Kind is the DHCP message's name, "" for what is not DHCP. A REQUEST is called after the client's state (RFC 2131 section 4.3.2).
func (p Packet) Kind() string {
	if p.DHCP == nil {
		return ""
	}
	kind := p.DHCP.MessageType().String()
	if p.DHCP.MessageType() != dhcpv4.MessageTypeRequest {
		return kind
	}
	switch d := p.DHCP; {
	case d.ServerIdentifier() != nil:
		return "SELECTING" // NetworkManager leaves its old address in ciaddr there, after a NAK
	case !d.ClientIPAddr.IsUnspecified() && p.DstMAC == broadcastMAC:
		return "REBINDING"
	case !d.ClientIPAddr.IsUnspecified():
		return "RENEWING"
	}
	return "INIT-REBOOT"
}

// Is says whether the packet is a DHCP message of this kind.
func Is(kind string) func(Packet) bool { return func(p Packet) bool { return p.Kind() == kind } }

func (p Packet) String() string {
	var b strings.Builder
	switch {
	case p.DHCP != nil:
		d := p.DHCP
		fmt.Fprintf(&b, "%s %s > %s", p.Kind(), p.Src, p.Dst)
		if p.DstMAC == broadcastMAC {
			b.WriteString(" (broadcast frame)")
		}
		fmt.Fprintf(&b, " xid %x chaddr %s", d.TransactionID[:], d.ClientHWAddr)
		for _, f := range []struct {
			name string
			ip   net.IP
		}{{"ciaddr", d.ClientIPAddr}, {"yiaddr", d.YourIPAddr}, {"giaddr", d.GatewayIPAddr}, {"server-id", d.ServerIdentifier()}, {"requested", d.RequestedIPAddress()}} {
			if f.ip != nil && !f.ip.IsUnspecified() {
				fmt.Fprintf(&b, " %s %s", f.name, f.ip)
			}
		}
		if l := d.IPAddressLeaseTime(0); l != 0 {
			fmt.Fprintf(&b, " lease %v", l)
		}
	case p.ARP != nil:
		fmt.Fprintf(&b, "ARP %d: %s at %s asks for %s", p.ARP.Op, p.ARP.Sender, p.ARP.SenderMAC, p.ARP.Target)
	default:
		fmt.Fprintf(&b, "protocol %d %s > %s", p.Proto, p.Src, p.Dst)
		if p.ICMP6 != 0 {
			fmt.Fprintf(&b, " ICMPv6 type %d", p.ICMP6)
		}
	}
	return b.String()
}
