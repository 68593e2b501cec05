package bootfile

import "strings"

// MaxLine is how many characters of a line the firmware reads; the rest is ignored.
const MaxLine = 98

// Kind is what a line of config.txt is.
type Kind string

// Kinds of lines.
const (
	Blank   Kind = "blank"
	Comment Kind = "comment"
	Filter  Kind = "filter"  // [pi0]
	Include Kind = "include" // include extra.txt
	Setting Kind = "setting" // key=value
	Other   Kind = "other"   // what the firmware makes nothing of, initramfs lines among them
)

// Line is one line of config.txt.
type Line struct {
	Number     int // from 1
	Start, End int // bytes of the text, the line's end included
	Kind       Kind
	// Key and Value of a setting; of a filter Key is what stands in the brackets, of
	// an include the file's name.
	Key, Value string
	// Cut: longer than MaxLine; Key and Value are what is left of it.
	Cut bool
}

// ParseConfig splits config.txt into lines. Every byte of text belongs to exactly
// one line.
func ParseConfig(text string) []Line {
	var out []Line
	at := 0
	for raw := range strings.Lines(text) {
		l := Line{Number: len(out) + 1, Start: at, End: at + len(raw)}
		at = l.End
		s := strings.TrimRight(raw, "\r\n")
		if l.Number == 1 {
			s = strings.TrimPrefix(s, "\ufeff") // as Windows' editors like to write
		}
		if len(s) > MaxLine {
			s, l.Cut = s[:MaxLine], true
		}
		l.parse(strings.Trim(s, " \t"))
		out = append(out, l)
	}
	return out
}

func (l *Line) parse(s string) {
	switch {
	case s == "":
		l.Kind = Blank
	case s[0] == '#':
		l.Kind, l.Cut = Comment, false
	case s[0] == '[':
		l.Kind = Filter
		l.Key, _, _ = strings.Cut(s[1:], "]")
	case strings.HasPrefix(s, "include "):
		l.Kind, l.Key = Include, strings.TrimSpace(s[len("include "):])
	case strings.Contains(s, "="):
		l.Kind = Setting
		l.Key, l.Value, _ = strings.Cut(s, "=")
	default:
		l.Kind = Other
	}
}

// parameter is name or name=value of an overlay.
type parameter struct{ key, value string }

// overlay splits the value of dtoverlay: "dwc2,dr_mode=peripheral", or with a colon
// after the name as old files have it.
func overlay(value string) (name string, params []parameter) {
	i := strings.IndexAny(value, ",:")
	if i < 0 {
		return strings.TrimSpace(value), nil
	}
	return strings.TrimSpace(value[:i]), parameters(value[i+1:])
}

// parameters splits "a=1,b" of dtoverlay and dtparam.
func parameters(s string) []parameter {
	var out []parameter
	for p := range strings.SplitSeq(s, ",") {
		k, v, _ := strings.Cut(p, "=")
		out = append(out, parameter{strings.TrimSpace(k), strings.TrimSpace(v)})
	}
	return out
}

// endOfLine is the line end that most lines of a text have.
func endOfLine(text string) string {
	if crlf := strings.Count(text, "\r\n"); crlf > 0 && 2*crlf >= strings.Count(text, "\n") {
		return "\r\n"
	}
	return "\n"
}
