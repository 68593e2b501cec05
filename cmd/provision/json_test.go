//go:build !arm

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const module = "github.com/provision-net/provision"

// meanings says what keys mean: by the comment beside a field, else by the file of meanings.
type meanings struct {
	t        *testing.T
	comments map[string]map[string]string // by package, and "Type.Field"
	file     map[string]string            // by "key" and "package.Type key"
	used     map[string]bool
}

func readMeanings(t *testing.T) *meanings {
	t.Helper()
	text, err := os.ReadFile("testdata/meanings.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := &meanings{t, map[string]map[string]string{}, map[string]string{}, map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, meaning, ok := strings.Cut(line, ": ")
		if !ok || m.file[key] != "" {
			t.Fatalf("%q says nothing, or is there twice", line)
		}
		m.file[key] = meaning
	}
	return m
}

// of is the meaning of a field; empty where nobody says it.
func (m *meanings) of(owner reflect.Type, f reflect.StructField, key string) string {
	if special := owner.String() + " " + key; m.file[special] != "" {
		m.used[special] = true
		return m.file[special]
	}
	if m.comments[owner.PkgPath()] == nil {
		m.comments[owner.PkgPath()] = commentsOf(m.t, owner.PkgPath())
	}
	if text := m.comments[owner.PkgPath()][owner.Name()+"."+f.Name]; text != "" {
		return asKeys(text, owner, f.Name)
	}
	m.used[key] = true
	return m.file[key]
}

// asKeys calls the fields that a comment names by their keys: the field itself at the comment's beginning, its neighbours inside a sentence.
func asKeys(text string, owner reflect.Type, self string) string {
	words := strings.Split(text, " ")
	for i, w := range words {
		name := strings.TrimRight(w, ",;:.")
		f, ok := owner.FieldByName(name)
		if !ok || f.Tag.Get("json") == "" || i == 0 && name != self || i > 0 && strings.HasSuffix(words[i-1], ".") && !strings.HasSuffix(w, ":") {
			continue
		}
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" {
			words[i] = "`" + key + "`" + w[len(name):]
		}
	}
	return strings.Join(words, " ")
}

// commentsOf are the comments of a package's fields, by "Type.Field".
func commentsOf(t *testing.T, pkg string) map[string]string {
	t.Helper()
	dir := "../../" + strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
	if pkg == "main" || strings.HasSuffix(pkg, "/cmd/provision") {
		dir = "."
	}
	names, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no sources (%v)", dir, err)
	}
	out := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			st, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range st.Fields.List {
				for _, id := range f.Names {
					text := strings.TrimSuffix(strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " "), ".")
					text, _ = strings.CutPrefix(strings.TrimPrefix(text, id.Name+": "), id.Name+" is ") // a sentence about the field
					out[spec.Name.Name+"."+id.Name] = text
				}
			}
			return true
		})
	}
	return out
}

// ownJSON reports whether a type is a text, or something else of its own, in JSON.
func ownJSON(t reflect.Type) (string, bool) {
	switch {
	case t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler):
		return "text", true
	case t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler):
		return "structure", true // what it holds is said with the key
	}
	return "", false
}

// formOf says what a value of the type looks like, and which structure it is made of, if any.
func formOf(t reflect.Type) (string, reflect.Type) {
	if form, own := ownJSON(t); own {
		return form, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return formOf(t.Elem())
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "text (base64)", nil
		}
		of, s := formOf(t.Elem())
		return "list of " + of, s
	case reflect.Map:
		of, s := formOf(t.Elem())
		return "by name: " + of, s
	case reflect.Struct:
		return fmt.Sprintf("[%s](#%s)", t, strings.ToLower(strings.ReplaceAll(t.String(), ".", ""))), t
	case reflect.String:
		return "text", nil
	case reflect.Bool:
		return "true or false", nil
	}
	return "number", nil
}

// The page of the keys explains each one that any command prints: one section for each structure, in the order in which the commands
// need them.
func TestPageOfKeys(t *testing.T) {
	m := readMeanings(t)
	var commands, sections strings.Builder
	seen := map[reflect.Type]bool{}
	var queue []reflect.Type
	want := func(s reflect.Type) {
		if s != nil && !seen[s] {
			seen[s] = true
			queue = append(queue, s)
		}
	}
	keys := 0
	var rows func(owner reflect.Type)
	rows = func(owner reflect.Type) {
		for i := range owner.NumField() {
			f := owner.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" || !f.IsExported() && !f.Anonymous:
				continue
			case f.Anonymous && name == "":
				inner := f.Type
				if inner.Kind() == reflect.Pointer {
					inner = inner.Elem()
				}
				if _, own := ownJSON(inner); !own && inner.Kind() == reflect.Struct {
					rows(inner)
					continue
				}
				name = f.Name
			case name == "":
				name = f.Name
			}
			meaning := m.of(owner, f, name)
			if meaning == "" {
				t.Errorf("nobody says what the key %s of %s means: put a comment beside the field %s, or a line into testdata/meanings.txt", name, owner, f.Name)
			}
			if strings.Contains(options, "omit") {
				name += "` `?"
			}
			form, s := formOf(f.Type)
			want(s)
			keys++
			fmt.Fprintf(&sections, "| `%s` | %s | %s |\n", name, form, strings.ReplaceAll(meaning, "|", `\|`))
		}
	}
	for _, o := range outputs() {
		form, s := formOf(reflect.TypeOf(o.value))
		want(s)
		fmt.Fprintf(&commands, "| %s | %s |\n", o.command, form)
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		fmt.Fprintf(&sections, "\n### %s\n\n| key | form | meaning |\n| --- | --- | --- |\n", s)
		rows(s)
	}
	for key := range m.file {
		if !m.used[key] {
			t.Errorf("testdata/meanings.txt explains %q, which no command prints, or which a comment explains", key)
		}
	}
	if keys < 500 {
		t.Errorf("only %d keys were found", keys)
	}
	const head = `# The keys of JSON and YAML

What every command prints with ` + "`-o json`" + ` and ` + "`-o yaml`" + `. This page is made of the program and its sources
(` + "`make docs`" + `). Keys do not change their name or meaning and do not go away within a major version; new ones may be
added, so ignore what you do not know. A key with ` + "`?`" + ` is left out where it has nothing to say. Times are RFC 3339;
durations whose keys end in ` + "`_ns`" + ` are nanoseconds.

| command | prints |
| --- | --- |
`
	golden(t, filepath.Join(docs, "json.md"), head+commands.String()+"\n## Structures\n"+sections.String())
}

// Every command that prints a result has its line, so that none is forgotten.
func TestOutputsAreThoseOfAllCommands(t *testing.T) {
	// These print files, text in a form of its own, or nothing.
	other := "serve, completion, help, hook, init, schema, gadget watch"
	known := func(path []string) bool {
		for _, o := range outputs() {
			words := strings.Fields(strings.ReplaceAll(o.command, ",", " "))
			if len(path) == 1 && slices.Contains(words, path[0]) || len(path) == 2 && words[0] == path[0] && slices.Contains(words[1:], path[1]) {
				return true
			}
		}
		return slices.Contains(strings.Split(other, ", "), strings.Join(path, " ")) || slices.Contains(strings.Split(other, ", "), path[0])
	}
	n := 0
	var walk func(c *cobra.Command, path []string)
	walk = func(c *cobra.Command, path []string) {
		for _, sub := range c.Commands() {
			walk(sub, append(slices.Clone(path), sub.Name()))
		}
		if !c.HasSubCommands() && len(path) > 0 && !c.Hidden {
			if n++; !known(path) {
				t.Errorf("`%s` has no line among outputs(): what it prints with -o json is not written down", strings.Join(path, " "))
			}
		}
	}
	walk(newRoot(&globals{signals: noSignals()}), nil)
	if n < 40 {
		t.Errorf("only %d commands were found", n)
	}
}
