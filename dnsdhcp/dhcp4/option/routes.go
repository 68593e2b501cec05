package option

import (
	"fmt"
	"net/netip"
	"strings"
)

// Route is one classless static route (RFC 3442). Via 0.0.0.0 says that the destination is on the link itself.
type Route struct {
	Dest netip.Prefix // masked
	Via  netip.Addr
}

// AppendRoutes appends the value of option 121 or 249: the length of the prefix, only as many bytes of it as that
// needs, and the router.
func AppendRoutes(dst []byte, routes []Route) []byte {
	for _, r := range routes {
		bits := r.Dest.Bits()
		a := r.Dest.Masked().Addr().As4()
		dst = append(append(dst, byte(bits)), a[:(bits+7)/8]...)
		v := r.Via.As4()
		dst = append(dst, v[:]...)
	}
	return dst
}

// DecodeRoutes is the reverse.
func DecodeRoutes(data []byte) (out []Route, ok bool) {
	for len(data) > 0 {
		bits := int(data[0])
		n := (bits + 7) / 8
		if bits > 32 || len(data) < 1+n+4 {
			return nil, false
		}
		var a [4]byte
		copy(a[:], data[1:1+n])
		out = append(out, Route{netip.PrefixFrom(netip.AddrFrom4(a), bits), netip.AddrFrom4([4]byte(data[1+n:]))})
		data = data[1+n+4:]
	}
	return out, true
}

func parseRoutes(values []string) (out []Route, err error) {
	list := make([]string, 0, 2*len(values))
	for _, v := range split(values) {
		if dest, via, ok := strings.Cut(v, " via "); ok {
			list = append(list, strings.TrimSpace(dest), strings.TrimSpace(via))
		} else {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return nil, errEmpty
	}
	if len(list)%2 != 0 {
		return nil, fmt.Errorf("%q has no router: write 10.8.0.0/16 via 10.0.0.1", list[len(list)-1])
	}
	for ; len(list) > 0; list = list[2:] {
		d := list[0]
		if d == "default" {
			d = "0.0.0.0/0"
		}
		if !strings.Contains(d, "/") {
			d += "/32"
		}
		p, err := netip.ParsePrefix(d)
		if err != nil || !p.Addr().Is4() {
			return nil, fmt.Errorf("%q is not an IPv4 network", list[0])
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%s has bits behind its prefix: do you mean %s?", p, p.Masked())
		}
		via, err := addr4(list[1])
		if err != nil {
			return nil, err
		}
		out = append(out, Route{p, via})
	}
	return out, nil
}
