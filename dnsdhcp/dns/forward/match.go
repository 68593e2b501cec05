package forward

import (
	"bytes"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

const maxUDP = 4096

// verdict on a datagram or frame that came from an upstream's address.
type verdict uint8

const (
	accept    verdict = iota
	wrongID           // also what is no reply at all
	wrongName         // another question than the one that was asked
	wrongCase         // the right one, but not in the case that it was asked in
	noRecords         // an error code with an empty question section: some servers do so when they do not know EDNS
)

// match judges whether msg is the reply to the question that was asked with id (RFC 5452 section 9.1; address and port
// are the kernel's part, the socket is connected). exact asks for the case of letters too.
func match(msg []byte, id uint16, question []byte, exact bool) verdict {
	if len(msg) < wire.HeaderLen || wire.ID(msg) != id || wire.Flags(msg)&(wire.QR|wire.OpcodeMask) != wire.QR {
		return wrongID
	}
	if wire.Count(msg, 0) == 0 && wire.Flags(msg)&wire.RcodeMask != wire.NoError && wire.Flags(msg)&wire.RcodeMask != wire.NXDomain {
		return noRecords
	}
	if wire.Count(msg, 0) != 1 || len(msg) < wire.HeaderLen+len(question) {
		return wrongName
	}
	got := msg[wire.HeaderLen : wire.HeaderLen+len(question)]
	n := len(question) - 4
	switch {
	case bytes.Equal(got, question):
		return accept
	case !bytes.Equal(got[n:], question[n:]) || !wire.EqualFold(got[:n], question[:n]):
		return wrongName
	case exact:
		return wrongCase
	}
	return accept
}

// Accepted cuts a matching reply down to what is passed on: answer and authority. It returns the extended response
// code, and false for what is not wholly readable: neither a client nor the cache shall have to cope with that.
func Accepted(msg []byte) (cut []byte, rcode int, ok bool) {
	end := wire.QuestionEnd(msg)
	if end < 0 {
		return nil, 0, false
	}
	rcode = int(wire.Flags(msg) & wire.RcodeMask)
	valid := true
	total, err := wire.Walk(msg, func(r wire.Record) bool {
		switch {
		case r.Type == wire.TypeOPT && r.Section == 3:
			rcode |= int(msg[r.TTLAt()]) << 4
		case r.Type == wire.TypeOPT:
			valid = false
		case r.Section != 3:
			end = r.End
			// miekg/dns takes them for the empty records of dynamic updates (RFC 2136), and a client need not.
			if r.End == r.DataAt() && !mayBeEmpty(r.Type) {
				valid = false
			}
		}
		return valid
	})
	if err != nil || !valid {
		return nil, 0, false
	}
	_ = total // what follows the last record is cut off like the additional section
	wire.SetCount(msg, 3, 0)
	if wire.Flags(msg)&wire.TC != 0 {
		// Asked again over TCP, or given on as truncated: never kept. Nobody may use its records (RFC 2181 section 9), so that
		// they can be read is not worth a look and they are not given on.
		wire.SetCount(msg, 1, 0)
		wire.SetCount(msg, 2, 0)
		return msg[:wire.QuestionEnd(msg)], rcode, true
	}
	msg = msg[:end]
	var m miekg.Msg
	if m.Unpack(msg) != nil || len(m.Answer) != wire.Count(msg, 1) || len(m.Ns) != wire.Count(msg, 2) {
		return nil, 0, false
	}
	return msg, rcode, true
}

// mayBeEmpty: NULL (RFC 1035 section 3.3.10), APL (RFC 3123), and types that nobody here knows.
func mayBeEmpty(t uint16) bool {
	_, known := miekg.TypeToString[t]
	return t == 10 || t == 42 || !known
}
