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
// makes (iptables 1.8.9 and 1.8.11). The comment marks what is ours: nothing else is looked at or
// removed. Rules of the administrator stand first; ours come last, before docker's own RETURN.
package dockeruser

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "docker-user"

// AttrRules is the only attribute: our rules, sorted, separated by "; ". A rule is "usb0>wlan0"
// (everything that comes in by usb0 and leaves by wlan0) or "wlan0>usb0 replies" (only packets of
// connections that exist).
const AttrRules = "rules"

// Pair lets new connections through from In to Out, and their answers back. Names of devices may
// end with *.
type Pair struct{ In, Out string }

// Want is our rules for the pairs in DOCKER-USER of a family: "ip" or "ip6".
func Want(family string, pairs []Pair, why string) provision.Want {
	var rules []rule
	for _, p := range pairs {
		rules = append(rules, rule{in: p.In, out: p.Out}, rule{in: p.Out, out: p.In, replies: true})
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
	replies bool
	// other is a rule with our comment that is none of ours, in hexadecimal.
	other string
}

func (r rule) String() string {
	switch {
	case r.other != "":
		return "? " + r.other
	case r.replies:
		return r.in + ">" + r.out + " replies"
	}
	return r.in + ">" + r.out
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
	var names []string
	for text := range strings.SplitSeq(value, "; ") {
		pair, tail, replies := strings.Cut(text, " ")
		in, out, ok := strings.Cut(pair, ">")
		if !ok || replies && tail != "replies" {
			return nil, fmt.Errorf("rule %q: want usb0>wlan0 or \"wlan0>usb0 replies\"", text)
		}
		rules, names = append(rules, rule{in: in, out: out, replies: replies}), append(names, in, out)
	}
	for _, n := range names {
		if err := Check(n); err != nil {
			return nil, err
		}
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
