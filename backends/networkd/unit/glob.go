package unit

import (
	"strings"
	"unicode/utf8"
)

// Glob is fnmatch(3) without flags, as networkd uses it for [Match]: "*", "?",
// bracket expressions with ranges, classes and "!" or "^", and the backslash. "*"
// also matches "/". It needs time in proportion to pattern times string.
func Glob(pattern, s string) bool {
	star, mark := -1, 0 // last "*" and where it was tried in s
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, mark = p, i
				p++
				continue
			}
			if np, ni, ok := one(pattern, p, s, i); ok {
				p, i = np, ni
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, n := utf8.DecodeRuneInString(s[mark:])
		mark += n
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// one matches the single pattern element at p against the character at s[i].
func one(pattern string, p int, s string, i int) (np, ni int, ok bool) {
	c, n := utf8.DecodeRuneInString(s[i:])
	switch pattern[p] {
	case '?':
		return p + 1, i + n, true
	case '[':
		if end, match, valid := bracket(pattern[p:], c); valid {
			return p + end, i + n, match
		}
	case '\\':
		if p+1 == len(pattern) {
			return p, i, false // a trailing backslash matches nothing
		}
		p++
	}
	d, m := utf8.DecodeRuneInString(pattern[p:])
	return p + m, i + n, d == c && (d != utf8.RuneError || pattern[p] == s[i])
}

// bracket evaluates the bracket expression that pattern begins with. Without a
// closing bracket it is no expression, and "[" stands for itself.
func bracket(pattern string, c rune) (end int, match, valid bool) {
	i := 1
	negate := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negate {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, match != negate, true
		}
		if strings.HasPrefix(pattern[i:], "[:") {
			if name, _, ok := strings.Cut(pattern[i+2:], ":]"); ok {
				match = match || class(name, c)
				i += len("[:") + len(name) + len(":]")
				continue
			}
		}
		lo, n := element(pattern[i:])
		i += n
		hi := lo
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			hi, n = element(pattern[i+1:])
			i += 1 + n
		}
		match = match || lo <= c && c <= hi
	}
	return 0, false, false
}

// element is one character of a bracket expression, perhaps escaped.
func element(s string) (rune, int) {
	if s[0] == '\\' && len(s) > 1 {
		r, n := utf8.DecodeRuneInString(s[1:])
		return r, n + 1
	}
	return utf8.DecodeRuneInString(s)
}

func class(name string, c rune) bool {
	digit := c >= '0' && c <= '9'
	lower, upper := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z'
	switch name {
	case "digit":
		return digit
	case "lower":
		return lower
	case "upper":
		return upper
	case "alpha":
		return lower || upper
	case "alnum":
		return lower || upper || digit
	case "xdigit":
		return digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
	case "punct":
		return c > ' ' && c < 0x7f && !lower && !upper && !digit
	case "blank":
		return c == ' ' || c == '\t'
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r'
	}
	return false
}

// Quote makes a pattern that fits name alone, as far as one can be written. networkd takes backslashes out of Name= before it
// matches, so brackets quote, and "?" stands for what brackets cannot hold.
func Quote(name string) string {
	var b strings.Builder
	for i := range len(name) { // names are bytes
		switch c := name[i]; {
		case c == '*' || c == '?' || c == '[':
			b.WriteString("[" + string(c) + "]")
		case c == '\\' || c == '!' && i == 0 || c >= 0x80:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
