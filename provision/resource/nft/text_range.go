package nft

import (
	"bytes"
	"strconv"
)

// sayRange writes both ends, or a prefix where the type has prefixes and the range is one.
func sayRange(name string, from, to []byte, swapped bool) (string, bool) {
	if bytes.Equal(from, to) {
		return sayValue(name, from, swapped)
	}
	t, _ := typeOf(name)
	if name == TypeIfname {
		return sayStar(from, to)
	}
	a, ok := sayValue(name, from, swapped)
	z, ok2 := sayValue(name, to, swapped)
	if !ok || !ok2 {
		return "", false
	}
	if n, is := prefixLen(from, to); is && t.prefix && !(t.host && !swapped) {
		return a + "/" + strconv.Itoa(n), true
	}
	return a + "-" + z, true
}

// sayStar writes a range of interface names that is all with one beginning.
func sayStar(from, to []byte) (string, bool) {
	s := bytes.TrimRight(from, "\x00")
	for i := range to {
		if i < len(s) && to[i] != s[i] || i >= len(s) && to[i] != 0xff {
			return "", false
		}
	}
	q, ok := sayIfname(s)
	if !ok {
		return "", false
	}
	return q[:len(q)-1] + `*"`, true
}

// prefixLen is the length of the prefix that the range from..to (network order) is.
func prefixLen(from, to []byte) (int, bool) {
	n, inside := 0, true
	for i := range from {
		for bit := 7; bit >= 0; bit-- {
			f, t := from[i]>>bit&1, to[i]>>bit&1
			switch {
			case inside && f == t:
				n++
			case f == 0 && t == 1:
				inside = false
			default:
				return 0, false
			}
		}
	}
	return n, true
}

// maskLen is the number of leading ones of a mask (network order) that is ones, then zeros.
func maskLen(mask []byte) (int, bool) {
	zero := make([]byte, len(mask))
	inv := make([]byte, len(mask))
	for i, b := range mask {
		inv[i] = ^b
	}
	return prefixLen(zero, inv)
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func reversed(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}
