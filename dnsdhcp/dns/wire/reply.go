package wire

// OPTLen is the length of an OPT record without options.
const OPTLen = 11

// EDE codes (RFC 8914 section 4 and its registry); NoEDE stands for none.
const (
	EDEStale            = 3
	EDEForgedAnswer     = 4
	EDEBlocked          = 15
	EDECensored         = 16
	EDEFiltered         = 17
	EDEProhibited       = 18
	EDEStaleNX          = 19
	EDENotAuth          = 20
	EDENotSupported     = 21
	EDENoReachable      = 22
	EDENetworkError     = 23
	EDEInvalidData      = 24
	EDECachedError      = 13
	EDENotReady         = 14
	EDEOther            = 0
	NoEDE           int = -1
)

// AppendHeader begins a reply to q: its ID, opcode, RD and CD, and its question if it could be read.
func (q *Query) AppendHeader(out []byte, flags uint16) []byte {
	flags |= QR | q.Flags&(OpcodeMask|RD|CD)
	qd := byte(0)
	if q.Question != nil {
		qd = 1
	}
	out = append(out, byte(q.ID>>8), byte(q.ID), byte(flags>>8), byte(flags), 0, qd, 0, 0, 0, 0, 0, 0)
	return append(out, q.Question...)
}

// AppendOPT ends a reply with EDNS: our size, the upper bits of the response code, DO as asked (RFC 6891 section
// 6.1.4, RFC 3225), and an extended error without text unless ede is NoEDE. start is where the reply begins in out. It
// does nothing for a client that did not send EDNS.
func (q *Query) AppendOPT(out []byte, start int, size uint16, rcode int, ede int) []byte {
	if !q.EDNS {
		return out
	}
	do := byte(0)
	if q.DO {
		do = 0x80
	}
	out = append(out, 0, 0, TypeOPT, byte(size>>8), byte(size), byte(rcode>>4), 0, do, 0)
	if ede == NoEDE {
		out = append(out, 0, 0)
	} else {
		out = append(out, 0, 6, 0, 15, 0, 2, byte(ede>>8), byte(ede))
	}
	msg := out[start:]
	SetCount(msg, 3, Count(msg, 3)+1)
	return out
}

// OPTRoom is how many bytes AppendOPT will append.
func (q *Query) OPTRoom(ede int) int {
	switch {
	case !q.EDNS:
		return 0
	case ede == NoEDE:
		return OPTLen
	}
	return OPTLen + 6
}

// Limit is the largest UDP reply for this client (RFC 6891 section 6.2.3 to 6.2.5): what it takes, at least 512 bytes
// and at most what this server wants to send without fragments.
func (q *Query) Limit(ours uint16) int {
	if !q.EDNS {
		return MinUDP
	}
	return int(max(min(q.Size, ours), MinUDP))
}

// Truncate cuts a reply without OPT to size, at the end of a whole set of records (RFC 2181 section 9), and sets TC.
// What fits is left alone.
func Truncate(msg []byte, size int) []byte {
	if len(msg) <= size {
		return msg
	}
	end := QuestionEnd(msg)
	if end < 0 {
		end = HeaderLen
	}
	var counts, kept [4]int
	var setStart Record
	var nameBuf, lastBuf [MaxName]byte
	var last []byte
	keep := end
	// A set is kept only when the one behind it has begun: its end is known then.
	_, err := Walk(msg, func(r Record) bool {
		name, _, ok := AppendName(nameBuf[:0], msg, r.Start)
		if !ok {
			return false
		}
		if r.Section != setStart.Section || r.Type != setStart.Type || r.Class != setStart.Class || string(name) != string(last) {
			if r.Start > size {
				return false
			}
			keep, kept = r.Start, counts
			setStart = r
			last = append(lastBuf[:0], name...)
		}
		counts[r.Section]++
		return true
	})
	if err != nil || keep > size {
		keep, kept = end, [4]int{}
	}
	msg = msg[:keep]
	for s := 1; s <= 3; s++ {
		SetCount(msg, s, kept[s])
	}
	PutU16(msg[2:], Flags(msg)|TC)
	return msg
}
