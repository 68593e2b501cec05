// Package dockeruser lets packets of ours pass docker's firewall: kind "docker-user", names "ip"
// and "ip6". Docker sets the policy of FORWARD to drop and offers the chain DOCKER-USER of the
// table filter for the rules of others
// (https://docs.docker.com/engine/network/firewall-iptables/, "Docker and iptables chains").
//
// The table belongs to iptables-nft, which refuses to read a chain that holds anything it would
// not have written itself. So each rule here is, byte for byte, what
//
//	iptables -A DOCKER-USER -i A -o B -m comment --comment provision -j ACCEPT
//	iptables -A DOCKER-USER -i B -o A -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment provision -j ACCEPT
//
// makes (iptables 1.8.9 and 1.8.11), with --ctstate DNAT in the first for what is published and
// -p tcp --dport for single ports. The latter are in the form of iptables before 1.8.8, which
// older and newer ones read: from 1.8.8 on it writes them without x_tables. The comment marks what is ours: nothing else is looked at or
// removed. Rules of the administrator stand first; ours come last, before docker's own RETURN.
package dockeruser

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "docker-user"

// AttrRules is the only attribute: our rules, sorted, separated by "; ". A rule is one of
//
//	usb0>wlan0          everything that comes in by usb0 and leaves by wlan0
//	wlan0>usb0 dnat     only what dnat has given another destination
//	wlan0>usb0 tcp 443  only this port
//	wlan0>usb0 replies  only packets of connections that exist
const AttrRules = "rules"

// Pair lets new connections through from In to Out, and their answers back. Names of devices may
// end with *.
type Pair struct {
	In, Out   string
	Published bool   // only what dnat has given another destination
	Proto     string // tcp or udp: only Port
	Port      uint16
}

// Want is our rules for the pairs in DOCKER-USER of a family: "ip" or "ip6".
func Want(family string, pairs []Pair, why string) provision.Want {
	all := map[rule]bool{}
	for _, p := range pairs {
		r := rule{in: p.In, out: p.Out}
		if p.Published {
			r.only = "dnat"
		} else if p.Port != 0 {
			r.only = p.Proto + " " + strconv.Itoa(int(p.Port))
		}
		all[r], all[rule{in: p.Out, out: p.In, only: "replies"}] = true, true
	}
	var rules []rule
	for r := range all {
		if r.only == "" || !all[rule{in: r.in, out: r.out}] {
			rules = append(rules, r)
		}
	}
	w := provision.Want{Ref: provision.Ref{Kind: Kind, Name: family}, Why: why}
	if len(rules) > 0 {
		w.Attrs = provision.Attrs{AttrRules: format(rules)}
	}
	return w
}

// Check tells why a device's name cannot stand in a rule.
func Check(name string) error {
	base := strings.TrimSuffix(name, "*")
	switch {
	case base == "":
		return fmt.Errorf("device %q: want a name, or the beginning of one with * behind it", name)
	case len(base) > 15 || name != base && len(base) > 14:
		return fmt.Errorf("device %q: names have at most 15 bytes", name)
	case strings.HasSuffix(base, "+"):
		// iptables writes the * of nft as +, so it cannot show a name that ends with one.
		return fmt.Errorf("device %q: iptables takes a + at the end for a *", name)
	case strings.ContainsAny(base, "*>;/? \t\n\x00"):
		return fmt.Errorf("device %q: no blanks and none of * > ; / ? in it", name)
	}
	return nil
}

type rule struct {
	in, out string
	only    string // "", dnat, replies, "tcp 443"
	// other is a rule with our comment that is none of ours, in hexadecimal.
	other string
}

func (r rule) String() string {
	switch {
	case r.other != "":
		return "? " + r.other
	case r.only != "":
		return r.in + ">" + r.out + " " + r.only
	}
	return r.in + ">" + r.out
}

// port reads only where it is a port.
func (r rule) port() (proto string, port uint16, ok bool) {
	proto, text, found := strings.Cut(r.only, " ")
	n, err := strconv.ParseUint(text, 10, 16)
	if !found || err != nil || n == 0 || strconv.FormatUint(n, 10) != text || proto != "tcp" && proto != "udp" {
		return "", 0, false
	}
	return proto, uint16(n), true
}

func (r rule) check() error {
	if _, _, port := r.port(); !port && r.only != "" && r.only != "dnat" && r.only != "replies" {
		return fmt.Errorf("rule %q: want nothing, dnat, replies, or a port as in tcp 443 behind the devices", r)
	}
	if err := Check(r.in); err != nil {
		return err
	}
	return Check(r.out)
}

// format gives the canonical form: sorted, but what is there twice is told twice.
func format(rules []rule) string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = r.String()
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// parse reads a value that is to be set.
func parse(value string) ([]rule, error) {
	var rules []rule
	for text := range strings.SplitSeq(value, "; ") {
		pair, only, more := strings.Cut(text, " ")
		in, out, ok := strings.Cut(pair, ">")
		if !ok || more && only == "" {
			return nil, fmt.Errorf("rule %q: want usb0>wlan0, and perhaps dnat, replies or tcp 443 behind it", text)
		}
		r := rule{in: in, out: out, only: only}
		if err := r.check(); err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	if format(rules) != value {
		return nil, fmt.Errorf("rules %q are not sorted", value)
	}
	for i := 1; i < len(rules); i++ {
		if rules[i] == rules[i-1] {
			return nil, fmt.Errorf("rule %q is there twice", rules[i])
		}
	}
	return rules, nil
}

// checkName accepts the families of docker's tables.
func checkName(name string) error {
	if name != "ip" && name != "ip6" {
		return fmt.Errorf("docker's chain %q: want ip or ip6", name)
	}
	return nil
}
