package dhcp6

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/ra"
)

// Why a message was answered, or not: Entry.Reason of package trace.
const (
	ReasonAnswered     = "answered"
	ReasonWrongLink    = "wrong-link"     // came in by another interface
	ReasonSource       = "source"         // from an address that no client or relay of the link has
	ReasonLong         = "long"           // more than 2048 bytes
	ReasonShort        = "short"          // shorter than its header
	ReasonMalformed    = "malformed"      // an option that ends beyond the message, is there twice, or too many
	ReasonRelayDepth   = "relay-depth"    // more than eight relays
	ReasonUnicast      = "unicast"        // RFC 8415 section 16: only to the servers' group
	ReasonStateful     = "stateful"       // asks for addresses, which this server does not give
	ReasonNotForServer = "not-for-server" // only servers and relays send this to clients
	ReasonUnknownType  = "unknown-type"
	ReasonOtherServer  = "other-server" // names another server
	ReasonIA           = "ia"           // an information request with an identity association
	ReasonClientID     = "client-id"    // a client identifier of impossible length
	ReasonNoAddress    = "no-address"   // we have no address on the link to answer from
)

// Ports of RFC 8415 section 7.2.
const (
	ClientPort = 546
	ServerPort = 547
)

// Outcome is what becomes of a packet.
type Outcome struct {
	Reply  []byte // nil: silence
	To     netip.AddrPort
	From   netip.Addr // not valid: the kernel may choose
	What   string     // the kind of the client's message
	MAC    []byte     // the client's, where it can be known
	Reason string
}

// Answer decides about a packet that came in on l. It keeps nothing and knows no time. duid is the server's.
func Answer(c *Config, l *link.Link, duid []byte, p Packet) (o Outcome) {
	o.What = "OTHER"
	if len(p.Data) > 0 {
		o.What = typeName(p.Data[0])
	}
	switch {
	case p.Index != l.Index:
		o.Reason = ReasonWrongLink
		return o
	case !validSource(p.Src.Addr()):
		o.Reason = ReasonSource
		return o
	case len(p.Data) > maxMessage:
		o.Reason = ReasonLong
		return o
	}
	inner, relays, mac, reason := unwrap(p.Data)
	if reason != "" {
		o.Reason = reason
		return o
	}
	if len(inner) > 0 {
		o.What = typeName(inner[0])
	}
	r, reason := read(inner)
	o.MAC = mac
	if o.MAC == nil {
		o.MAC = duidMAC(r.clientID)
	}
	switch {
	case reason != "":
		o.Reason = reason
	case r.kind == 0 || int(r.kind) >= len(typeNames):
		o.Reason = ReasonUnknownType
	case r.kind == 2 || r.kind == typeReply || r.kind == 10 || r.kind == typeRelayReply:
		o.Reason = ReasonNotForServer
	case r.kind != typeInformationRequest:
		o.Reason = ReasonStateful
	case len(relays) == 0 && !p.Dst.IsMulticast():
		o.Reason = ReasonUnicast
	case len(relays) == 0 && !onLink(l, p.Src.Addr()):
		o.Reason = ReasonSource
	case r.serverID != nil && !bytes.Equal(r.serverID, duid):
		o.Reason = ReasonOtherServer
	case r.ia:
		o.Reason = ReasonIA // RFC 8415 section 16.12
	}
	if o.Reason != "" {
		return o
	}
	o.From = p.Dst
	if p.Dst.IsMulticast() {
		if o.From = from(l, p.Src.Addr()); !o.From.IsValid() {
			o.Reason = ReasonNoAddress
			return o
		}
	}
	o.Reason = ReasonAnswered
	o.Reply = wrap(c.reply(l, duid, &r), relays)
	o.To = netip.AddrPortFrom(p.Src.Addr(), ClientPort)
	if len(relays) > 0 {
		o.To = netip.AddrPortFrom(p.Src.Addr(), ServerPort)
		if relays[0].port != nil {
			o.To = netip.AddrPortFrom(p.Src.Addr(), p.Src.Port()) // RFC 8357 section 5.2
		}
	}
	return o
}

func onLink(l *link.Link, ip netip.Addr) bool {
	return ip.IsLinkLocalUnicast() || slices.ContainsFunc(l.Addrs, func(a link.Addr) bool { return a.Prefix.Contains(ip) })
}

// from is our address of the scope of the asker's.
func from(l *link.Link, asker netip.Addr) netip.Addr {
	if asker.IsLinkLocalUnicast() {
		return l.LinkLocal()
	}
	return ra.Self(*l)
}

// reply builds the message to the client (RFC 8415 section 18.3.6). Options are those that it asked for; who does not
// say what it wants gets the names' ones.
func (c *Config) reply(l *link.Link, duid []byte, r *request) []byte {
	m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: r.xid}
	raw := func(code dhcpv6.OptionCode, b []byte) {
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: code, OptionData: b})
	}
	wants := func(code uint16) bool {
		if !r.asks {
			return code == optDNS || code == optSearch
		}
		return slices.Contains(r.wanted, code)
	}
	if r.clientID != nil {
		raw(optClientID, r.clientID) // as it came, also of kinds that the library does not know
	}
	raw(optServerID, duid)
	if dns := servers(c.DNSSelf, l, c.DNS); wants(optDNS) && len(dns) > 0 {
		m.AddOption(dhcpv6.OptDNS(dns...))
	}
	if wants(optSearch) && len(c.Search) > 0 {
		labels := &rfc1035label.Labels{} // made anew: it is not safe for concurrent use
		for _, d := range c.Search {
			labels.Labels = append(labels.Labels, strings.TrimSuffix(d, "."))
		}
		m.AddOption(dhcpv6.OptDomainSearchList(labels))
	}
	ntp := servers(c.NTPSelf, l, c.NTP)
	if wants(optSNTP) && len(ntp) > 0 {
		var b []byte
		for _, ip := range ntp {
			b = append(b, ip...)
		}
		raw(optSNTP, b)
	}
	if wants(optRefresh) && c.Refresh > 0 {
		raw(optRefresh, binary.BigEndian.AppendUint32(nil, uint32(c.Refresh.Seconds())))
	}
	if wants(optNTP) && len(ntp) > 0 {
		var b []byte
		for _, ip := range ntp {
			b = appendOption(b, 1, ip) // NTP_SUBOPTION_SRV_ADDR, RFC 5908 section 4.1
		}
		raw(optNTP, b)
	}
	if wants(optCaptivePortal) && c.CaptivePortal != "" {
		raw(optCaptivePortal, []byte(c.CaptivePortal))
	}
	return m.ToBytes()
}

func servers(self bool, l *link.Link, list []netip.Addr) []net.IP {
	var out []net.IP
	own := ra.Self(*l)
	if self && own.IsValid() {
		out = append(out, own.AsSlice())
	}
	for _, a := range list {
		if !self || a != own {
			out = append(out, a.AsSlice())
		}
	}
	return out
}
