// Package delegate is the codec and the socket of a client of DHCPv6 prefix delegation (RFC 8415): what
// is to be sent comes from package pd's state machine, by way of whoever knows both.
package delegate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Message is what of a message concerns prefix delegation; durations are of seconds.
type Message struct {
	Type           uint8
	XID            [3]byte
	Client, Server []byte // DUIDs
	IAID           uint32
	HasIA          bool
	T1, T2         time.Duration
	Prefixes       []Prefix
	Status         int
	IA             int // status of the IA_PD
	Preference     uint8
	Elapsed        time.Duration
	MaxRT          time.Duration // SOL_MAX_RT; 0: none
	Length         int           // of the prefix that a solicit asks for; 0: none
}

// Prefix is one IA Prefix option.
type Prefix struct {
	Prefix           netip.Prefix
	Preferred, Valid time.Duration
}

// Options that the codec's library has no names for.
const (
	optSolMaxRT = 82 // RFC 8415 section 21.24
)

// Encode makes a message of a client.
func Encode(m Message) ([]byte, error) {
	client, err := dhcpv6.DUIDFromBytes(m.Client)
	if err != nil {
		return nil, fmt.Errorf("no identifier of this machine: %w", err)
	}
	out := &dhcpv6.Message{MessageType: dhcpv6.MessageType(m.Type), TransactionID: m.XID}
	out.AddOption(dhcpv6.OptClientID(client))
	if len(m.Server) > 0 {
		server, err := dhcpv6.DUIDFromBytes(m.Server)
		if err != nil {
			return nil, fmt.Errorf("no identifier of the server: %w", err)
		}
		out.AddOption(dhcpv6.OptServerID(server))
	}
	// It is counted in hundredths of a second, up to 0xffff (section 21.9).
	out.AddOption(dhcpv6.OptElapsedTime(min(m.Elapsed, 0xffff*10*time.Millisecond)))
	// A client has to ask for it (section 21.24).
	out.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionCode(optSolMaxRT)))
	ia := &dhcpv6.OptIAPD{}
	binary.BigEndian.PutUint32(ia.IaId[:], m.IAID)
	prefixes := m.Prefixes
	if len(prefixes) == 0 && m.Length > 0 {
		prefixes = []Prefix{{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), m.Length)}} // section 18.2.4: a wish
	}
	for _, p := range prefixes {
		ia.Options.Add(&dhcpv6.OptIAPrefix{PreferredLifetime: p.Preferred, ValidLifetime: p.Valid,
			Prefix: &net.IPNet{IP: p.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(p.Prefix.Bits(), 128)}})
	}
	out.AddOption(ia)
	return out.ToBytes(), nil
}

// Decode reads a message of a server. What it says of other identity associations than iaid's is
// passed over.
func Decode(b []byte, iaid uint32) (Message, error) {
	d, err := dhcpv6.FromBytes(b)
	if err != nil {
		return Message{}, fmt.Errorf("no message of DHCPv6: %w", err)
	}
	in, ok := d.(*dhcpv6.Message)
	if !ok {
		return Message{}, errors.New("a message between relays")
	}
	m := Message{Type: uint8(in.MessageType), XID: in.TransactionID, IAID: iaid, Preference: in.Options.Preference()}
	if id := in.Options.ClientID(); id != nil {
		m.Client = id.ToBytes()
	}
	if id := in.Options.ServerID(); id != nil {
		m.Server = id.ToBytes()
	}
	if s := in.Options.Status(); s != nil {
		m.Status = int(s.StatusCode)
	}
	if o, ok := in.GetOneOption(optSolMaxRT).(*dhcpv6.OptionGeneric); ok && len(o.OptionData) == 4 {
		m.MaxRT = time.Duration(binary.BigEndian.Uint32(o.OptionData)) * time.Second
	}
	for _, ia := range in.Options.IAPD() {
		if binary.BigEndian.Uint32(ia.IaId[:]) != iaid {
			continue
		}
		m.HasIA, m.T1, m.T2 = true, ia.T1, ia.T2
		if s := ia.Options.Status(); s != nil {
			m.IA = int(s.StatusCode)
		}
		for _, p := range ia.Options.Prefixes() {
			if p.Prefix == nil {
				continue
			}
			ones, bits := p.Prefix.Mask.Size()
			addr, ok := netip.AddrFromSlice(p.Prefix.IP.To16())
			if s := p.Options.Status(); !ok || bits != 128 || s != nil && s.StatusCode != 0 {
				continue
			}
			m.Prefixes = append(m.Prefixes, Prefix{netip.PrefixFrom(addr, ones), p.PreferredLifetime, p.ValidLifetime})
		}
	}
	return m, nil
}

// DUID is this machine's identifier towards servers, made of a hardware address (DUID-LL, section
// 11.4): it is the same after a boot without anything having to be kept.
func DUID(mac net.HardwareAddr) []byte {
	return (&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: mac}).ToBytes()
}
