package strict

import (
	"math"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// Schema returns the JSON Schema (draft 2020-12) of a configuration struct, for
// editors that complete and check YAML.
func Schema(t reflect.Type, title string) map[string]any {
	s := schemaOf(t)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = title
	return s
}

func schemaOf(t reflect.Type) map[string]any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		props := map[string]any{}
		for name, f := range Fields(t) {
			p := schemaOf(f.Type)
			if help := f.Tag.Get("help"); help != "" {
				p["description"] = help
			}
			if enum := f.Tag.Get("enum"); enum != "" {
				p["enum"] = strings.Split(enum, ",")
			}
			if text, ok := f.Tag.Lookup("default"); ok {
				var value any
				if yaml.Unmarshal([]byte(text), &value) == nil {
					p["default"] = value
				}
			}
			props[name] = p
		}
		return map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		m := map[string]any{"type": "integer", "minimum": 0}
		if t.Bits() <= 32 {
			m["maximum"] = uint64(math.Pow(2, float64(t.Bits()))) - 1
		}
		return m
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "string"}
}
