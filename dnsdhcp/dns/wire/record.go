package wire

import "errors"

// ErrMessage is a message that cannot be read.
var ErrMessage = errors.New("cannot read the message")

// Record is where a resource record lies in its message.
type Record struct {
	Section    int // 1 answer, 2 authority, 3 additional
	Start, End int
	Fixed      int // offset of type; class, TTL, length follow
	Type       uint16
	Class      uint16
}

// TTLAt is the offset of the TTL.
func (r Record) TTLAt() int { return r.Fixed + 4 }

// DataAt is the offset of the data; it ends at End.
func (r Record) DataAt() int { return r.Fixed + 10 }

// QuestionEnd returns the offset behind the only question, -1 if there is not exactly one or it cannot be read.
func QuestionEnd(msg []byte) int {
	if len(msg) < HeaderLen || Count(msg, 0) != 1 {
		return -1
	}
	off := SkipName(msg, HeaderLen)
	if off < 0 || off+4 > len(msg) {
		return -1
	}
	return off + 4
}

// Walk calls f for each record until it returns false. It returns the offset behind the last record seen, or an
// error for a message that is shorter than its counts say.
func Walk(msg []byte, f func(Record) bool) (int, error) {
	off := QuestionEnd(msg)
	if off < 0 {
		return 0, ErrMessage
	}
	for section := 1; section <= 3; section++ {
		for range Count(msg, section) {
			r := Record{Section: section, Start: off}
			off = SkipName(msg, off)
			if off < 0 || off+10 > len(msg) {
				return 0, ErrMessage
			}
			r.Fixed, r.Type, r.Class = off, U16(msg[off:]), U16(msg[off+2:])
			r.End = off + 10 + int(U16(msg[off+8:]))
			if r.End > len(msg) {
				return 0, ErrMessage
			}
			off = r.End
			if !f(r) {
				return off, nil
			}
		}
	}
	return off, nil
}
