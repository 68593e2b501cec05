package facts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds of loaded facts.
const (
	maxFacts = 64 << 20 // bytes
	maxDepth = 64       // nesting
)

// WriteJSON prints f as indented JSON.
func (f *Facts) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(f)
}

// WriteYAML prints f as YAML with the same keys as the JSON form; files stand in
// it as they are, line by line.
func (f *Facts) WriteYAML(w io.Writer) error {
	var buf bytes.Buffer
	if err := f.WriteJSON(&buf); err != nil {
		return err
	}
	d := json.NewDecoder(&buf)
	d.UseNumber()
	n, err := yamlNode(d)
	if err != nil {
		return fmt.Errorf("cannot print facts as YAML: %w", err)
	}
	if err := encodeYAML(w, n); err != nil {
		return fmt.Errorf("cannot print facts as YAML: %w", err)
	}
	return nil
}

func encodeYAML(w io.Writer, n *yaml.Node) error {
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return err
	}
	return e.Close()
}

// Load reads facts printed by WriteJSON or WriteYAML. It refuses another schema
// version and keys that it does not know: a fixture that is silently half read
// would prove nothing.
func Load(r io.Reader) (*Facts, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFacts+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read facts: %w", err)
	}
	if len(b) > maxFacts {
		return nil, fmt.Errorf("cannot read facts: more than %d MiB", maxFacts>>20)
	}
	if trimmed := bytes.TrimSpace(b); len(trimmed) == 0 || trimmed[0] != '{' {
		if b, err = yamlToJSON(b); err != nil {
			return nil, fmt.Errorf("cannot read facts: %w", err)
		}
	}
	// The version first: what follows may have another shape.
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("cannot read facts: %w", err)
	}
	if head.Schema == nil {
		return nil, errors.New("cannot read facts: no schema version: are these facts at all?")
	}
	if *head.Schema != SchemaVersion {
		return nil, fmt.Errorf("cannot read facts: schema version %d, this program knows %d", *head.Schema, SchemaVersion)
	}
	var f Facts
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("cannot read facts: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("cannot read facts: something follows them")
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("cannot read facts: %w", err)
	}
	if f.Files == nil {
		f.Files = map[string]File{}
	}
	return &f, nil
}

// check refuses what no machine has and every reader relies on.
func (f *Facts) check() error {
	var errs []error
	seen := map[int]string{}
	for _, l := range f.Links {
		switch {
		case l.Index <= 0:
			errs = append(errs, fmt.Errorf("link %q has index %d", l.Name, l.Index))
		case l.Name == "":
			errs = append(errs, fmt.Errorf("link %d has no name", l.Index))
		case seen[l.Index] != "":
			errs = append(errs, fmt.Errorf("links %q and %q have the same index %d", seen[l.Index], l.Name, l.Index))
		}
		seen[l.Index] = l.Name
	}
	for i, r := range f.Routes {
		if !r.Dst.IsValid() {
			errs = append(errs, fmt.Errorf("route %d has no destination", i+1))
		}
	}
	for i, a := range f.Addrs {
		if !a.Prefix.IsValid() {
			errs = append(errs, fmt.Errorf("address %d is no prefix", i+1))
		}
	}
	for p := range f.Files {
		if !strings.HasPrefix(p, "/") {
			errs = append(errs, fmt.Errorf("file %q is no absolute path", p))
		}
	}
	return errors.Join(errs...)
}

// fileJSON is File as it is printed: text that is no UTF-8 stands in base64, so
// that files come back byte for byte.
type fileJSON struct {
	Mode   uint32 `json:"mode"`
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Link   string `json:"symlink,omitempty"`
	Text   string `json:"text,omitempty"`
	Bytes  []byte `json:"base64,omitempty"`
	Masked bool   `json:"masked,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f File) MarshalJSON() ([]byte, error) {
	j := fileJSON{Mode: f.Mode, UID: f.UID, GID: f.GID, Link: f.Link, Masked: f.Masked}
	if utf8.ValidString(f.Text) {
		j.Text = f.Text
	} else {
		j.Bytes = []byte(f.Text)
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(j)
	return buf.Bytes(), err
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *File) UnmarshalJSON(b []byte) error {
	var j fileJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil {
		return err
	}
	if len(j.Bytes) > 0 {
		if j.Text != "" {
			return errors.New("a file has text and base64")
		}
		j.Text = string(j.Bytes)
	}
	*f = File{Mode: j.Mode, UID: j.UID, GID: j.GID, Link: j.Link, Text: j.Text, Masked: j.Masked}
	return nil
}

// yamlNode turns the next JSON value into a YAML node, keeping the order of keys.
func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if t == '[' {
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for d.More() {
			c, err := yamlNode(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, c)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle
		}
		_, err := d.Token()
		return n, err
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t}
		switch {
		case literal(t):
			n.Style = yaml.LiteralStyle
		case !plain(t):
			n.Style = yaml.DoubleQuotedStyle
		}
		return n, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
}

// literal tells which texts may stand as a block: lines of printable characters
// that end in exactly one newline and have no blanks at places where YAML or an
// editor would lose them.
func literal(s string) bool {
	if !strings.HasSuffix(s, "\n") || strings.HasSuffix(s, "\n\n") || s[0] == ' ' || s[0] == '\n' || s[0] == '\t' {
		return false
	}
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimRight(line, " \t") != line || !printable(line) {
			return false
		}
	}
	return true
}

func plain(s string) bool { return s != "" && !strings.Contains(s, "\n") && printable(s) }

func printable(s string) bool {
	for _, c := range s {
		if c < 0x20 && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 || c == 0xfeff || c == 0x2028 || c == 0x2029 || c == utf8.RuneError || c > 0xffff {
			return false
		}
	}
	return true
}

// yamlToJSON converts one YAML document of plain data.
func yamlToJSON(b []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("neither a JSON object nor a YAML mapping")
	}
	var out bytes.Buffer
	if err := appendJSON(&out, doc.Content[0], 0); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func appendJSON(out *bytes.Buffer, n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested too deeply", n.Line)
	}
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: anchors and aliases are not used in facts", n.Line)
	}
	switch n.Kind {
	case yaml.MappingNode:
		seen := map[string]bool{}
		out.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode {
				return fmt.Errorf("line %d: a key must be a word", k.Line)
			}
			if seen[k.Value] {
				return fmt.Errorf("line %d: key %q twice", k.Line, k.Value)
			}
			seen[k.Value] = true
			if i > 0 {
				out.WriteByte(',')
			}
			appendString(out, k.Value)
			out.WriteByte(':')
			if err := appendJSON(out, n.Content[i+1], depth+1); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, c := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := appendJSON(out, c, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			out.WriteString("null")
		case "!!bool", "!!int", "!!float":
			if json.Valid([]byte(n.Value)) {
				out.WriteString(n.Value)
				break
			}
			return fmt.Errorf("line %d: cannot read %q as a number", n.Line, n.Value)
		default:
			appendString(out, n.Value)
		}
	default:
		return fmt.Errorf("line %d: not plain data", n.Line)
	}
	return nil
}

func appendString(out *bytes.Buffer, s string) {
	b, _ := json.Marshal(s) // a string always can
	out.Write(b)
}
