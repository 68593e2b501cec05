package bootfiles

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
)

// Words edits cmdline.txt: it takes away the words in drop ("quiet", or "console="
// for every word with that key) and puts those in add at the end, where they are not
// there yet. Nothing else of the line is touched: Raspberry Pi OS renews PARTUUID in it
// at its first boot, so it must never be written from memory.
//
// The result is one line with one LF. Carriage returns, a byte order mark and further
// lines, which do not reach the kernel as they were meant, are gone; where the text is
// one clean line and no word has to change, it stays byte for byte. What cannot be
// trusted to be a command line is refused.
func Words(text string, add, drop []string) (string, error) {
	for _, w := range append(slices.Clone(add), drop...) {
		if w == "" || strings.ContainsAny(w, " \t\r\n\"") {
			return "", fmt.Errorf("%q is no word of a kernel command line", w)
		}
	}
	for _, p := range bootfile.ParseCmdline(text).Problems {
		switch p.Code {
		case "nul", "not-text", "quote", "empty", "no-root":
			return "", fmt.Errorf("cannot edit cmdline.txt: %s", p.Text)
		}
	}
	line, rest, _ := strings.Cut(strings.TrimPrefix(text, "\ufeff"), "\n")
	clean := strings.ReplaceAll(line, "\r", " ")
	same := clean == line && rest == "" && !strings.HasPrefix(text, "\ufeff")
	var words []string
	changed := false
	for _, p := range bootfile.ParseCmdline(clean).Params {
		w := clean[p.Start:p.End]
		if dropped(w, drop) && !slices.Contains(add, w) {
			changed = true
			continue
		}
		words = append(words, w)
	}
	for _, w := range add {
		if !slices.Contains(words, w) {
			words = append(words, w)
			changed = true
		}
	}
	if same && !changed {
		return text, nil
	}
	return strings.Join(words, " ") + "\n", nil
}

func dropped(word string, drop []string) bool {
	return slices.ContainsFunc(drop, func(d string) bool { return word == d || strings.HasSuffix(d, "=") && strings.HasPrefix(word, d) })
}
