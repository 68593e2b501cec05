package netdev

import (
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attr is one netlink attribute. Kind may carry unix.NLA_F_NESTED.
type Attr struct {
	Kind uint16
	Data []byte
}

// ParseAttrs splits a list of attributes. (The netlink library's own parser panics
// when the last attribute is not padded.)
func ParseAttrs(b []byte) ([]Attr, error) {
	var out []Attr
	for len(b) >= unix.SizeofNlAttr {
		size := int(nl.NativeEndian().Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return nil, errors.New("a netlink attribute is longer than its message")
		}
		out = append(out, Attr{Kind: nl.NativeEndian().Uint16(b[2:]), Data: b[unix.SizeofNlAttr:size]})
		b = b[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(b)):]
	}
	return out, nil
}
