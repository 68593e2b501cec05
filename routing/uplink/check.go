package uplink

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Check is one question to a host behind an uplink.
type Check struct {
	Kind string         // Ping, TCP, DNS
	To   netip.AddrPort // Ping has no port
}

// Kinds of check.
const (
	Ping = "ping" // ICMP or ICMPv6 echo
	TCP  = "tcp"  // a connection is made, and ended
	DNS  = "dns"  // a query over UDP for the name servers of the root
)

// Family of the check: 4 or 6.
func (c Check) Family() int {
	if c.To.Addr().Is4() {
		return 4
	}
	return 6
}

// String is the form that ParseCheck reads.
func (c Check) String() string {
	if c.Kind == Ping {
		return Ping + " " + c.To.Addr().String()
	}
	return c.Kind + " " + c.To.String()
}

// ParseCheck reads "ping ADDRESS", "tcp ADDRESS:PORT" and "dns ADDRESS[:PORT]".
func ParseCheck(text string) (Check, error) {
	kind, to, _ := strings.Cut(text, " ")
	c := Check{Kind: kind}
	var err error
	switch kind {
	case Ping:
		c.To, err = address(to, 0)
	case DNS:
		if c.To, err = address(to, 53); err != nil {
			c.To, err = service(to)
		}
	case TCP:
		c.To, err = service(to)
	default:
		return Check{}, fmt.Errorf("%q is no check: write ping 9.9.9.9, tcp 1.1.1.1:443 or dns 9.9.9.9:53", text)
	}
	if err != nil {
		return Check{}, fmt.Errorf("%q: %w", text, err)
	}
	return c, nil
}

func address(text string, port uint16) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no address; names are not asked for here, since that needs the network", text)
	}
	return host(netip.AddrPortFrom(a, port))
}

func service(text string) (netip.AddrPort, error) {
	p, err := netip.ParseAddrPort(text)
	if err != nil || p.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address with a port, such as 1.1.1.1:443 or [2606:4700:4700::1111]:443", text)
	}
	return host(p)
}

func host(p netip.AddrPort) (netip.AddrPort, error) {
	a := p.Addr().Unmap()
	if !a.IsGlobalUnicast() || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%s is no host behind an uplink", a)
	}
	return netip.AddrPortFrom(a, p.Port()), nil
}

// duration reads a time of the configuration; empty is 0, the default.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time, such as 5s or 1m", text)
	}
	if d < 10*time.Millisecond || d > 24*time.Hour {
		return 0, fmt.Errorf("%s is out of range: 10ms to 24h", text)
	}
	return d, nil
}
