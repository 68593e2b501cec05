package nft

import "encoding/binary"

// User data is what nft keeps with things for itself: the kernel stores it unread. It is a list
// of type, length, value (libnftnl include/libnftnl/udata.h).
const (
	udComment      = 0 // NFTNL_UDATA_{TABLE,CHAIN,RULE,SET_ELEM}_COMMENT
	udElemFlags    = 1 // NFTNL_UDATA_SET_ELEM_FLAGS
	udKeyOrder     = 0 // NFTNL_UDATA_SET_KEYBYTEORDER
	udDataOrder    = 1 // NFTNL_UDATA_SET_DATABYTEORDER
	udSetComment   = 7 // NFTNL_UDATA_SET_COMMENT
	udIntervalOpen = 1 // NFTNL_SET_ELEM_F_INTERVAL_OPEN
)

// MaxComment is the most bytes that a comment can have (NFTNL_UDATA_COMMENT_MAXLEN without the
// zero byte).
const MaxComment = 127

func putUserdata(b []byte, kind uint8, v []byte) []byte {
	return append(append(b, kind, uint8(len(v))), v...)
}

func putUserText(b []byte, kind uint8, s string) []byte {
	b = append(b, kind, uint8(len(s)+1))
	return append(append(b, s...), 0)
}

// putUserNumber writes a number in the machine's order, as nft does.
func putUserNumber(b []byte, kind uint8, n uint32) []byte {
	return putUserdata(b, kind, binary.NativeEndian.AppendUint32(nil, n))
}

// userText finds a text; what cannot be read has none.
func userText(b []byte, kind uint8) string {
	for len(b) >= 2 {
		size := 2 + int(b[1])
		if size > len(b) {
			return ""
		}
		if b[0] == kind {
			v := b[2:size]
			if len(v) > 0 && v[len(v)-1] == 0 {
				v = v[:len(v)-1]
			}
			return string(v)
		}
		b = b[size:]
	}
	return ""
}
