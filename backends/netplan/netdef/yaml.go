package netdef

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// Bounds: far beyond any real tree, small enough that a hostile one costs nothing.
const (
	maxFile  = 1 << 20
	maxDepth = 32
	maxNodes = 100_000 // over all files, aliases counted each time they are followed
)

// Position is a place in a file, counted from 1; Line 0 is unknown.
type Position struct {
	File      string
	Line, Col int
}

// String is "file:line:column", as netplan writes it.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Source is "file:line".
func (p Position) Source() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Kind is the sort of a value.
type Kind int

const (
	Scalar Kind = iota
	Mapping
	Sequence
)

// Value is one merged value of the tree.
type Value struct {
	Kind Kind
	Text string   // of a scalar
	Pos  Position // of the text that counts
	// Overridden are earlier values of this scalar that no longer count.
	Overridden []*Value
	Keys       []string // of a mapping, in order of first appearance
	Items      map[string]*Value
	KeyPos     map[string]Position
	List       []*Value

	// Of a scalar, to write it again.
	Tag    string // YAML's: "!!str" ...
	Quoted bool
}

// Get walks down a mapping; nil when something on the way is missing.
func (v *Value) Get(path ...string) *Value {
	for _, key := range path {
		if v == nil || v.Kind != Mapping {
			return nil
		}
		v = v.Items[key]
	}
	return v
}

// String is the text of a scalar, empty for anything else.
func (v *Value) String() string {
	if v == nil || v.Kind != Scalar {
		return ""
	}
	return v.Text
}

// Bool reads a boolean as netplan does; ok is false for anything else.
func (v *Value) Bool() (value, ok bool) {
	switch strings.ToLower(v.String()) {
	case "true", "on", "yes", "y":
		return true, true
	case "false", "off", "no", "n":
		return false, true
	}
	return false, false
}

// Uint reads an unsigned number as netplan does: decimal, 32 bits.
func (v *Value) Uint() (uint32, bool) {
	n, err := strconv.ParseUint(v.String(), 10, 32)
	return uint32(n), err == nil
}

// decode parses the first document of one file.
func decode(file, text string) (doc *yaml.Node, err error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: cannot read netplan YAML: %d bytes are more than %d", file, len(text), maxFile)
	}
	// The parser is a translation from C and has panicked on hostile input before.
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, fmt.Errorf("%s: cannot parse YAML: %v", file, r)
		}
	}()
	var n yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader([]byte(text))).Decode(&n); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, placed(file, err)
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
		return nil, nil
	}
	return n.Content[0], nil
}

// yamlLine is how yaml.v3 names the line in its errors.
var yamlLine = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^yaml: (?:line (\d+): )?`) })

func placed(file string, err error) error {
	text := err.Error()
	m := yamlLine().FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("%s: cannot parse YAML: %s", file, text)
	}
	text = text[len(m[0]):]
	if m[1] != "" {
		return fmt.Errorf("%s:%s: cannot parse YAML: %s", file, m[1], text)
	}
	return fmt.Errorf("%s: cannot parse YAML: %s", file, text)
}

// merger adds files to one tree within the bounds.
type merger struct {
	nodes int
	errs  []error
}

var errTooBig = errors.New("the tree has too many values: aliases that multiply themselves?")

// pairs calls fn for each key of a mapping, aliases followed.
func (m *merger) pairs(file string, n *yaml.Node, what string, depth int, fn func(key, value *yaml.Node)) {
	n = m.follow(file, n, depth)
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		m.fail(file, n, "expected mapping (%s)", what)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			m.fail(file, key, "expected scalar as key (%s)", what)
			continue
		}
		if v := m.follow(file, n.Content[i+1], depth+1); v != nil {
			fn(key, v)
		}
	}
}

// follow resolves aliases and counts.
func (m *merger) follow(file string, n *yaml.Node, depth int) *yaml.Node {
	for hops := 0; n.Kind == yaml.AliasNode && n.Alias != nil && hops < maxDepth; hops++ {
		n = n.Alias
	}
	m.nodes++
	switch {
	case m.nodes > maxNodes:
		if m.nodes == maxNodes+1 {
			m.errs = append(m.errs, fmt.Errorf("%s: cannot read netplan YAML: %w", file, errTooBig))
		}
		return nil
	case depth > maxDepth:
		m.fail(file, n, "nested more than %d deep", maxDepth)
		return nil
	case n.Kind == yaml.AliasNode:
		m.fail(file, n, "alias without end")
		return nil
	}
	return n
}

func (m *merger) fail(file string, n *yaml.Node, format string, args ...any) {
	if len(m.errs) < 100 {
		m.errs = append(m.errs, fmt.Errorf("%s: %s", Position{file, n.Line, n.Column}, fmt.Sprintf(format, args...)))
	}
}

// merge puts n over old: mappings merge, sequences append, scalars override.
func (m *merger) merge(file string, old *Value, n *yaml.Node, depth int) *Value {
	n = m.follow(file, n, depth)
	if n == nil {
		return old
	}
	pos := Position{file, n.Line, n.Column}
	switch n.Kind {
	case yaml.MappingNode:
		v := old
		if v == nil || v.Kind != Mapping {
			v = &Value{Kind: Mapping, Pos: pos, Items: map[string]*Value{}, KeyPos: map[string]Position{}}
		}
		m.pairs(file, n, "mapping", depth, func(key, value *yaml.Node) {
			next := m.merge(file, v.Items[key.Value], value, depth+1)
			if next == nil {
				return
			}
			if v.Items[key.Value] == nil {
				v.Keys = append(v.Keys, key.Value)
			}
			v.Items[key.Value] = next
			v.KeyPos[key.Value] = Position{file, key.Line, key.Column}
		})
		return v
	case yaml.SequenceNode:
		v := old
		if v == nil || v.Kind != Sequence {
			v = &Value{Kind: Sequence, Pos: pos}
		}
		for _, item := range n.Content {
			if next := m.merge(file, nil, item, depth+1); next != nil {
				v.List = append(v.List, next)
			}
		}
		return v
	}
	v := &Value{Kind: Scalar, Text: n.Value, Pos: pos, Tag: n.Tag, Quoted: n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0}
	if old != nil && old.Kind == Scalar {
		v.Overridden = append(old.Overridden, &Value{Kind: Scalar, Text: old.Text, Pos: old.Pos})
	}
	return v
}
