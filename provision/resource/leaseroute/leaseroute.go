// Package leaseroute adds the default route that dhclient was offered but could not
// add. Debian's dhclient-script adds "default via ROUTER dev IF" without a metric, and
// the kernel refuses a second one (EEXIST, net/ipv4/fib_trie.c): of two NICs only the
// first gets a default route, and renewals do not try again. Once the stanza has a
// metric there is room for it, but dhclient would add it only at the next boot.
package leaseroute

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of the action.
const Kind = "lease-route"

// MaxLease is how many bytes of a lease file are read.
const MaxLease = 1 << 20

// Add is the action: when the stanza of ifname has this metric, dhclient holds a lease
// with a router on the device, and the device has no IPv4 default route, one is added
// with the metric. When the stanza has no metric, as on the way back, the route that
// was added so is taken away. Otherwise it does nothing.
func Add(selector, ifname string, metric uint32) provision.Action {
	return provision.Action{Kind: Kind, Args: map[string]string{
		"selector": selector, "ifname": ifname, "metric": strconv.FormatUint(uint64(metric), 10),
	}}
}

type request struct {
	selector, ifname string
	metric           uint32
}

func parseAction(a provision.Action) (request, error) {
	var r request
	for k, v := range a.Args {
		switch k {
		case "selector":
			r.selector = v
		case "ifname":
			r.ifname = v
		case "metric":
			m, err := strconv.ParseUint(v, 10, 32)
			if err != nil {
				return r, fmt.Errorf("metric %q: %w", v, err)
			}
			r.metric = uint32(m)
		default:
			return r, fmt.Errorf("unknown argument %q", k)
		}
	}
	if a.Kind != Kind || r.selector == "" || !validName(r.ifname) {
		return r, fmt.Errorf("action %s of %q on %q is none of this package's", a.Kind, r.ifname, r.selector)
	}
	return r, nil
}

// validName is the kernel's rule for device names (net/core/dev.c, dev_valid_name),
// without what a command could take for an option.
func validName(name string) bool {
	return name != "" && len(name) <= 15 && name != "." && name != ".." && name[0] != '-' &&
		!strings.ContainsAny(name, "/: \t\n\v\f\r")
}

// Lease is what counts of one lease of dhclient.leases(5).
type Lease struct {
	Address   netip.Addr
	Router    netip.Addr // the first of "option routers"; invalid without one
	Mask      string     // "option subnet-mask"
	Classless bool       // classless static routes are given, and routers must be ignored (RFC 3442)
}

var errNoLease = errors.New("no lease")

// ParseLeases returns the last lease of one interface in a dhclient.leases file:
// dhclient appends, so the last one counts.
func ParseLeases(text, ifname string) (Lease, error) {
	if len(text) > MaxLease {
		return Lease{}, fmt.Errorf("lease file is larger than %d bytes", MaxLease)
	}
	found := false
	var last, l Lease
	inside, ours := false, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		statement, complete := strings.CutSuffix(line, ";")
		switch {
		case !inside && line == "lease {":
			inside, ours, l = true, false, Lease{}
		case inside && line == "}":
			if ours && l.Address.IsValid() {
				last, found = l, true
			}
			inside = false
		case !inside || !complete:
		default:
			name, value := cut(statement)
			switch name {
			case "interface":
				ours = strings.Trim(value, `"`) == ifname
			case "fixed-address":
				l.Address, _ = netip.ParseAddr(value)
			case "option routers":
				first, _, _ := strings.Cut(value, ",")
				l.Router, _ = netip.ParseAddr(strings.TrimSpace(first))
			case "option subnet-mask":
				l.Mask = value
			case "option rfc3442-classless-static-routes", "option classless-static-routes":
				l.Classless = true
			}
		}
	}
	if !found {
		return Lease{}, errNoLease
	}
	return last, nil
}

// cut splits "option NAME VALUE" and "NAME VALUE".
func cut(statement string) (name, value string) {
	name, value, _ = strings.Cut(statement, " ")
	if name == "option" {
		option, rest, _ := strings.Cut(strings.TrimSpace(value), " ")
		return "option " + option, strings.TrimSpace(rest)
	}
	return name, strings.TrimSpace(value)
}
