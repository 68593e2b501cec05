package pseudonym

import (
	"encoding/hex"
	"net/netip"
	"regexp"
	"sort"
	"strings"
	"sync"
)

// pattern is compiled when it is needed: few runs of the program anonymise anything.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// Candidates in texts. Boundaries are checked in Go: RE2 has no look-around.
var (
	macs = pattern(`(?i)[0-9a-f]{1,2}(?:(?::[0-9a-f]{2}){5,20}|(?:-[0-9a-f]{2}){5,20})`)
	enx  = pattern(`\benx([0-9a-f]{12})\b`)
	ip4s = pattern(`\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?`)
	ip6s = pattern(`(?i)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\d{0,3}(?:\.\d{1,3}){3})?(?:/\d{1,3})?`)
)

// Scan shows a text whose addresses will be replaced.
func (n *Names) Scan(text string) {
	for _, re := range []*regexp.Regexp{ip4s(), ip6s()} {
		for _, loc := range re.FindAllStringIndex(text, -1) {
			if s, ok := alone(text, loc); ok {
				if p, ok := parse(s); ok {
					n.Prefix(p)
				}
			}
		}
	}
}

// Text replaces everything in a text.
func (n *Names) Text(text string) string {
	text = replace(macs(), text, func(s string) string {
		// A client identifier or DUID (RFC 2132, RFC 8415) has the address at its end.
		front, s := s[:len(s)-17], s[len(s)-17:]
		sep := s[2:3]
		m := n.MAC(strings.ReplaceAll(s, "-", ":"))
		m = strings.ReplaceAll(m, ":", sep)
		if strings.ToUpper(s) == s && strings.ToLower(s) != s {
			m = strings.ToUpper(m)
		}
		return front + m
	})
	text = enx().ReplaceAllStringFunc(text, func(s string) string {
		b, err := hex.DecodeString(s[3:])
		if err != nil {
			return s
		}
		m := n.mac([6]byte(b))
		return "enx" + hex.EncodeToString(m[:])
	})
	for _, re := range []*regexp.Regexp{ip6s(), ip4s()} {
		text = replace(re, text, func(s string) string {
			p, ok := parse(s)
			if !ok {
				return s
			}
			if strings.Contains(s, "/") {
				return n.Network(p).String()
			}
			return n.Addr(p.Addr()).String()
		})
	}
	return n.words(text)
}

// words replaces the names.
func (n *Names) words(text string) string {
	if len(n.names) == 0 {
		return text
	}
	if n.finder == nil {
		var all []string
		for name := range n.names {
			all = append(all, regexp.QuoteMeta(name))
		}
		// The longest first: a name may begin with another.
		sort.Slice(all, func(i, j int) bool {
			if len(all[i]) != len(all[j]) {
				return len(all[i]) > len(all[j])
			}
			return all[i] < all[j]
		})
		n.finder = regexp.MustCompile(strings.Join(all, "|"))
	}
	var out strings.Builder
	last := 0
	for _, loc := range n.finder.FindAllStringIndex(text, -1) {
		if loc[0] > 0 && wordByte(text[loc[0]-1]) && wordByte(text[loc[0]]) || loc[1] < len(text) && wordByte(text[loc[1]]) && wordByte(text[loc[1]-1]) {
			continue
		}
		out.WriteString(text[last:loc[0]])
		out.WriteString(n.names[text[loc[0]:loc[1]]])
		last = loc[1]
	}
	out.WriteString(text[last:])
	return out.String()
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

func parse(s string) (netip.Prefix, bool) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p, err == nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, a.BitLen()), true
}

// alone tells whether a candidate is no part of a longer word or number.
func alone(text string, loc []int) (string, bool) {
	inside := func(c byte) bool { return wordByte(c) || c == ':' || c == '.' }
	if loc[0] > 0 && inside(text[loc[0]-1]) {
		return "", false
	}
	if e := loc[1]; e < len(text) && (wordByte(text[e]) || text[e] == '.' && e+1 < len(text) && wordByte(text[e+1])) {
		return "", false
	}
	return text[loc[0]:loc[1]], true
}

func replace(re *regexp.Regexp, text string, each func(string) string) string {
	var out strings.Builder
	last := 0
	for _, loc := range re.FindAllStringIndex(text, -1) {
		s, ok := alone(text, loc)
		if !ok {
			continue
		}
		out.WriteString(text[last:loc[0]])
		out.WriteString(each(s))
		last = loc[1]
	}
	out.WriteString(text[last:])
	return out.String()
}
