package fat

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// short is a name of the directory entry proper: eight and three bytes, padded with
// blanks.
type short [11]byte

// high is code page 437 from 0x80 on, in which Linux and the firmware of PCs read
// short names. They are only shown in it and never written.
const high = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0"

var highRunes = []rune(high)

// Bits of a short entry's byte 12, by which Windows NT writes config.txt without a
// long name.
const (
	lowerBase = 0x08
	lowerExt  = 0x10
)

// text is the name as it is shown: BOOT.TXT, or boot.txt by the bits of Windows NT.
func (s short) text(bits byte) string {
	if s[0] == 0x05 {
		s[0] = 0xe5 // 0xe5 itself means a deleted entry
	}
	part := func(b []byte, lower bool) string {
		var out strings.Builder
		for _, c := range b {
			switch {
			case c >= 0x80:
				out.WriteRune(highRunes[c-0x80])
			case lower && c >= 'A' && c <= 'Z':
				out.WriteByte(c + 'a' - 'A')
			default:
				out.WriteByte(c)
			}
		}
		return strings.TrimRight(out.String(), " ")
	}
	name, ext := part(s[:8], bits&lowerBase != 0), part(s[8:], bits&lowerExt != 0)
	if ext != "" {
		name += "." + ext
	}
	return name
}

// sum is the checksum by which long names know their short entry (fatgen103,
// ChkSum).
func (s short) sum() byte {
	var sum byte
	for _, c := range s {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// checkName says why no file can be created with that name.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%q is no name for a file", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("the name %q is no text", name)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") || strings.HasPrefix(name, " "):
		return fmt.Errorf("the name %q begins or ends with what Windows takes away", name)
	case len(utf16.Encode([]rune(name))) > 255:
		return fmt.Errorf("the name %.20q... has more than 255 characters", name)
	}
	for _, c := range name {
		if c < 0x20 || c == 0x7f || strings.ContainsRune(`"*/:<>?\|`, c) {
			return fmt.Errorf("the name %q has %q, which FAT does not allow", name, c)
		}
	}
	return nil
}

// errAliases: a million names of one folder begin the same.
var errAliases = errors.New("no short name is left for it")

// alias finds a short name that is not taken, and whether the long one has to stand
// beside it. It is what Windows and mtools do: README.TXT for readme.txt, and
// AGENT~1.CON where the name is too long or has what a short name must not have.
func alias(name string, taken func(short) bool) (s short, long bool, err error) {
	base, ext, lossy := squeeze(name)
	if !lossy {
		s = pack(base, ext)
		if !taken(s) {
			return s, s.text(0) != name, nil
		}
	}
	for n := 1; n < 1000000; n++ {
		tail := fmt.Sprintf("~%d", n)
		s = pack(base[:min(len(base), 8-len(tail))]+tail, ext)
		if !taken(s) {
			return s, true, nil
		}
	}
	return short{}, true, errAliases
}

// squeeze makes base and extension of a short name; lossy says that they are not the
// same name in other letters.
func squeeze(name string) (base, ext string, lossy bool) {
	bare := strings.TrimLeft(name, ". ")
	lossy = bare != name
	base = bare
	if i := strings.LastIndexByte(bare, '.'); i > 0 {
		base, ext = bare[:i], bare[i+1:]
	}
	fit := func(s string, n int) string {
		var out []byte
		for _, c := range s {
			switch {
			case c >= 'a' && c <= 'z':
				out = append(out, byte(c)-'a'+'A')
			case c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'()-@^_`{}~", c):
				out = append(out, byte(c))
			case c == ' ' || c == '.':
				lossy = true
			default:
				out, lossy = append(out, '_'), true
			}
		}
		if len(out) > n {
			out, lossy = out[:n], true
		}
		return string(out)
	}
	base, ext = fit(base, 8), fit(ext, 3)
	return base, ext, lossy || base == ""
}

func pack(base, ext string) short {
	s := short([]byte("           "))
	copy(s[:8], base)
	copy(s[8:], ext)
	return s
}
