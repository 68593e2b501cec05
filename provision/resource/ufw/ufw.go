// Package ufw lets packets of ours pass ufw, by its own command: kind "ufw-rules", name
// "provision", which is also the comment that marks our rules (ufw(8), RULE SYNTAX; "ufw route
// allow in on A out on B", "ufw allow in on A"). Nothing else is looked at or removed. Both
// families are meant; ufw leaves IPv6 alone where /etc/default/ufw says IPV6=no.
//
// ufw's rules are kept whether it is enabled or not, so this needs no running firewall.
package ufw

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "ufw-rules"

// Name is the only one there is, and the comment of our rules.
const Name = "provision"

// AttrRules is the only attribute: our rules, sorted, separated by "; ". A rule is "usb0>wlan0"
// (forwarded from usb0 to wlan0; ufw lets the answers back by itself) or "usb0>" (to this machine,
// by usb0), with " udp 53" behind it for one port only.
const AttrRules = "rules"

// Rule allows what comes in by In and leaves by Out, or with an empty Out what comes in by In for
// this machine. Names may end with * for all that begin so.
type Rule struct {
	In, Out string
	Proto   string // tcp or udp, with Port; or neither
	Port    uint16
}

// String is the rule as it stands in AttrRules.
func (r Rule) String() string {
	s := r.In + ">" + r.Out
	if r.Port != 0 {
		s += " " + r.Proto + " " + strconv.Itoa(int(r.Port))
	}
	return s
}

// Check tells why ufw would not take a rule.
func (r Rule) Check() error {
	if (r.Proto != "tcp" && r.Proto != "udp") == (r.Port != 0) {
		return fmt.Errorf("rule %q: want tcp or udp with a port, or neither", r)
	}
	if err := Check(r.In); err != nil || r.Out == "" {
		return err
	}
	return Check(r.Out)
}

// Want is our rules.
func Want(rules []Rule, why string) provision.Want {
	w := provision.Want{Ref: provision.Ref{Kind: Kind, Name: Name}, Why: why}
	if len(rules) > 0 {
		all := make([]string, len(rules))
		for i, r := range rules {
			all[i] = r.String()
		}
		w.Attrs = provision.Attrs{AttrRules: join(all)}
	}
	return w
}

func join(rules []string) string {
	slices.Sort(rules)
	return strings.Join(slices.Compact(rules), "; ")
}

// Check tells why ufw would not take a device's name (src/common.py, set_interface).
func Check(name string) error {
	base := strings.TrimSuffix(name, "*")
	if base == "" || len(name) > 15 || base == "." || base == ".." || strings.HasSuffix(base, "+") || strings.ContainsFunc(base, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.,=%@+", c)
	}) {
		return fmt.Errorf("device %q: ufw takes letters, digits and _-.,=%%@, at most 15", name)
	}
	return nil
}

// parse reads a value that is to be set.
func parse(value string) ([]Rule, error) {
	var rules []Rule
	for text := range strings.SplitSeq(value, "; ") {
		r, err := parseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	if len(rules) > 0 && Want(rules, "").Attrs[AttrRules] != value {
		return nil, fmt.Errorf("rules %q: they are not sorted, or one is there twice", value)
	}
	return rules, nil
}

func parseRule(text string) (Rule, error) {
	fail := fmt.Errorf("rule %q: want usb0>wlan0, or usb0> for what is for this machine, and perhaps udp 53 behind it", text)
	in, rest, ok := strings.Cut(text, ">")
	words := strings.Split(rest, " ")
	if !ok || len(words) != 1 && len(words) != 3 {
		return Rule{}, fail
	}
	r := Rule{In: in, Out: words[0]}
	if len(words) == 3 {
		port, err := strconv.ParseUint(words[2], 10, 16)
		if err != nil {
			return Rule{}, fail
		}
		r.Proto, r.Port = words[1], uint16(port)
	}
	if r.String() != text {
		return Rule{}, fail
	}
	return r, r.Check()
}

// command is ufw's command for a rule, without a shell. verb is allow or, to delete, delete.
func (r Rule) command(verb string) []string {
	argv := []string{"ufw"}
	if r.Out != "" {
		argv = append(argv, "route")
	}
	if verb == "delete" {
		argv = append(argv, "delete")
	}
	argv = append(argv, "allow", "in", "on", plus(r.In))
	if r.Out != "" {
		argv = append(argv, "out", "on", plus(r.Out))
	}
	if r.Port != 0 {
		argv = append(argv, "to", "any", "port", strconv.Itoa(int(r.Port)), "proto", r.Proto)
	}
	if verb != "delete" {
		argv = append(argv, "comment", Name)
	}
	return argv
}

// plus writes a pattern as ufw and iptables do.
func plus(name string) string {
	if base, ok := strings.CutSuffix(name, "*"); ok {
		return base + "+"
	}
	return name
}

func star(name string) string {
	if base, ok := strings.CutSuffix(name, "+"); ok {
		return base + "*"
	}
	return name
}
