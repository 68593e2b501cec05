package dhcp6

import (
	"encoding/binary"
	"net/netip"
)

// Message types (RFC 8415 section 7.3).
const (
	typeSolicit            = 1
	typeReply              = 7
	typeInformationRequest = 11
	typeRelayForward       = 12
	typeRelayReply         = 13
)

var typeNames = [...]string{
	1: "SOLICIT", 2: "ADVERTISE", 3: "REQUEST", 4: "CONFIRM", 5: "RENEW", 6: "REBIND", 7: "REPLY", 8: "RELEASE", 9: "DECLINE",
	10: "RECONFIGURE", 11: "INFORMATION-REQUEST", 12: "RELAY-FORW", 13: "RELAY-REPL",
}

func typeName(t uint8) string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return "OTHER"
}

// Option codes (IANA "Dynamic Host Configuration Protocol for IPv6").
const (
	optClientID      = 1
	optServerID      = 2
	optIANA          = 3
	optIATA          = 4
	optRequest       = 6
	optRelayMessage  = 9
	optInterfaceID   = 18
	optDNS           = 23
	optSearch        = 24
	optIAPD          = 25
	optSNTP          = 31
	optRefresh       = 32
	optNTP           = 56
	optClientLLA     = 79
	optCaptivePortal = 103
	optRelayPort     = 135
)

const (
	maxMessage = 2048 // bytes; what clients send fits one packet of 1280, a few relays add their headers
	maxRelays  = 8    // HOP_COUNT_LIMIT, RFC 8415 section 7.6
	maxOptions = 64
	maxDUID    = 130 // two bytes of type and 128 (RFC 8415 section 11.1)
)

// eachOption calls f with each option of b, or returns a reason why they make no sense. It does not trust any length:
// each must end within b.
func eachOption(b []byte, f func(code uint16, body []byte)) (reason string) {
	for n := 0; len(b) > 0; n++ {
		if len(b) < 4 || n >= maxOptions {
			return ReasonMalformed
		}
		code, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if length > len(b)-4 {
			return ReasonMalformed
		}
		f(code, b[4:4+length])
		b = b[4+length:]
	}
	return ""
}

// relay is one relay agent's header, outermost first (RFC 8415 section 9).
type relay struct {
	hops        uint8
	link, peer  [16]byte
	interfaceID []byte // nil if absent
	port        []byte // RFC 8357, two bytes, nil if absent
}

// unwrap takes the relays' headers off. mac is the client's hardware address as the relay next to it says (RFC 6939).
func unwrap(b []byte) (inner []byte, relays []relay, mac []byte, reason string) {
	for len(b) > 0 && b[0] == typeRelayForward {
		switch {
		case len(relays) >= maxRelays:
			return nil, nil, nil, ReasonRelayDepth
		case len(b) < 34:
			return nil, nil, nil, ReasonMalformed
		}
		r := relay{hops: b[1], link: [16]byte(b[2:18]), peer: [16]byte(b[18:34])}
		var message []byte
		messages := 0
		reason := eachOption(b[34:], func(code uint16, body []byte) {
			switch code {
			case optRelayMessage:
				message = body
				messages++
			case optInterfaceID:
				r.interfaceID = body
			case optRelayPort:
				if len(body) == 2 {
					r.port = body
				}
			case optClientLLA:
				if len(body) == 8 && body[0] == 0 && body[1] == 1 {
					mac = body[2:]
				}
			}
		})
		if reason != "" || messages != 1 {
			return nil, nil, nil, ReasonMalformed
		}
		relays = append(relays, r)
		b = message
	}
	return b, relays, mac, ""
}

// wrap puts the same headers around a reply (RFC 8415 section 19.3).
func wrap(b []byte, relays []relay) []byte {
	for i := len(relays) - 1; i >= 0; i-- {
		r := relays[i]
		out := make([]byte, 0, len(b)+64+len(r.interfaceID))
		out = append(out, typeRelayReply, r.hops)
		out = append(append(out, r.link[:]...), r.peer[:]...)
		if r.interfaceID != nil {
			out = appendOption(out, optInterfaceID, r.interfaceID)
		}
		if r.port != nil {
			out = appendOption(out, optRelayPort, r.port)
		}
		b = appendOption(out, optRelayMessage, b)
	}
	return b
}

func appendOption(b []byte, code uint16, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, code)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// request is a client's message, read.
type request struct {
	kind     uint8
	xid      [3]byte
	clientID []byte // nil if absent
	serverID []byte // nil if absent
	ia       bool   // has an identity association
	wanted   []uint16
	asks     bool // has an option request option
}

// read takes a client's message apart. The library's parser is not used for it: it reads every option, and refuses the
// message for one that has no bearing on us.
func read(b []byte) (r request, reason string) {
	if len(b) < 4 {
		return r, ReasonShort
	}
	r.kind, r.xid = b[0], [3]byte(b[1:4])
	twice := false
	reason = eachOption(b[4:], func(code uint16, body []byte) {
		switch code {
		case optClientID:
			twice = twice || r.clientID != nil
			r.clientID = body
		case optServerID:
			twice = twice || r.serverID != nil
			r.serverID = body
		case optIANA, optIATA, optIAPD:
			r.ia = true
		case optRequest:
			r.asks = true
			for ; len(body) >= 2 && len(r.wanted) < 2*maxOptions; body = body[2:] {
				r.wanted = append(r.wanted, binary.BigEndian.Uint16(body))
			}
		}
	})
	switch {
	case reason != "":
	case twice:
		reason = ReasonMalformed // RFC 8415 section 21: these occur once at most
	case r.clientID != nil && (len(r.clientID) < 3 || len(r.clientID) > maxDUID):
		reason = ReasonClientID
	}
	return r, reason
}

// duidMAC is the Ethernet address within a DUID-LLT or DUID-LL (RFC 8415 sections 11.2 and 11.4), or nil.
func duidMAC(d []byte) []byte {
	switch {
	case len(d) == 14 && d[0] == 0 && d[1] == 1 && d[2] == 0 && d[3] == 1:
		return d[8:]
	case len(d) == 10 && d[0] == 0 && d[1] == 3 && d[2] == 0 && d[3] == 1:
		return d[4:]
	}
	return nil
}

// validSource says that an answer may go to ip.
func validSource(ip netip.Addr) bool {
	return ip.Is6() && !ip.Is4In6() && !ip.IsMulticast() && !ip.IsUnspecified() && !ip.IsLoopback()
}
