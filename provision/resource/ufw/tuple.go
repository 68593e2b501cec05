package ufw

import (
	"encoding/hex"
	"strings"
)

// tuple is a rule as ufw remembers it: a comment line of user.rules and user6.rules
// (src/backend_iptables.py, _write_rules), which is where ufw itself reads its rules again.
//
//	### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_usb0!out_wlan0 comment=70726f766973696f6e
type tuple struct {
	// text is the rule as Rule.String writes it, or "? " and the line where it is more than that.
	text string
	ours bool
}

const mark = "### tuple ### "

// tuples reads the rules of one file. any is the file's word for every address.
func tuples(file, any string) []tuple {
	var out []tuple
	for line := range strings.Lines(file) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), mark)
		if !ok {
			continue
		}
		words := strings.Fields(rest)
		var t tuple
		if n := len(words); n > 0 {
			if c, ok := strings.CutPrefix(words[n-1], "comment="); ok {
				words = words[:n-1]
				b, err := hex.DecodeString(c)
				t.ours = err == nil && string(b) == Name
			}
		}
		t.text = "? " + strings.ReplaceAll(strings.Join(words, " "), ";", ",")
		// action, protocol, port and address of the destination, of the source, devices
		if len(words) == 7 && words[3] == any && words[4] == "any" && words[5] == any && (words[1] == "any") == (words[2] == "any") {
			port := ""
			if words[1] != "any" {
				port = " " + words[1] + " " + words[2]
			}
			in, out, through := strings.Cut(words[6], "!")
			dev, isIn := strings.CutPrefix(in, "in_")
			to, isOut := strings.CutPrefix(out, "out_")
			switch {
			case words[0] == "allow" && isIn && !through:
				t.read(Rule{In: star(dev)}.String() + port)
			case words[0] == "route:allow" && isIn && isOut:
				t.read(Rule{In: star(dev), Out: star(to)}.String() + port)
			}
		}
		out = append(out, t)
	}
	return out
}

// read takes a rule that is one of those we write.
func (t *tuple) read(text string) {
	if _, err := parseRule(text); err == nil {
		t.text = text
	}
}

// has finds a rule of the given text.
func has(list []tuple, text string, ours bool) bool {
	for _, t := range list {
		if t.text == text && t.ours == ours {
			return true
		}
	}
	return false
}

// ipv6 reads IPV6= of /etc/default/ufw; ufw's own default is no (src/backend.py).
func ipv6(defaults string) bool {
	on := false
	for line := range strings.Lines(defaults) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "IPV6="); ok {
			on = strings.EqualFold(strings.Trim(v, `"'`), "yes")
		}
	}
	return on
}
