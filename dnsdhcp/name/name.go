// Package name decides what a client may be called. Names come from the network, from whoever asks for an address;
// they end up in DNS, in files that other programs read and on terminals, so only one form gets through: a single
// label of letters, digits and hyphens (RFC 952, RFC 1123 section 2.1), in lower case.
package name

import (
	"strconv"
	"strings"
)

// MaxLabel is the longest label in bytes (RFC 1035 section 2.3.4).
const MaxLabel = 63

// Label makes the one label out of what a client calls itself (option 12, the text of option 81, a DUID's owner).
// The second result is false if nothing can be made of it, if nobody may have that name (see Reserved) or if refused,
// which may be nil, says so of the finished label: the server's own names, for one.
//
//   - Everything from the first NUL on is cut: Windows sends one at the end (RFC 2132 section 3.14 has none).
//   - Of a name with dots only the first label counts: the domain is the server's to give.
//   - Letters are folded to lower case; DNS does not tell them apart (RFC 4343).
//   - Spaces and underscores become a hyphen, several one, and apostrophes vanish ("Ann's iPad_2" is anns-ipad-2):
//     people name phones so, and a name near to theirs is of more use to them than none.
//   - Hyphens at either end are cut.
//
// Everything else is refused and not repaired: a label of more than 63 bytes, because two that differ behind the
// cut would fight for one name; letters outside ASCII, because nothing says in which character set they were sent;
// and what an address parser would take for an address (192, 0x7f000001: inet_aton(3) accepts them whole).
func Label(raw string, refused func(label string) bool) (string, bool) {
	if i := strings.IndexByte(raw, 0); i >= 0 {
		raw = raw[:i]
	}
	raw = strings.Trim(raw, " \t\r\n")
	if i := strings.IndexByte(raw, '.'); i >= 0 {
		raw = raw[:i]
	}
	raw = strings.ReplaceAll(raw, "\u2019", "'") // what phones make of an apostrophe
	var buf [MaxLabel]byte
	out := buf[:0]
	made := false // the last hyphen in out stands for something else
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		hyphen := false
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '-' || c == ' ' || c == '_':
			hyphen = true
			if len(out) == 0 {
				continue
			}
			if out[len(out)-1] == '-' && (made || c != '-') {
				made = true
				continue
			}
			made = c != '-'
			c = '-'
		case c == '\'':
			continue
		default:
			return "", false
		}
		if len(out) == MaxLabel {
			if hyphen {
				continue // cut below if it is the end, and too long anyway if it is not
			}
			return "", false
		}
		out = append(out, c)
	}
	for len(out) > 0 && out[len(out)-1] == '-' {
		out = out[:len(out)-1]
	}
	if len(out) == 0 || looksLikeNumber(out) || strings.HasPrefix(string(out), "xn--") {
		return "", false // xn--: shown as something else than it is (RFC 5890 section 2.3.2.1), and may pass for another's
	}
	label := string(out)
	if Reserved(label) || refused != nil && refused(label) {
		return "", false
	}
	return label, true
}

// looksLikeNumber: inet_aton(3) takes a number without dots for a whole address, decimal, octal or 0x and hexadecimal.
func looksLikeNumber(s []byte) bool {
	digits := "0123456789"
	if len(s) > 2 && s[0] == '0' && s[1] == 'x' {
		s, digits = s[2:], "0123456789abcdef"
	}
	for _, c := range s {
		if strings.IndexByte(digits, c) < 0 {
			return false
		}
	}
	return true
}

// Reserved reports whether the name of a client may never be this label (in lower case), because programs look that
// name up in the search domain and trust what they find, or because it means something else without a domain.
func Reserved(label string) bool {
	switch label {
	case "wpad", "isatap", "autodiscover", "autoconfig", // looked up and obeyed unasked (VU#598349)
		"gateway",
		"localhost", "localdomain", "localhost4", "localhost6", "loopback", "broadcasthost", // hosts(5) and RFC 6761
		"ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters",
		"local", "invalid", "onion", "alt", "arpa", "internal": // RFC 6762, 6761, 7686, 9476
		return true
	}
	return false
}

// Valid reports whether s is a label that Label can give, whoever may refuse it.
func Valid(s string) bool {
	got, ok := Label(s, nil)
	return ok && got == s
}

// Quote makes a string from the network fit for terminals, logs and files: the result is printable ASCII without
// line ends, quotes bare of a backslash, or escape sequences, and strconv.Unquote with quotes around it gives s
// back. What needs no escape is returned as it is.
func Quote(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			q := strconv.QuoteToASCII(s)
			return q[1 : len(q)-1]
		}
	}
	return s
}
