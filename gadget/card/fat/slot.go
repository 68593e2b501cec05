package fat

import (
	"encoding/binary"
	"slices"
	"time"
	"unicode/utf16"
)

// A directory is a row of slots of 32 bytes; a file has one, and those of its long
// name before it.
const (
	slotSize = 32
	maxSlots = 65536 // of a directory, fatgen103
	attrAt   = 11    // where the attributes are

	gone = 0xe5 // first byte of a slot that is free again; 0 ends the directory
)

// Attributes of an entry.
const (
	attrReadOnly = 0x01
	attrHidden   = 0x02
	attrSystem   = 0x04
	attrLabel    = 0x08
	attrFolder   = 0x10
	attrArchive  = 0x20
	attrLong     = 0x0f
)

// Entry is a file or a folder.
type Entry struct {
	Name     string    // the long name where there is one
	Short    string    // the name of eight and three characters
	Dir      bool      // a folder
	Size     int64     // bytes; 0 for folders
	Modified time.Time // by the clock of whoever wrote it: FAT knows no time zones, UTC is put in
	ReadOnly bool
	Hidden   bool
	System   bool

	first uint32 // cluster; 0 where there is none
	raw   short
	slot  int // of the entry proper
	from  int // of the first slot of its long name
}

// parse reads the slots of a directory up to its end. Labels and what is no entry
// are left out, as are . and .. .
func (v *Volume) parse(raw []byte) []Entry {
	var out []Entry
	var name longName
	for i := 0; i < len(raw)/slotSize; i++ {
		s := raw[i*slotSize : (i+1)*slotSize]
		attr := s[attrAt] & 0x3f
		switch {
		case s[0] == 0:
			return out
		case s[0] == gone:
			name.reset()
			continue
		case attr == attrLong:
			name.add(s, i)
			continue
		case attr&attrLabel != 0 || s[0] == '.':
			name.reset()
			continue
		}
		e := Entry{
			Dir: attr&attrFolder != 0, ReadOnly: attr&attrReadOnly != 0, Hidden: attr&attrHidden != 0, System: attr&attrSystem != 0,
			Modified: when(binary.LittleEndian.Uint16(s[24:]), binary.LittleEndian.Uint16(s[22:])),
			raw:      short(s[:11]), slot: i, from: i,
			first: uint32(binary.LittleEndian.Uint16(s[26:])),
		}
		if v.bits == 32 {
			e.first |= uint32(binary.LittleEndian.Uint16(s[20:])) << 16
		}
		if !e.Dir {
			e.Size = int64(binary.LittleEndian.Uint32(s[28:]))
		}
		e.Short = e.raw.text(0)
		e.Name = e.raw.text(s[12])
		if long, from, ok := name.take(e.raw.sum()); ok {
			e.Name, e.from = long, from
		}
		out = append(out, e)
	}
	return out
}

// longName collects the slots of a long name, which stand backwards before the entry.
type longName struct {
	units []uint16
	next  int // the number that the next slot must have
	sum   byte
	from  int
}

func (l *longName) reset() { l.units, l.next = nil, -1 }

func (l *longName) add(s []byte, slot int) {
	n := int(s[0] & 0x3f)
	if s[0]&0x40 != 0 {
		l.units, l.next, l.sum, l.from = nil, n, s[13], slot
	}
	if n == 0 || n > 20 || n != l.next || s[13] != l.sum {
		l.reset()
		return
	}
	l.next--
	var part [13]uint16
	for i, at := range longAt {
		part[i] = binary.LittleEndian.Uint16(s[at:])
	}
	l.units = append(part[:], l.units...)
}

// take gives the name if it is whole and belongs to the entry with that checksum.
func (l *longName) take(sum byte) (name string, from int, ok bool) {
	units, from := l.units, l.from
	ok = len(units) > 0 && l.next == 0 && l.sum == sum
	l.reset()
	if i := slices.Index(units, 0); i >= 0 {
		units = units[:i]
	}
	return string(utf16.Decode(units)), from, ok && len(units) > 0
}

// longAt is where a slot has its thirteen characters.
var longAt = [13]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}

// longSlots is the slots of a long name, as they stand before the entry.
func longSlots(name string, s short) []byte {
	units := utf16.Encode([]rune(name))
	n := (len(units) + 12) / 13
	if len(units)%13 != 0 {
		units = append(units, 0)
	}
	for len(units) < n*13 {
		units = append(units, 0xffff)
	}
	out := make([]byte, n*slotSize)
	for i := range n {
		b := out[(n-1-i)*slotSize:][:slotSize]
		b[0], b[attrAt], b[13] = byte(i+1), attrLong, s.sum()
		for k, at := range longAt {
			binary.LittleEndian.PutUint16(b[at:], units[i*13+k])
		}
	}
	out[0] |= 0x40
	return out
}

// entrySlot is the slot of a new entry.
func entrySlot(s short, attr byte, first uint32, size int64, now time.Time) []byte {
	b := make([]byte, slotSize)
	copy(b, s[:])
	b[attrAt] = attr
	date, clock := stamp(now)
	binary.LittleEndian.PutUint16(b[14:], clock) // created
	binary.LittleEndian.PutUint16(b[16:], date)
	aim(b, first, size, now)
	return b
}

// aim makes an entry lead to other contents.
func aim(b []byte, first uint32, size int64, now time.Time) {
	date, clock := stamp(now)
	binary.LittleEndian.PutUint16(b[18:], date) // read
	binary.LittleEndian.PutUint16(b[20:], uint16(first>>16))
	binary.LittleEndian.PutUint16(b[22:], clock)
	binary.LittleEndian.PutUint16(b[24:], date)
	binary.LittleEndian.PutUint16(b[26:], uint16(first))
	binary.LittleEndian.PutUint32(b[28:], uint32(size))
}

// stamp is date and time of FAT: 1980 to 2107, in steps of two seconds.
func stamp(t time.Time) (date, clock uint16) {
	switch y := t.Year(); {
	case y < 1980:
		return 1<<5 | 1, 0
	case y > 2107:
		return 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29
	}
	return uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day()), uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
}

func when(date, clock uint16) time.Time {
	if date == 0 {
		return time.Time{}
	}
	return time.Date(1980+int(date>>9), time.Month(date>>5&15), int(date&31), int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC)
}
