package kept

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// text is the file without its last line end, as json.MarshalIndent writes it with one blank for each step. The wants are written
// here, since there may be a thousand of them and each change writes all.
func (s state) text() ([]byte, error) {
	wants := s.Wants
	s.Wants = []want{}
	rest, err := json.MarshalIndent(s, "", " ")
	if err != nil || len(wants) == 0 {
		return rest, err
	}
	// It follows the version, so what is found is the key and nothing that somebody called so.
	head, tail, _ := bytes.Cut(rest, []byte(`"wants": []`))
	b := append(slices.Grow(slices.Clip(head), 512*len(wants)+len(tail)), `"wants": [`...)
	for i, w := range wants {
		if i > 0 {
			b = append(b, ',')
		}
		b = w.append(b)
	}
	return append(append(b, "\n ]"...), tail...), nil
}

func (w want) append(b []byte) []byte {
	b = appendText(append(b, "\n  {\n   \"kind\": "...), w.Kind)
	b = appendText(append(b, ",\n   \"name\": "...), w.Name)
	switch b = append(b, ",\n   \"attrs\": "...); {
	case w.Attrs == nil:
		b = append(b, "null"...)
	case len(w.Attrs) == 0:
		b = append(b, "{}"...)
	default:
		for i, k := range slices.Sorted(maps.Keys(w.Attrs)) {
			b = appendText(append(b, [2]string{"{\n    ", ",\n    "}[min(i, 1)]...), k)
			b = appendText(append(b, ": "...), w.Attrs[k])
		}
		b = append(b, "\n   }"...)
	}
	if w.Why != "" {
		b = appendText(append(b, ",\n   \"why\": "...), w.Why)
	}
	if w.Mode != 0 {
		b = strconv.AppendInt(append(b, ",\n   \"mode\": "...), int64(w.Mode), 10)
	}
	return append(b, "\n  }"...)
}

// appendText is a string as encoding/json writes it.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string has no error
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
