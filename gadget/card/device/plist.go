package device

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxDepth bounds how far values may be inside each other: diskutil's are five.
const maxDepth = 32

// parsePlist reads a property list in its XML form (plist(5) of macOS) into map[string]any, []any, string, int64 and bool.
// Dates and data stay text, for nothing here needs them.
func parsePlist(r io.Reader) (any, error) {
	d := xml.NewDecoder(r)
	for {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("no property list: %w", err)
		}
		if s, ok := t.(xml.StartElement); ok && s.Name.Local != "plist" {
			return plistValue(d, s, 0)
		}
	}
}

func plistValue(d *xml.Decoder, s xml.StartElement, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("a property list with too many levels")
	}
	switch s.Name.Local {
	case "true", "false":
		return s.Name.Local == "true", d.Skip()
	case "dict":
		out := map[string]any{}
		key, keyed := "", false
		err := plistChildren(d, func(c xml.StartElement) error {
			if !keyed {
				if c.Name.Local != "key" {
					return fmt.Errorf("a property list with <%s> where a key should be", c.Name.Local)
				}
				keyed = true
				return d.DecodeElement(&key, &c)
			}
			v, err := plistValue(d, c, depth+1)
			out[key], key, keyed = v, "", false
			return err
		})
		return out, err
	case "array":
		out := []any{}
		err := plistChildren(d, func(c xml.StartElement) error {
			v, err := plistValue(d, c, depth+1)
			out = append(out, v)
			return err
		})
		return out, err
	}
	var text string
	if err := d.DecodeElement(&text, &s); err != nil {
		return nil, err
	}
	if s.Name.Local == "integer" {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 0, 64)
		if err != nil {
			return nil, fmt.Errorf("a property list with %q for a number", text)
		}
		return n, nil
	}
	return text, nil
}

// plistChildren calls f for each element up to the end of the present one; f has to read all of it.
func plistChildren(d *xml.Decoder, f func(xml.StartElement) error) error {
	for {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("a property list that is cut off: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := f(t); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}
