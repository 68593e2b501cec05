package option

import (
	"fmt"
	"strings"
)

// maxName is the longest name in its DNS encoding (RFC 1035 section 3.1).
const maxName = 255

// EncodeDomains makes the value of option 119: names in DNS encoding, compressed (RFC 3397 section 2).
func EncodeDomains(names []string) ([]byte, error) { return encodeDomains(names) }

func encodeDomains(names []string) (out []byte, err error) {
	if len(names) == 0 {
		return nil, errEmpty
	}
	at := map[string]int{} // where a name's tail was written
	for _, n := range names {
		if out, err = appendName(out, n, at); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendName appends one name; with at nil it is not compressed.
func appendName(out []byte, name string, at map[string]int) ([]byte, error) {
	n := strings.TrimSuffix(name, ".")
	if n == "" {
		return nil, fmt.Errorf("%q is not a domain name", name)
	}
	if strings.HasSuffix(n, ".") {
		return nil, fmt.Errorf("%q has an empty label", name)
	}
	if len(n)+2 > maxName {
		return nil, fmt.Errorf("%q is longer than %d characters", name, maxName-2)
	}
	for n != "" {
		label, rest, _ := strings.Cut(n, ".")
		switch {
		case label == "":
			return nil, fmt.Errorf("%q has an empty label", name)
		case len(label) > 63:
			return nil, fmt.Errorf("%q: a label has %d characters, at most 63 are allowed", name, len(label))
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; c <= ' ' || c > '~' || c == ',' || c == '\\' {
				return nil, fmt.Errorf("%q: %q does not belong into a domain name", name, c)
			}
		}
		if at != nil {
			if off, ok := at[strings.ToLower(n)]; ok {
				return append(out, 0xc0|byte(off>>8), byte(off)), nil
			}
			if len(out) < 1<<14 {
				at[strings.ToLower(n)] = len(out)
			}
		}
		out = append(append(out, byte(len(label))), label...)
		n = rest
	}
	return append(out, 0), nil
}

// decodeDomains reads such a value. Pointers go backwards only, so that it ends.
func decodeDomains(data []byte) (out []string, ok bool) {
	for at := 0; at < len(data); {
		var labels []string
		limit, pos, jumped, size := at, at, false, 0
		for {
			if pos >= len(data) {
				return nil, false
			}
			n := int(data[pos])
			switch {
			case n == 0:
				pos++
			case n >= 0xc0:
				if pos+1 >= len(data) {
					return nil, false
				}
				to := (n&0x3f)<<8 | int(data[pos+1])
				if to >= limit {
					return nil, false
				}
				if !jumped {
					at = pos + 2
				}
				jumped, limit, pos = true, to, to
				continue
			case n > 63 || pos+1+n > len(data):
				return nil, false
			default:
				if size += n + 1; size >= maxName {
					return nil, false
				}
				labels = append(labels, string(data[pos+1:pos+1+n]))
				pos += 1 + n
				continue
			}
			break
		}
		if !jumped {
			at = pos
		}
		if len(labels) == 0 {
			return nil, false
		}
		out = append(out, strings.Join(labels, "."))
	}
	return out, len(out) > 0
}
