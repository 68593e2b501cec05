package lists

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxRules is how many rules there may be: each is a chain, and each uplink a mark of a byte.
const maxRules = 64

// mostEntries is the most that max-entries may say; the kind nft takes twice as many.
const mostEntries = 1 << 20

func (s Smart) problems(c Config, add func(path, format string, args ...any)) {
	if len(s) > maxRules {
		add("smart", "are %d rules, more than %d: put lists of one uplink together", len(s), maxRules)
	}
	ways := map[string]int{}
	for i, r := range s {
		at := fmt.Sprintf("smart[%d]", i)
		say := func(key, format string, args ...any) { add(join(at, key), format, args...) }
		r.problems(c, i == len(s)-1, say)
		if first, ok := ways[r.Uplink]; ok && r.device() && (!slices.Equal(r.Via, s[first].Via) || r.masquerade() != s[first].masquerade() || r.fallback() != s[first].fallback()) {
			say("uplink", "%s has another via, masquerade or fallback in smart[%d]: they belong to the uplink, so say the same in both", r.Uplink, first)
		} else if !ok {
			ways[r.Uplink] = i
		}
	}
}

func (r Rule) problems(c Config, final bool, say func(key, format string, args ...any)) {
	if len(r.Lists) == 0 && !final {
		say("lists", "is every address, so no rule behind this one would ever be asked: put it last, or name lists")
	}
	for i, n := range r.Lists {
		switch _, ok := c[n]; {
		case !ok:
			say(fmt.Sprintf("lists[%d]", i), "there is no list %q under routing.lists", n)
		case slices.Contains(r.Lists[:i], n):
			say(fmt.Sprintf("lists[%d]", i), "%s is there twice", n)
		}
	}
	if r.Uplink == "" {
		say("uplink", "is missing: name a device such as wg0, or write direct or block")
	} else if r.device() {
		if why := badDevice(r.Uplink); why != "" {
			say("uplink", "%q %s", r.Uplink, why)
		}
	} else if len(r.Via) > 0 || r.Masquerade != "" || r.Fallback != "" {
		say("uplink", "%s has no device, so via, masquerade and fallback say nothing: leave them out", r.Uplink)
	}
	families := map[bool]bool{}
	for i, v := range r.Via {
		a, err := netip.ParseAddr(v)
		switch {
		case err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast():
			say(fmt.Sprintf("via[%d]", i), "%q is no gateway's address", v)
		case families[a.Is4()]:
			say(fmt.Sprintf("via[%d]", i), "is a second gateway of the same family")
		default:
			families[a.Is4()] = true
		}
	}
	for i, n := range r.Interfaces {
		if why := badDevice(strings.TrimSuffix(n, "*")); why != "" && n != "*" {
			say(fmt.Sprintf("interfaces[%d]", i), "%q %s", n, why)
		} else if n == r.Uplink {
			say(fmt.Sprintf("interfaces[%d]", i), "what comes in by %s would leave by it again", n)
		}
	}
	if m := r.masquerade(); m != "all" && m != "own" && m != "none" {
		say("masquerade", "%q is none of all, own, none", m)
	}
	if f := r.fallback(); f != Block && f != Direct {
		say("fallback", "%q is neither block nor direct", f)
	}
}

// device reports whether the uplink is a device.
func (r Rule) device() bool { return r.Uplink != Direct && r.Uplink != Block }

func (r Rule) masquerade() string {
	if r.Masquerade == "" {
		return "all"
	}
	return r.Masquerade
}

func (r Rule) fallback() string {
	if r.Fallback == "" {
		return Block
	}
	return r.Fallback
}

// own reports whether the rule is for what this machine itself sends.
func (r Rule) own() bool {
	if r.Own != nil {
		return *r.Own
	}
	return len(r.Interfaces) == 0
}

// badDevice says what is wrong with a device's name (net/core/dev.c dev_valid_name).
func badDevice(name string) string {
	switch {
	case name == "" || len(name) > 15 || name == "." || name == "..",
		strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '*' || r >= 0x7f || r == '"' }):
		return "is no name of a device"
	case name == "lo":
		return "leads back to this machine"
	}
	return ""
}

// Uplinks are the uplinks of the rules, each once, in their order.
func (s Smart) Uplinks() []string {
	var out []string
	for _, r := range s {
		if !slices.Contains(out, r.Uplink) {
			out = append(out, r.Uplink)
		}
	}
	return out
}

// Devices are the uplinks that are devices.
func (s Smart) Devices() []string {
	return slices.DeleteFunc(s.Uplinks(), func(u string) bool { return u == Direct || u == Block })
}

// uplinkOf is the uplink of the first rule that names a list; empty: none does.
func (s Smart) uplinkOf(list string) string {
	for _, r := range s {
		if slices.Contains(r.Lists, list) {
			return r.Uplink
		}
	}
	return ""
}

// Held are the rules that a kill switch does not let out: it has one tunnel, and nothing leaves beside it.
// Empty: there is no switch.
func (s Smart) Held(tunnel string) []Problem {
	var out []Problem
	for i, r := range s {
		if tunnel != "" && r.Uplink != tunnel && r.Uplink != Block {
			out = append(out, Problem{fmt.Sprintf("smart[%d].uplink", i), fmt.Sprintf("%s is beside the tunnel %s, and routing.kill-switch holds what leaves there: leave the switch out, or send the list by %s", r.Uplink, tunnel, tunnel)})
		}
	}
	return out
}
