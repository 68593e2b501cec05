package interfaces

import "strings"

// match is fnmatch(3) in the C locale: '*', '?', bracket expressions and backslash
// escapes. With period, a leading dot is matched only by a dot, as glob(3) asks.
func match(pattern, s string, period bool) bool {
	if period && strings.HasPrefix(s, ".") && !strings.HasPrefix(pattern, ".") && !strings.HasPrefix(pattern, `\.`) {
		return false
	}
	p, i := 0, 0
	star, back := -1, 0 // last '*' and where its match ended
	for i < len(s) || p < len(pattern) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, back = p, i
				p++
				continue
			}
			if i < len(s) {
				if n, ok := matchOne(pattern[p:], s[i]); ok {
					p += n
					i++
					continue
				}
			}
		}
		if star < 0 || back >= len(s) {
			return false
		}
		back++
		p, i = star+1, back
	}
	return true
}

// matchOne matches one byte against the first element of pattern and returns the
// element's length.
func matchOne(pattern string, c byte) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
		return 1, false // fnmatch fails on a trailing backslash
	case '[':
		if n, ok := bracket(pattern, c); n > 0 {
			return n, ok
		}
	}
	return 1, pattern[0] == c
}

// bracket matches c against the bracket expression that pattern begins with; the
// length is 0 when it has no end, then '[' stands for itself.
func bracket(pattern string, c byte) (int, bool) {
	i, negate, found := 1, false, false
	if i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^') {
		negate = true
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, found != negate
		}
		if strings.HasPrefix(pattern[i:], "[:") {
			if end := strings.Index(pattern[i+2:], ":]"); end >= 0 {
				if class(pattern[i+2:i+2+end], c) {
					found = true
				}
				i += end + 4
				continue
			}
		}
		lo, n := bracketByte(pattern[i:])
		if n == 0 {
			return 0, false
		}
		i += n
		hi := lo
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			hi, n = bracketByte(pattern[i+1:])
			if n == 0 {
				return 0, false
			}
			i += n + 1
		}
		if lo <= c && c <= hi {
			found = true
		}
	}
	return 0, false
}

func bracketByte(s string) (byte, int) {
	if s[0] != '\\' {
		return s[0], 1
	}
	if len(s) < 2 {
		return 0, 0
	}
	return s[1], 2
}

func class(name string, c byte) bool {
	upper, lower, digit := c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9'
	switch name {
	case "alnum":
		return upper || lower || digit
	case "alpha":
		return upper || lower
	case "blank":
		return c == ' ' || c == '\t'
	case "cntrl":
		return c < ' ' || c == 0x7f
	case "digit":
		return digit
	case "graph":
		return c > ' ' && c < 0x7f
	case "lower":
		return lower
	case "print":
		return c >= ' ' && c < 0x7f
	case "punct":
		return c > ' ' && c < 0x7f && !upper && !lower && !digit
	case "space":
		return isSpace(c)
	case "upper":
		return upper
	case "xdigit":
		return digit || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
	}
	return false
}

// extended reports whether pattern uses ksh's extended operators, which fnmatch
// knows with FNM_EXTMATCH and match does not.
func extended(pattern string) bool {
	for i := 1; i < len(pattern); i++ {
		if pattern[i] == '(' && strings.IndexByte("?*+@!", pattern[i-1]) >= 0 {
			return true
		}
	}
	return false
}
