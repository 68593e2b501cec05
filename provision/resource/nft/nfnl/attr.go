package nfnl

import (
	"encoding/binary"
	"errors"
)

// Sizes of struct nlattr and of what it is aligned to (include/uapi/linux/netlink.h), and the
// two flags that its type may carry.
const (
	attrHeader = 4
	align      = 4

	flagNested   = 0x8000 // NLA_F_NESTED
	flagNetOrder = 0x4000 // NLA_F_NET_BYTEORDER
)

// MaxAttr is the most that one attribute can hold: its length is a 16-bit number.
const MaxAttr = 0xffff - attrHeader

// ErrMessage is returned for bytes that are no list of attributes.
var ErrMessage = errors.New("a netlink message cannot be read: an attribute is longer than what holds it")

// Fill puts the attributes of b into table by their kind, the last one of a kind where there
// are several. Kinds beyond the table are left out: a newer kernel may send them. The slices
// are parts of b; one that is there is never nil.
func Fill(table [][]byte, b []byte) error {
	clear(table)
	return Each(b, func(kind uint16, data []byte) error {
		if int(kind) < len(table) {
			table[kind] = data
		}
		return nil
	})
}

// Each calls do for each attribute of b in order, until it returns an error.
func Each(b []byte, do func(kind uint16, data []byte) error) error {
	for len(b) > 0 {
		if len(b) < attrHeader {
			return ErrMessage
		}
		size := int(binary.NativeEndian.Uint16(b))
		if size < attrHeader || size > len(b) {
			return ErrMessage
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (flagNested | flagNetOrder)
		if err := do(kind, b[attrHeader:size:size]); err != nil {
			return err
		}
		b = b[min(padded(size), len(b)):]
	}
	return nil
}

func padded(n int) int { return (n + align - 1) &^ (align - 1) }

// Put appends an attribute. More than MaxAttr bytes of data are a mistake of the caller's.
func Put(b []byte, kind uint16, data []byte) []byte {
	if len(data) > MaxAttr {
		panic("nfnl: an attribute of more than 64 KiB")
	}
	b = head(b, kind, len(data))
	b = append(b, data...)
	return pad(b)
}

// PutString appends an attribute with a string and the zero byte that ends it.
func PutString(b []byte, kind uint16, s string) []byte {
	if len(s) >= MaxAttr {
		panic("nfnl: an attribute of more than 64 KiB")
	}
	b = head(b, kind, len(s)+1)
	b = append(b, s...)
	b = append(b, 0)
	return pad(b)
}

// Put8 appends an attribute with an 8-bit number.
func Put8(b []byte, kind uint16, n uint8) []byte {
	return pad(append(head(b, kind, 1), n))
}

// Put16 appends an attribute with a 16-bit number in network order.
func Put16(b []byte, kind uint16, n uint16) []byte {
	return pad(binary.BigEndian.AppendUint16(head(b, kind, 2), n))
}

// Put32 appends an attribute with a 32-bit number in network order.
func Put32(b []byte, kind uint16, n uint32) []byte {
	return binary.BigEndian.AppendUint32(head(b, kind, 4), n)
}

// Put64 appends an attribute with a 64-bit number in network order.
func Put64(b []byte, kind uint16, n uint64) []byte {
	return binary.BigEndian.AppendUint64(head(b, kind, 8), n)
}

// Open begins an attribute that holds attributes; Close takes what it returns.
func Open(b []byte, kind uint16) (grown []byte, at int) {
	return head(b, kind|flagNested, 0), len(b)
}

// Close ends the attribute that was begun at this place.
func Close(b []byte, at int) []byte {
	size := len(b) - at
	if size > 0xffff {
		panic("nfnl: an attribute of more than 64 KiB")
	}
	binary.NativeEndian.PutUint16(b[at:], uint16(size))
	return b
}

func head(b []byte, kind uint16, size int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+size))
	return binary.NativeEndian.AppendUint16(b, kind)
}

func pad(b []byte) []byte {
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return b
}
