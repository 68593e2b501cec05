package option

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

func encode(i info, values []string) ([]byte, error) {
	if len(values) == 1 {
		if h, ok := strings.CutPrefix(values[0], "hex:"); ok {
			b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "", "-", "").Replace(h))
			if err != nil {
				return nil, fmt.Errorf("%q is not hexadecimal", h)
			}
			return b, nil
		}
	}
	switch i.kind {
	case ip, ips, pairs:
		return encodeAddrs(i.kind, values)
	case u8, u16, u32, i32, u16s:
		return encodeNumbers(i, values)
	case boolean:
		v, err := one(values)
		if err != nil {
			return nil, err
		}
		switch strings.ToLower(v) {
		case "1", "true", "yes", "on":
			return []byte{1}, nil
		case "0", "false", "no", "off":
			return []byte{0}, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", v)
	case flag:
		if len(values) != 0 {
			return nil, errors.New("it takes no value")
		}
		return []byte{}, nil
	case domains:
		return encodeDomains(split(values))
	case routes:
		r, err := parseRoutes(values)
		if err != nil {
			return nil, err
		}
		return AppendRoutes(nil, r), nil
	}
	v, err := one(values)
	if err != nil {
		return nil, err
	}
	if strings.IndexByte(v, 0) >= 0 {
		return nil, errors.New("text cannot hold a NUL") // RFC 2132 section 2: ends are not marked
	}
	switch i.kind {
	case raw:
		if i.name != "" {
			return nil, fmt.Errorf("%q: its value is bytes, written as hex:01ff", v)
		}
	case domain:
		if _, err := appendName(nil, v, nil); err != nil {
			return nil, err
		}
	case uri:
		u, err := url.Parse(v)
		if err != nil || u.Scheme == "" {
			return nil, fmt.Errorf("%q is not a URI", v)
		}
		if u.Scheme != "https" && !strings.HasPrefix(v, "urn:ietf:params:capport:") { // RFC 8910 section 2
			return nil, fmt.Errorf("%q: only https is allowed", v)
		}
	}
	return []byte(v), nil
}

func one(values []string) (string, error) {
	if len(values) != 1 {
		return "", fmt.Errorf("it takes one value, not %d", len(values))
	}
	if values[0] == "" {
		return "", errEmpty
	}
	return values[0], nil
}

// split takes lists in either notation apart.
func split(values []string) (out []string) {
	for _, v := range values {
		for _, s := range strings.Split(v, ",") {
			out = append(out, strings.TrimSpace(s))
		}
	}
	return out
}

func addr4(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return a, fmt.Errorf("%q is not an IPv4 address", s)
	}
	return a, nil
}

func encodeAddrs(k kind, values []string) ([]byte, error) {
	list := split(values)
	var out []byte
	for _, s := range list {
		a, err := addr4(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a.AsSlice()...)
	}
	switch {
	case len(list) == 0:
		return nil, errEmpty
	case k == ip && len(list) != 1:
		return nil, fmt.Errorf("it takes one address, not %d", len(list))
	case k == pairs && len(list)%2 != 0:
		return nil, errors.New("it takes pairs of addresses")
	}
	return out, nil
}

func encodeNumbers(i info, values []string) ([]byte, error) {
	list := split(values)
	if len(list) == 0 {
		return nil, errEmpty
	}
	if i.kind != u16s && len(list) != 1 {
		return nil, fmt.Errorf("it takes one number, not %d", len(list))
	}
	bits := map[kind]int{u8: 8, u16: 16, u32: 32, i32: 32, u16s: 16}[i.kind]
	var out []byte
	for _, s := range list {
		var n uint64
		var err error
		if i.kind == i32 {
			var signed int64
			signed, err = strconv.ParseInt(s, 0, bits)
			n = uint64(signed)
		} else if i.kind == u32 && s == "infinite" {
			n = 1<<32 - 1
		} else {
			n, err = strconv.ParseUint(s, 0, bits)
		}
		if errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("%s does not fit into %d bits", s, bits)
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", s)
		}
		if i.kind != i32 && n < uint64(i.min) {
			return nil, fmt.Errorf("%s is too small: at least %d", s, i.min)
		}
		switch bits {
		case 8:
			out = append(out, byte(n))
		case 16:
			out = binary.BigEndian.AppendUint16(out, uint16(n))
		default:
			out = binary.BigEndian.AppendUint32(out, uint32(n))
		}
	}
	return out, nil
}

// decode is the reverse; ok is false if data is not of that kind.
func decode(k kind, data []byte) (out []string, ok bool) {
	n := len(data)
	switch k {
	case ip, ips, pairs:
		if n == 0 || n%4 != 0 || k == ip && n != 4 || k == pairs && n%8 != 0 {
			return nil, false
		}
		for ; len(data) > 0; data = data[4:] {
			out = append(out, netip.AddrFrom4([4]byte(data)).String())
		}
	case u8:
		if n != 1 {
			return nil, false
		}
		out = []string{strconv.Itoa(int(data[0]))}
	case boolean:
		if n != 1 || data[0] > 1 {
			return nil, false
		}
		out = []string{strconv.FormatBool(data[0] == 1)}
	case u16, u16s:
		if n == 0 || n%2 != 0 || k == u16 && n != 2 {
			return nil, false
		}
		for ; len(data) > 0; data = data[2:] {
			out = append(out, strconv.Itoa(int(binary.BigEndian.Uint16(data))))
		}
	case u32, i32:
		if n != 4 {
			return nil, false
		}
		v := binary.BigEndian.Uint32(data)
		if k == i32 {
			out = []string{strconv.Itoa(int(int32(v)))}
		} else if v == 1<<32-1 {
			out = []string{"infinite"}
		} else {
			out = []string{strconv.FormatUint(uint64(v), 10)}
		}
	case flag:
		return nil, n == 0
	case text, domain, uri:
		if n == 0 || !printable(data) {
			return nil, false
		}
		out = []string{string(data)}
	case domains:
		return decodeDomains(data)
	case routes:
		r, ok := DecodeRoutes(data)
		if !ok || len(r) == 0 {
			return nil, false
		}
		for _, r := range r {
			out = append(out, r.Dest.String()+" via "+r.Via.String())
		}
	default:
		return nil, false
	}
	return out, true
}
