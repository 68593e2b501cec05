package wire

// Fault is what is wrong with a message that claims to be a query.
type Fault uint8

const (
	OK         Fault = iota
	Short            // no header: nothing to answer to
	Response         // QR is set: answering it would make two servers talk to each other for ever
	Opcode           // RFC 8906 section 3.1.4: NOTIMP
	Count1           // QDCOUNT is not 1, or there are answers or authority in a query: FORMERR
	Malformed        // question, record or option that cannot be read: FORMERR
	Compressed       // a pointer in the question has nothing to point to: FORMERR
	TwoOPT           // RFC 6891 section 6.1.1: FORMERR
	Version          // EDNS of another version: BADVERS
	Signed           // TSIG: RFC 8945 section 5.2 for one that does not know it: FORMERR
)

// Query is what a message asks. It refers to the message and to its own storage: neither may change while it is used.
type Query struct {
	ID       uint16
	Flags    uint16
	Question []byte // the question as it was sent
	Name     []byte // the name asked for, in lower case, uncompressed
	Type     uint16
	Class    uint16

	EDNS bool
	DO   bool   // RFC 3225
	Size uint16 // largest UDP answer that the client takes, as sent; 0 without EDNS

	key  [MaxName + 4 + KeyExtra]byte
	klen int
}

// KeyExtra is the room behind the question in Key.
const KeyExtra = 3

// Parse reads msg. A fault from Opcode on leaves ID and Flags set, and from Version on also the question.
func (q *Query) Parse(msg []byte) Fault {
	q.Question, q.Name, q.EDNS, q.DO, q.Size, q.klen = nil, nil, false, false, 0, 0
	if len(msg) < HeaderLen {
		return Short
	}
	q.ID, q.Flags = U16(msg), U16(msg[2:])
	if q.Flags&QR != 0 {
		return Response
	}
	if q.Flags&OpcodeMask != 0 {
		return Opcode
	}
	if U16(msg[4:]) != 1 || U32(msg[6:]) != 0 {
		return Count1
	}
	off := HeaderLen
	for {
		if off >= len(msg) {
			return Malformed
		}
		c := int(msg[off])
		if c == 0 {
			break
		}
		if c >= 64 {
			if c >= 0xc0 {
				return Compressed
			}
			return Malformed
		}
		next := off + 1 + c
		if next >= len(msg) || next-HeaderLen >= MaxName {
			return Malformed
		}
		p := off - HeaderLen
		q.key[p] = byte(c)
		for i, b := range msg[off+1 : next] {
			q.key[p+1+i] = Lower(b)
		}
		off = next
	}
	off++
	if off+4 > len(msg) {
		return Malformed
	}
	n := off - HeaderLen
	q.key[n-1] = 0
	copy(q.key[n:], msg[off:off+4])
	q.klen = n + 4
	q.Type, q.Class = U16(msg[off:]), U16(msg[off+2:])
	off += 4
	if ar := int(U16(msg[10:])); ar > 0 {
		if f := q.additional(msg, off, ar); f != OK {
			if f == Version {
				q.Question, q.Name = msg[HeaderLen:HeaderLen+q.klen], q.key[:n]
			}
			return f
		}
	}
	q.Question, q.Name = msg[HeaderLen:HeaderLen+q.klen], q.key[:n]
	return OK
}

func (q *Query) additional(msg []byte, off, count int) Fault {
	version := OK
	for range count {
		start := off
		off = SkipName(msg, off)
		if off < 0 || off+10 > len(msg) {
			return Malformed
		}
		t, size, ttl, rd := U16(msg[off:]), U16(msg[off+2:]), U32(msg[off+4:]), int(U16(msg[off+8:]))
		off += 10
		if off+rd > len(msg) {
			return Malformed
		}
		switch t {
		case TypeOPT:
			if q.EDNS {
				return TwoOPT
			}
			if msg[start] != 0 || !optionsOK(msg[off:off+rd]) {
				return Malformed
			}
			q.EDNS, q.Size, q.DO = true, size, ttl&0x8000 != 0
			if ttl>>16&0xff != 0 {
				version = Version
			}
		case TypeTSIG:
			return Signed
		}
		off += rd
	}
	return version
}

// optionsOK says whether the options of an OPT record have room for what they announce (RFC 6891 section 6.1.2). Which
// ones there are does not matter: an unknown one is ignored, and of the known ones none changes the answer.
func optionsOK(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 4 || len(b) < 4+int(U16(b[2:])) {
			return false
		}
		b = b[4+int(U16(b[2:])):]
	}
	return true
}

// CD says whether the client asks that nothing be validated for it.
func (q *Query) CD() bool { return q.Flags&CD != 0 }

// Key is the question in lower case, the bits that ask for other data (RFC 4035: DO and CD) and the view. It is valid
// until the next Parse.
func (q *Query) Key(view uint16) []byte {
	var bits byte
	if q.DO {
		bits |= 1
	}
	if q.CD() {
		bits |= 2
	}
	q.key[q.klen], q.key[q.klen+1], q.key[q.klen+2] = bits, byte(view>>8), byte(view)
	return q.key[:q.klen+KeyExtra]
}

// Folded is the question in lower case.
func (q *Query) Folded() []byte { return q.key[:q.klen] }

// CopyFrom makes q an independent copy of a parsed query.
func (q *Query) CopyFrom(o *Query) {
	*q = *o
	q.Question = append([]byte(nil), o.Question...)
	q.Name = q.key[:len(o.Name)]
}
