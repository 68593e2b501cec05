// Package strict decodes YAML into a struct and reports everything that is wrong
// at once, each problem with its line and column: unknown keys, wrong types,
// duplicate keys, values outside an enumeration. It also writes the JSON Schema
// of the same struct, so that the two can never disagree.
//
// Fields are named by their `yaml` tag. `enum:"a,b"` restricts a string, `help`
// and `default` describe the field for the schema and the reference page.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxBytes bounds a configuration file; MaxDepth its nesting. Aliases are refused,
// because nobody needs them in a file of this kind and they are how small YAML
// becomes large.
const (
	MaxBytes = 1 << 20
	MaxDepth = 32
)

// Problem is one thing that is wrong. Line and Column start at 1; 0 is unknown.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"` // network.nics[0].route-metric
	Text   string `json:"text"`
}

// Error returns "file:line:column: path: text".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all that is wrong with one file, in the order of the text.
type Problems []Problem

// Error returns one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Document is a parsed file that remembers where each value stands.
type Document struct {
	file  string
	where []place    // in the order of the text
	root  *yaml.Node // without what was wrong; nil when the text is no YAML
}

// place is where a value stands. Places are asked for only when something is wrong, so that a list is enough: a map is what the start
// of a program can do without.
type place struct {
	path         string
	line, column int
}

// At returns a problem at the place of path. A path that the file does not
// mention is reported at its nearest parent.
func (d *Document) At(path, text string) Problem {
	p := Problem{File: d.file, Path: path, Text: text}
	for at := path; ; {
		if i := slices.IndexFunc(d.where, func(w place) bool { return w.path == at }); i >= 0 {
			p.Line, p.Column = d.where[i].line, d.where[i].column
			return p
		}
		if at == "" {
			return p
		}
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
}

// Decode reads text, called file in messages, into the struct that out points
// to. The error is of type Problems; out is untouched unless the error is nil.
func Decode(file string, text []byte, out any) (*Document, error) {
	doc := &Document{file: file}
	if len(text) > MaxBytes {
		return doc, Problems{{File: file, Text: fmt.Sprintf("larger than %d bytes", MaxBytes)}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return doc, nil
		}
		return doc, Problems{syntax(file, err)}
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return doc, Problems{{File: file, Line: second.Line, Column: second.Column, Text: "more than one YAML document"}}
	}
	c := checker{doc: doc}
	c.value(root.Content[0], reflect.TypeOf(out).Elem(), "", 0)
	doc.root = &root
	if len(c.problems) > 0 {
		sort.SliceStable(c.problems, func(i, j int) bool {
			a, b := c.problems[i], c.problems[j]
			return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
		})
		return doc, c.problems
	}
	fresh := reflect.New(reflect.TypeOf(out).Elem())
	fresh.Elem().Set(reflect.ValueOf(out).Elem())
	if err := root.Decode(fresh.Interface()); err != nil {
		return doc, Problems{syntax(file, err)}
	}
	reflect.ValueOf(out).Elem().Set(fresh.Elem())
	return doc, nil
}

// Rest decodes into out what was right of a file that Decode refused, so that the
// caller's own checks can name their problems too, all at once. It reports whether
// there is anything.
func (d *Document) Rest(out any) bool {
	return d.root != nil && d.root.Decode(out) == nil
}

// syntax turns yaml.v3's "yaml: line N: text" into a Problem.
func syntax(file string, err error) Problem {
	p := Problem{File: file, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	if _, e := fmt.Sscanf(p.Text, "line %d:", &p.Line); e == nil {
		p.Column = 1
		p.Text = strings.TrimSpace(p.Text[strings.Index(p.Text, ":")+1:])
	}
	return p
}

type checker struct {
	doc      *Document
	problems Problems
	known    map[reflect.Type][]field
}

// field is what a key of the file may be.
type field struct {
	name string
	t    reflect.Type
	enum string // comma-separated; "" is no restriction
}

// fields are those of a struct type, read once per type: reflection is what reading a short file takes longest for.
func (c *checker) fields(t reflect.Type) []field {
	if known, ok := c.known[t]; ok {
		return known
	}
	all := make([]field, 0, t.NumField())
	for _, f := range ordered(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		all = append(all, field{name, f.Type, f.Tag.Get("enum")})
	}
	if c.known == nil {
		c.known = map[reflect.Type][]field{}
	}
	c.known[t] = all
	return all
}

// fail records a problem of n and blanks it, for Rest.
func (c *checker) fail(n *yaml.Node, path, format string, args ...any) {
	defer func() { n.Kind, n.Tag, n.Value, n.Content, n.Alias = yaml.ScalarNode, "!!null", "", nil, nil }()
	c.problems = append(c.problems, Problem{File: c.doc.file, Line: n.Line, Column: n.Column, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) value(n *yaml.Node, t reflect.Type, path string, depth int) {
	if depth > MaxDepth {
		c.fail(n, path, "nested deeper than %d levels", MaxDepth)
		return
	}
	c.doc.where = append(c.doc.where, place{path, n.Line, n.Column})
	if n.Kind == yaml.AliasNode {
		c.fail(n, path, "aliases (*name) are not supported: write the value out")
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an empty value is the default
	}
	switch t.Kind() {
	case reflect.Struct:
		c.mapping(n, t, path, depth)
	case reflect.Map:
		c.table(n, t, path, depth)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			c.fail(n, path, "should be a list, is %s", kindName(n))
			return
		}
		for i, e := range n.Content {
			c.value(e, t.Elem(), path+"["+strconv.Itoa(i)+"]", depth+1)
		}
	default:
		c.scalar(n, t, path)
	}
}

func (c *checker) mapping(n *yaml.Node, t reflect.Type, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		c.fail(n, path, "should be a mapping (key: value), is %s", kindName(n))
		return
	}
	fields := c.fields(t)
	seen := map[string]int{}
	var right []*yaml.Node
	defer func() { n.Content = right }()
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if line, dup := seen[k.Value]; dup {
			c.fail(k, join(path, k.Value), "given twice; first in line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == k.Value })
		if at < 0 {
			c.fail(k, join(path, k.Value), "unknown key%s", suggest(k.Value, fields))
			continue
		}
		f := &fields[at]
		right = append(right, k, v)
		before := len(c.problems)
		c.value(v, f.t, join(path, k.Value), depth+1)
		if enum := f.enum; enum != "" && len(c.problems) == before && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
			if allowed := strings.Split(enum, ","); !contains(allowed, v.Value) {
				c.fail(v, join(path, k.Value), "%q is not one of %s", v.Value, strings.Join(allowed, ", "))
			}
		}
	}
}

func (c *checker) table(n *yaml.Node, t reflect.Type, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		c.fail(n, path, "should be a mapping (key: value), is %s", kindName(n))
		return
	}
	seen := map[string]int{}
	var right []*yaml.Node
	defer func() { n.Content = right }()
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if line, dup := seen[k.Value]; dup {
			c.fail(k, join(path, k.Value), "given twice; first in line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		right = append(right, k, v)
		c.value(v, t.Elem(), join(path, k.Value), depth+1)
	}
}

func (c *checker) scalar(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.ScalarNode {
		c.fail(n, path, "should be %s, is %s", typeName(t), kindName(n))
		return
	}
	if plain := n.Style&yaml.TaggedStyle == 0 && t.PkgPath() == ""; plain &&
		(t.Kind() == reflect.String && n.Tag == "!!str" || t.Kind() == reflect.Bool && n.Tag == "!!bool") {
		return // what most values are: nobody has to be asked
	}
	if err := n.Decode(reflect.New(t).Interface()); err != nil {
		c.fail(n, path, "%q is not %s", n.Value, typeName(t))
		return
	}
	if t.Kind() == reflect.String && n.Tag != "!!str" {
		c.fail(n, path, "%s is %s; put quotes around it to make it text", n.Value, kindName(n))
	}
}

// Fields returns the YAML fields of a struct type by key, those of inline structs included.
func Fields(t reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for _, f := range ordered(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		out[name] = f
	}
	return out
}

// ordered are the same in the order of the struct.
func ordered(t reflect.Type) []reflect.StructField {
	var out []reflect.StructField
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported():
		case options == "inline" && f.Type.Kind() == reflect.Struct:
			for _, inner := range ordered(f.Type) {
				inner.Index = append(slices.Clone(f.Index), inner.Index...)
				out = append(out, inner)
			}
		case name != "" && name != "-":
			out = append(out, f)
		}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int":
		return "a number"
	case "!!float":
		return "a decimal number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "empty"
	case "!!timestamp":
		return "a date"
	}
	return "text"
}

func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list of " + typeName(t.Elem())
	case reflect.Map:
		return "a mapping of names to " + typeName(t.Elem())
	}
	return "text"
}
