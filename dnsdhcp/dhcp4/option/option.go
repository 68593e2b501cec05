// Package option turns DHCPv4 options as people write them (a name that dnsmasq users know or a number, and text) into
// bytes, and bytes back into text.
package option

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Option is one option as it is sent.
type Option struct {
	Code   uint8
	Data   []byte
	Forced bool // sent also to clients that did not request it
	// Off keeps an option from being sent that would be otherwise: written without a value, as in dnsmasq.
	Off bool
}

// errEmpty is what every kind says of nothing.
var errEmpty = errors.New("it needs a value")

// Parse makes an option of a name (dnsmasq's, or a number from 1 to 254) and its values. A ! behind the name makes it a
// forced one. Values of "hex:" and bytes, with or without colons, are taken as they are for any option; all others must
// be of the option's kind:
//
//	addresses     10.0.0.1              (several: one value each, or with commas between)
//	numbers       1400                  (decimal or 0x)
//	yes or no     true, false, 1, 0
//	text          as it is; several values are an error
//	domains       example.com
//	routes        10.8.0.0/16 via 10.0.0.1, or the two as two values
//
// A number without a name known here takes hex:, or text if that is all there is to it.
func Parse(nameOrCode string, values []string) (Option, error) {
	name, forced := strings.CutSuffix(strings.TrimSpace(nameOrCode), "!")
	o := Option{Forced: forced}
	i, err := find(name)
	if err != nil {
		return o, err
	}
	o.Code = i.code
	if why := own(i.code); why != "" {
		return o, fmt.Errorf("option %s cannot be set: %s", Name(i.code), why)
	}
	if len(values) == 0 && i.kind != flag {
		o.Off = true
		return o, nil
	}
	data, err := encode(i, values)
	if err != nil {
		return o, fmt.Errorf("option %s: %w", Name(i.code), err)
	}
	if len(data) > 255 && i.kind != routes && i.kind != domains && i.code != 43 && i.code != 125 {
		return o, fmt.Errorf("option %s: %d bytes are too long: at most 255", Name(i.code), len(data))
	}
	if len(data) > 1024 {
		return o, fmt.Errorf("option %s: %d bytes are more than fit into a reply", Name(i.code), len(data))
	}
	o.Data = data
	return o, nil
}

// Code returns the number of an option by its name or number.
func Code(nameOrCode string) (uint8, error) {
	i, err := find(strings.TrimSpace(nameOrCode))
	if err == nil && (i.code == 0 || i.code == 255) {
		err = fmt.Errorf("option %d is none: pad and end have no value (RFC 2132 section 3.1)", i.code)
	}
	return i.code, err
}

// find looks an option up, also as dnsmasq writes it: option:router.
func find(name string) (info, error) {
	short := strings.TrimPrefix(name, "option:")
	if i, ok := lookup(short); ok {
		return i, nil
	}
	n, err := strconv.ParseUint(short, 10, 8)
	if err != nil {
		return info{}, fmt.Errorf("no option is called %q: use its number, or a name such as router or ntp-server", name)
	}
	return known(uint8(n)), nil
}

// Name is what an option is called; its number if it has no name here.
func Name(code uint8) string {
	if i := known(code); i.name != "" {
		return i.name
	}
	return strconv.Itoa(int(code))
}

// String is the option as `why` and the dry run show it: name and values, text quoted where it holds what would not
// print.
func (o Option) String() string {
	s := Name(o.Code)
	if o.Forced {
		s += "!"
	}
	if o.Off {
		return s + " (off)"
	}
	v := Values(o.Code, o.Data)
	for i := range v {
		if q := strconv.Quote(v[i]); q != `"`+v[i]+`"` {
			v[i] = q
		}
	}
	return strings.TrimSpace(s + " " + strings.Join(v, ", "))
}

// Values is the reverse of Parse: what one would have to write for these bytes. Bytes that are not of the option's kind
// come out as hex.
func Values(code uint8, data []byte) []string {
	i := known(code)
	if v, ok := decode(i.kind, data); ok {
		// Only what reads back to the same bytes is shown as text: a name list may be packed in ways that ours is not, a
		// text may look like hex:, an address list may have commas for a reason.
		if own(code) != "" || sameBack(i, v, data) {
			return v
		}
	}
	if i.kind == raw && len(data) > 0 && printable(data) && i.name == "" {
		if v := []string{string(data)}; sameBack(i, v, data) {
			return v
		}
	}
	return []string{"hex:" + hex.EncodeToString(data)}
}

func sameBack(i info, values []string, data []byte) bool {
	b, err := encode(i, values)
	return err == nil && string(b) == string(data)
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
