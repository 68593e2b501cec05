package wire

// SkipName returns the offset behind the name at off, not following pointers; -1 if it does not end inside msg. A pointer into
// the header is none: what it points to changes with the message's number, and no name is there (RFC 1035 section 4.1.4).
func SkipName(msg []byte, off int) int {
	for off < len(msg) {
		c := int(msg[off])
		switch {
		case c == 0:
			return off + 1
		case c < 64:
			off += 1 + c
		case c >= 0xc0:
			if off+2 > len(msg) || U16(msg[off:])&0x3fff < HeaderLen {
				return -1
			}
			return off + 2
		default: // RFC 6891 section 5: the extended label types are dead
			return -1
		}
	}
	return -1
}

// AppendName appends the name at off without compression and in lower case (RFC 4343), and returns the offset behind
// it. A pointer must point before the label sequence that it ends, so that loops are impossible; ok is false for that,
// for overlong names and for ones that leave the message.
func AppendName(dst, msg []byte, off int) (name []byte, next int, ok bool) {
	start, limit, next := len(dst), off, -1
	for off < len(msg) {
		c := int(msg[off])
		switch {
		case c == 0:
			if next < 0 {
				next = off + 1
			}
			if len(dst)-start+1 > MaxName {
				return dst[:start], -1, false
			}
			return append(dst, 0), next, true
		case c < 64:
			if off+1+c > len(msg) || len(dst)-start+1+c+1 > MaxName {
				return dst[:start], -1, false
			}
			dst = append(dst, byte(c))
			for _, b := range msg[off+1 : off+1+c] {
				dst = append(dst, Lower(b))
			}
			off += 1 + c
		case c >= 0xc0:
			if off+2 > len(msg) {
				return dst[:start], -1, false
			}
			to := int(U16(msg[off:]) & 0x3fff)
			if to >= limit || to < HeaderLen {
				return dst[:start], -1, false
			}
			if next < 0 {
				next = off + 2
			}
			off, limit = to, to
		default:
			return dst[:start], -1, false
		}
	}
	return dst[:start], -1, false
}

// Lower is the lower case of an ASCII letter, and any other octet itself.
func Lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// EqualFold compares names in wire form, or whole questions, without regard to the case of letters. Length octets are
// below 'A', so they need no special care; nor do type and class if they are compared apart.
func EqualFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && Lower(a[i]) != Lower(b[i]) {
			return false
		}
	}
	return true
}

// Text is the presentation form of an uncompressed name (RFC 1035 section 5.1): escaped, with a trailing dot, exactly
// as miekg/dns unpacks it.
func Text(name []byte) string {
	if len(name) == 0 || name[0] == 0 {
		return "."
	}
	b := make([]byte, 0, len(name)+8)
	for i := 0; i < len(name) && name[i] != 0; {
		n := int(name[i])
		i++
		for _, c := range name[i:min(i+n, len(name))] {
			switch {
			case c == '.' || c == '\\' || c == '"' || c == '(' || c == ')' || c == ';' || c == '@' || c == '\'' || c == ' ':
				b = append(b, '\\', c)
			case c < ' ' || c >= 0x7f:
				b = append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			default:
				b = append(b, c)
			}
		}
		i += n
		b = append(b, '.')
	}
	return string(b)
}
