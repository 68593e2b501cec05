// Package transcript keeps what a terminal showed: as a recording that asciinema plays, and shortened as a block of a page.
// Both are made from the same steps, so that the page cannot say what the recording does not.
package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Columns and Rows are the size of the terminal that is recorded.
const Columns, Rows = 100, 36

// Step is a command and what the terminal received while it ran: lines that end in "\n", with colours.
type Step struct{ Command, Output string }

// version 2 of asciicast (docs.asciinema.org/manual/asciicast/v2): a header, then a line for each event [seconds, code, data].
type header struct {
	Version int    `json:"version"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Title   string `json:"title"`
}

// A recording's times are those of somebody who types and reads, and not the machine's: else each one would differ.
const (
	keystroke = 0.04 // seconds for a character
	think     = 0.4  // seconds between the command and its output
	read      = 0.15 // seconds for a line of output
	rest      = 1.5  // seconds before the next command
)

// Settled is what stays on the terminal of all that it received: of a line that is written over, as those are that say that
// something is at work, the last text. Whether they come at all depends on how fast the machine is.
func Settled(received string) string {
	lines := strings.Split(strings.ReplaceAll(received, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = line[strings.LastIndexByte(line, '\r')+1:]
	}
	return strings.Join(lines, "\n")
}

// Cast is the steps as asciicast v2. Each begins with a marker, at which a player can stop.
func Cast(title string, steps []Step) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(header{Version: 2, Width: Columns, Height: Rows, Title: title}); err != nil {
		return nil, err
	}
	now := 0.0
	event := func(code, data string) error {
		return enc.Encode([]any{json.Number(fmt.Sprintf("%.2f", now)), code, data})
	}
	for _, s := range steps {
		if err := event("m", s.Command); err != nil {
			return nil, err
		}
		for i, r := range prompt + s.Command + "\n" {
			if i >= len(prompt) {
				now += keystroke
			}
			if err := event("o", crlf(string(r))); err != nil {
				return nil, err
			}
		}
		now += think
		if err := event("o", crlf(s.Output)); err != nil {
			return nil, err
		}
		now += rest + read*float64(strings.Count(s.Output, "\n"))
	}
	return out.Bytes(), nil
}

const prompt = "$ "

// crlf is what a terminal's driver makes of a line's end (termios(3), ONLCR).
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// Parse reads back what Cast wrote.
func Parse(cast []byte) ([]Step, error) {
	dec := json.NewDecoder(bytes.NewReader(cast))
	var h header
	if err := dec.Decode(&h); err != nil || h.Version != 2 {
		return nil, fmt.Errorf("not a recording of version 2: %+v (%v)", h, err)
	}
	var steps []Step
	for n := 2; dec.More(); n++ {
		var at float64
		var code, data string
		if err := dec.Decode(&[]any{&at, &code, &data}); err != nil {
			return nil, fmt.Errorf("cannot read event %d of the recording: %w", n-1, err)
		}
		switch {
		case code == "m":
			steps = append(steps, Step{Command: data})
		case code == "o" && len(steps) > 0:
			steps[len(steps)-1].Output += strings.ReplaceAll(data, "\r\n", "\n")
		default:
			return nil, fmt.Errorf("event %d of the recording has the code %q", n-1, code)
		}
	}
	for i, s := range steps {
		text, ok := strings.CutPrefix(s.Output, prompt+s.Command+"\n")
		if !ok {
			return nil, fmt.Errorf("step %d of the recording does not begin with its command", i+1)
		}
		steps[i].Output = text
	}
	return steps, nil
}

// The lines of a page between which the block stands.
const (
	begin = "<!-- transcript: `make docs` writes it -->\n"
	end   = "<!-- end of the transcript -->\n"
)

var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Block is the steps for a page, without colours. Of an output with several sections, which an empty line parts and their first
// line names, only those in keep are shown, and dots stand for the others; one without sections is shown whole.
func Block(steps []Step, keep ...string) string {
	var b strings.Builder
	b.WriteString("```text\n")
	for i, s := range steps {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(prompt + s.Command + "\n")
		left, shown := false, false
		sections := strings.Split(strings.TrimSuffix(colour.ReplaceAllString(s.Output, ""), "\n"), "\n\n")
		for _, section := range sections {
			name, _, _ := strings.Cut(section, "\n")
			if len(sections) > 1 && !slices.Contains(keep, name) {
				if !left {
					b.WriteString("...\n")
				}
				left, shown = true, false
				continue
			}
			if shown {
				b.WriteString("\n")
			}
			left, shown = false, true
			for line := range strings.Lines(section + "\n") {
				b.WriteString(strings.TrimRight(line, " \n") + "\n")
			}
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// Put replaces the block of a page.
func Put(page, block string) (string, error) {
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("the page has no place for a transcript: %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + block + end + after, nil
}

var (
	took   = regexp.MustCompile(`\b\d+(\.\d+)?m?s\b`)
	effect = regexp.MustCompile(`^[-+~!] `)
	host   = regexp.MustCompile(`(, )on \w+(, container)`)
)

// Steady is the text of the steps with a mark for what each run and each host has otherwise: how long it took, and the
// hypervisor below. Effects that stand together are sorted, because the order in which a daemon brings its routes is chance.
func Steady(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(prompt + s.Command + "\n" + colour.ReplaceAllString(s.Output, ""))
	}
	lines := strings.Split(host.ReplaceAllString(took.ReplaceAllString(b.String(), "(time)"), "${1}on (hypervisor)$2"), "\n")
	for i := 0; i < len(lines); i++ {
		first := i
		for i < len(lines) && effect.MatchString(lines[i]) {
			i++
		}
		slices.Sort(lines[first:i])
	}
	return strings.Join(lines, "\n")
}

// Differ names the first line in which two texts differ, or nothing.
func Differ(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		line := func(all []string) string {
			if i < len(all) {
				return fmt.Sprintf("%q", all[i])
			}
			return "nothing"
		}
		if line(a) != line(b) {
			return fmt.Sprintf("line %d is %s, and not %s", i+1, line(a), line(b))
		}
	}
	return ""
}
