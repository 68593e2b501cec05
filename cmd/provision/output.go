package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"

	"gopkg.in/yaml.v3"
)

// emit prints value in the chosen format; table draws it for people.
func (g *globals) emit(value any, table func(w *page)) error {
	switch g.output {
	case "json":
		return writeJSON(g.results(), value)
	case "yaml":
		text, err := toYAML(value)
		if err != nil {
			return err
		}
		_, err = g.results().Write(text)
		return err
	}
	p := g.page(g.stdout)
	table(p)
	_, err := g.results().Write(p.buf.Bytes())
	return err
}

// writeJSON prints value indented and harmless.
func writeJSON(w io.Writer, value any) error {
	text, err := toJSON(value, jsonEscape)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func toJSON(value any, escape func(rune) string) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return escaped(text.String(), escape), nil
}

// escaped writes as \u escapes what a terminal could take for a command and what
// stands raw inside the quotes of JSON and YAML: DEL, the C1 controls, marks of
// direction. It is the same text to whoever reads it.
func escaped(text string, escape func(rune) string) []byte {
	var out bytes.Buffer
	for _, r := range text {
		if harmless(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(escape(r))
		}
	}
	return out.Bytes()
}

// jsonEscape knows only 16 bits at a time (RFC 8259, section 7).
func jsonEscape(r rune) string {
	var out strings.Builder
	for _, u := range utf16.AppendRune(nil, r) {
		fmt.Fprintf(&out, `\u%04x`, u)
	}
	return out.String()
}

// yamlEscape is ns-esc-32-bit of YAML 1.2, section 5.7.
func yamlEscape(r rune) string { return fmt.Sprintf(`\U%08x`, r) }

func harmless(r rune) bool { return r == '\n' || r == ' ' || unicode.IsPrint(r) }

// toYAML goes by way of JSON, so that both forms have the same keys in the same
// order.
func toYAML(value any) ([]byte, error) {
	text, err := toJSON(value, yamlEscape)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil { // JSON is YAML
		return nil, err
	}
	block(&node)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return nil, err
	}
	return escaped(out.String(), yamlEscape), enc.Close()
}

// block takes away JSON's braces and quotes wherever YAML needs none; what has to be
// escaped needs them.
func block(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && strings.ContainsFunc(n.Value, func(r rune) bool { return !harmless(r) }) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		block(c)
	}
}

// terminal reports whether the results go to a person's terminal.
func (g *globals) terminal() (*os.File, bool) {
	f, ok := g.stdout.(*os.File)
	return f, ok && isTerminal(f)
}

// widthOf is the width to wrap text at: the terminal's, within reason; none for a pipe or a file, whose reader may want whole lines.
func widthOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return 0
	}
	n, _ := terminalSize(f)
	if n == 0 {
		return 80
	}
	return max(40, min(n, 120))
}

// coloured reports whether what is written to w is to have colours: --color decides, else only a terminal has them, and one that has not
// been told otherwise (NO_COLOR, no-color.org; TERM=dumb).
func (g *globals) coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	switch {
	case g.color != "auto":
		return g.color == "always"
	case !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb":
		return false
	}
	return isTerminal(f) && understandsColour(f)
}

// page is an empty one for what is written to w.
func (g *globals) page(w io.Writer) *page {
	on := g.coloured(w)
	paint := func(code string) func(string) painted {
		return func(s string) painted {
			s = visible(s)
			if !on || s == "" {
				return painted(s)
			}
			return painted("\x1b[" + code + "m" + s + "\x1b[0m")
		}
	}
	return &page{width: widthOf(w), device: g.device, bold: paint("1"), red: paint("31"), green: paint("32"), yellow: paint("33"), dim: paint("2")}
}
