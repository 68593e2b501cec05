package conf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

func (p *parser) key(key, value string) wireguard.Key {
	k, err := wireguard.ParseKey(value)
	if err == nil && value == "" {
		err = wireguard.ErrKey
	}
	if err != nil {
		p.bad("%s: %v", key, err)
	}
	return k
}

func (p *parser) number(key, value string, most uint64) uint64 {
	n, err := strconv.ParseUint(value, 0, 64)
	if err != nil || n > most {
		p.bad("%s: %q is no number up to %d", key, value, most)
		return 0
	}
	return n
}

func list(value string) []string {
	var out []string
	for _, s := range strings.Split(value, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// prefix reads a prefix with its host bits; an address alone is one machine.
func prefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() {
		err = fmt.Errorf("%s is IPv4 in IPv6", s)
	}
	return p, err
}
