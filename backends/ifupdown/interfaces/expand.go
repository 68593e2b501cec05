package interfaces

import (
	"errors"
	"strings"
)

// field is one word that wordexp(3) makes of a source line.
type field struct {
	text string
	glob bool
}

// errIgnored: wordexp fails and ifupdown passes over the line without a word.
// errUnknown: what comes out depends on the environment of ifup.
var (
	errIgnored = errors.New("ifupdown ignores this line")
	errUnknown = errors.New("depends on the environment of ifup")
)

// expand is wordexp(3) with WRDE_NOCMD, up to the globbing: quotes, backslashes and
// field splitting. A variable or a tilde is errUnknown, an error of wordexp errIgnored.
func expand(s string) ([]field, error) {
	var out []field
	var word []byte
	begun, glob := false, false
	end := func() {
		if begun {
			out = append(out, field{string(word), glob})
		}
		word, begun, glob = nil, false, false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' && glob:
			end()
			continue
		case c == '\\':
			i++
			if i == len(s) {
				return nil, errIgnored
			}
			word = append(word, s[i])
		case c == '\'':
			n := strings.IndexByte(s[i+1:], '\'')
			if n < 0 {
				return nil, errIgnored
			}
			word = append(word, s[i+1:i+1+n]...)
			i += n + 1
		case c == '"':
			n, text, err := doubleQuoted(s[i+1:])
			if err != nil {
				return nil, err
			}
			word = append(word, text...)
			i += n
		case c == '`':
			return nil, errIgnored
		case c == '$':
			if strings.HasPrefix(s[i:], "$(") && !strings.HasPrefix(s[i:], "$((") {
				return nil, errIgnored
			}
			return nil, errUnknown
		case c == '~' && !begun:
			return nil, errUnknown
		case strings.IndexByte("*?[", c) >= 0:
			word, glob = append(word, c), true
		case strings.IndexByte("\n|&;<>(){}", c) >= 0 && !glob:
			return nil, errIgnored
		default:
			word = append(word, c)
		}
		begun = true
	}
	end()
	return out, nil
}

// doubleQuoted reads up to the closing quote and returns how many bytes that took,
// the quote included.
func doubleQuoted(s string) (int, []byte, error) {
	var text []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return i + 1, text, nil
		case '`':
			return 0, nil, errIgnored
		case '$':
			if strings.HasPrefix(s[i:], "$(") && !strings.HasPrefix(s[i:], "$((") {
				return 0, nil, errIgnored
			}
			return 0, nil, errUnknown
		case '\\':
			i++
			if i == len(s) {
				return 0, nil, errIgnored
			}
			if strings.IndexByte("$`\"\\", s[i]) < 0 {
				text = append(text, '\\')
			}
			text = append(text, s[i])
		default:
			text = append(text, c)
		}
	}
	return 0, nil, errIgnored
}
