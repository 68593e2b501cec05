package strict

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns Markdown about every key of a configuration struct: a section for
// each mapping, a line for each key, in the order of the struct.
func Reference(t reflect.Type) string {
	var b strings.Builder
	section(&b, t, "")
	return b.String()
}

func section(b *strings.Builder, t reflect.Type, path string) {
	if path == "" {
		b.WriteString("## The whole file\n")
	} else {
		fmt.Fprintf(b, "\n## %s\n", path)
	}
	type below struct {
		t    reflect.Type
		path string
	}
	var later []below
	for _, f := range ordered(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		what, inner, innerPath := describe(f, join(path, name))
		if inner != nil {
			later = append(later, below{inner, innerPath})
		}
		fmt.Fprintf(b, "\n- `%s`: %s%s\n", name, what, fill(f.Tag.Get("help")))
	}
	for _, l := range later {
		section(b, l.t, l.path)
	}
}

// describe says what a key takes, and which mapping it leads to.
func describe(f reflect.StructField, path string) (what string, inner reflect.Type, innerPath string) {
	t := f.Type
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct:
		return "mapping, see below", t, path
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "list of mappings, see below", t.Elem(), path + "[]"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return "mappings by name, see below", t.Elem(), path + ".NAME"
	}
	what = typeName(t)
	if enum := f.Tag.Get("enum"); enum != "" {
		what = "one of `" + strings.ReplaceAll(enum, ",", "`, `") + "`"
	}
	if value, ok := f.Tag.Lookup("default"); ok {
		what += ", default `" + value + "`"
	}
	return what, nil, ""
}

// fill is the help text on lines of its own, as Markdown continues a list entry.
func fill(help string) string {
	if help == "" {
		return ""
	}
	var b strings.Builder
	at := 1000
	for _, word := range strings.Fields(help) {
		if at+1+len(word) > 116 {
			b.WriteString("\n ")
			at = 1
		}
		b.WriteString(" " + word)
		at += 1 + len(word)
	}
	return b.String()
}
