package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"gopkg.in/yaml.v3"
)

// emit prints value in the chosen format; table draws it for people.
func (g *globals) emit(value any, table func(w *page)) error {
	switch g.output {
	case "json":
		enc := json.NewEncoder(g.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(value)
	case "yaml":
		text, err := toYAML(value)
		if err != nil {
			return err
		}
		_, err = g.stdout.Write(text)
		return err
	}
	p := &page{bold: g.paint("1"), red: g.paint("31"), green: g.paint("32"), yellow: g.paint("33"), dim: g.paint("2")}
	table(p)
	_, err := g.stdout.Write(p.buf.Bytes())
	return err
}

// toYAML goes by way of JSON, so that both forms have the same keys in the same
// order.
func toYAML(value any) ([]byte, error) {
	text, err := json.Marshal(value)
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
	return out.Bytes(), enc.Close()
}

// block takes away JSON's braces and quotes wherever YAML needs none.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}

// paint returns a function that colours text when the output is to have colours
// (NO_COLOR is honoured: no-color.org).
func (g *globals) paint(code string) func(string) string {
	on := g.color == "always"
	if g.color == "auto" && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		if f, ok := g.stdout.(*os.File); ok {
			if info, err := f.Stat(); err == nil {
				on = info.Mode()&os.ModeCharDevice != 0
			}
		}
	}
	return func(s string) string {
		if !on || s == "" {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
}

// page is text under way to a person.
type page struct {
	buf                           bytes.Buffer
	bold, red, green, yellow, dim func(string) string
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.buf, format+"\n", args...) }

// title begins a section; an empty line stands before all but the first.
func (p *page) title(s string) {
	if p.buf.Len() > 0 {
		p.line("")
	}
	p.line("%s", p.bold(s))
}

// rows draws aligned columns; cells are plain text, since colours would spoil
// the alignment.
func (p *page) rows(rows [][]string) {
	w := tabwriter.NewWriter(&p.buf, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		for i, c := range r {
			if i > 0 {
				io.WriteString(w, "\t")
			}
			io.WriteString(w, c)
		}
		io.WriteString(w, "\n")
	}
	w.Flush()
}
