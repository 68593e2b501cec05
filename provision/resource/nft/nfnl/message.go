package nfnl

import (
	"encoding/binary"
	"errors"
	"syscall"
)

// Message is one netlink message of nf_tables.
type Message struct {
	Kind   uint8 // NFT_MSG_*
	Family uint8 // NFPROTO_*
	Seq    uint32
	Port   uint32 // of the socket that it answers or that caused the event
	Gen    uint16 // lower half of the generation that it is from
	Attrs  []byte

	kind, flags uint16
	errno       syscall.Errno // of NLMSG_ERROR
	offset      uint32        // where the cause is in what was sent; 0 is unknown
	text        string        // what the kernel says in words
}

const (
	typeError = 2      // NLMSG_ERROR
	typeDone  = 3      // NLMSG_DONE
	flagIntr  = 0x10   // NLM_F_DUMP_INTR
	capped    = 0x100  // NLM_F_CAPPED
	ackTLVs   = 0x200  // NLM_F_ACK_TLVS
	attrMsg   = 1      // NLMSGERR_ATTR_MSG
	attrOffs  = 2      // NLMSGERR_ATTR_OFFS
	maxErrno  = 0x1000 // MAX_ERRNO and one
)

var errShort = errors.New("a netlink message of the kernel is cut off")

// next splits the first message off a datagram.
func next(b []byte) (m Message, rest []byte, err error) {
	if len(b) < nlHeader {
		return m, nil, errShort
	}
	size := int(binary.NativeEndian.Uint32(b))
	if size < nlHeader || size > len(b) {
		return m, nil, errShort
	}
	m.kind = binary.NativeEndian.Uint16(b[4:])
	m.flags = binary.NativeEndian.Uint16(b[6:])
	m.Seq = binary.NativeEndian.Uint32(b[8:])
	m.Port = binary.NativeEndian.Uint32(b[12:])
	body, rest := b[nlHeader:size], b[min(padded(size), len(b)):]
	switch m.kind {
	case typeError, typeDone:
		if err := m.readError(body); err != nil {
			return m, nil, err
		}
	default:
		if len(body) < nfHeader {
			return m, nil, errShort
		}
		m.Kind, m.Family = uint8(m.kind), body[0]
		m.Gen = binary.BigEndian.Uint16(body[2:])
		m.Attrs = body[nfHeader:]
	}
	return m, rest, nil
}

// readError reads struct nlmsgerr and what follows it.
func (m *Message) readError(body []byte) error {
	if len(body) < 4 {
		if m.kind == typeDone {
			return nil
		}
		return errShort
	}
	if n := -int32(binary.NativeEndian.Uint32(body)); n > 0 && n < maxErrno {
		m.errno = syscall.Errno(n)
	}
	if m.kind == typeDone || m.flags&ackTLVs == 0 || len(body) < 4+nlHeader {
		return nil
	}
	skip := 4 + nlHeader
	if m.flags&capped == 0 { // the whole message is sent back with its error
		if size := binary.NativeEndian.Uint32(body[4:]); size >= nlHeader && uint64(size) <= uint64(len(body)-4) {
			skip = min(4+padded(int(size)), len(body))
		}
	}
	var tb [attrOffs + 1][]byte
	if Fill(tb[:], body[skip:]) != nil {
		return nil // the error itself is known
	}
	if len(tb[attrOffs]) == 4 {
		m.offset = binary.NativeEndian.Uint32(tb[attrOffs])
	}
	if n := len(tb[attrMsg]); n > 0 && n < 512 && tb[attrMsg][n-1] == 0 {
		m.text = string(tb[attrMsg][:n-1])
	}
	return nil
}
