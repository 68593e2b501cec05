package provision

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What grows with the number of references is written here, byte for byte as encoding/json would write it: each change of one
// reference writes all that is known of the others three times (snapshot, ledger, first-seen values), and reflection took most
// of the time of a change among a thousand.

// written is a body that writes itself.
type written interface {
	appendJSON(b []byte) ([]byte, error)
}

// marshal adds the JSON form of a body.
func marshal(b []byte, body any) ([]byte, error) {
	if w, ok := body.(written); ok {
		return w.appendJSON(b)
	}
	js, err := json.Marshal(body)
	return append(b, js...), err
}

func (l *ledger) appendJSON(b []byte) ([]byte, error) {
	if l == nil {
		return append(b, "null"...), nil
	}
	b = append(slices.Grow(b, 256+256*len(l.Refs)), `{"seq":`...)
	b = strconv.AppendUint(b, l.Seq, 10)
	b, err := appendTime(b, l.Time)
	if err != nil {
		return b, err
	}
	if b = append(b, `,"key":`...); l.Key == nil {
		b = append(b, "null"...)
	} else {
		b = append(base64.StdEncoding.AppendEncode(append(b, '"'), l.Key), '"')
	}
	b = append(b, `,"refs":`...)
	b = appendList(b, l.Refs, func(b []byte, r ledgerRef) []byte {
		b = appendRef(append(b, `{"ref":`...), r.Ref)
		b = appendAttrs(append(b, `,"last":`...), r.Last)
		if r.Lent {
			b = append(b, `,"lent":true`...)
		}
		return append(b, '}')
	})
	if b, err = appendRest(b, l.Triggers, l.Holds); err != nil {
		return b, err
	}
	return append(b, '}'), nil
}

func (f firstFile) appendJSON(b []byte) ([]byte, error) {
	return append(appendList(append(slices.Grow(b, 128*len(f.Seen)), `{"seen":`...), f.Seen, appendSeen), '}'), nil
}

func (s *snapshot) appendJSON(b []byte) ([]byte, error) {
	size := 1024
	if s.Prev != nil {
		size += 256 * len(s.Prev.Refs)
	}
	for _, e := range s.Entries {
		size += 256
		for _, v := range e.Value {
			size += len(v) + len(v)/4 // quotes take two
		}
	}
	b = append(slices.Grow(b, size), `{"seq":`...)
	b = strconv.AppendUint(b, s.Seq, 10)
	b, err := appendTime(b, s.Time)
	if err != nil {
		return b, err
	}
	b = appendList(append(b, `,"entries":`...), s.Entries, appendEntry)
	if b, err = appendRest(b, s.Triggers, s.Holds); err != nil {
		return b, err
	}
	if s.Settle != 0 {
		b = strconv.AppendInt(append(b, `,"settle":`...), int64(s.Settle), 10)
	}
	if b, err = s.Prev.appendJSON(append(b, `,"prev":`...)); err != nil {
		return b, err
	}
	if len(s.Given) > 0 {
		b = appendList(append(b, `,"given":`...), s.Given, appendSeen)
	}
	return append(b, '}'), nil
}

func appendEntry(b []byte, e entry) []byte {
	b = appendRef(append(b, `{"ref":`...), e.Ref)
	b = appendAttrs(append(b, `,"value":`...), e.Value)
	if len(e.Keys) > 0 {
		b = appendList(append(b, `,"keys":`...), e.Keys, func(b []byte, t text) []byte { return appendString(b, armour(string(t))) })
	}
	if e.Delete {
		b = append(b, `,"delete":true`...)
	}
	if e.Held {
		b = append(b, `,"held":true`...)
	}
	if e.Mode != 0 {
		b = strconv.AppendInt(append(b, `,"mode":`...), int64(e.Mode), 10)
	}
	if e.Why != "" {
		b = appendString(append(b, `,"why":`...), armour(string(e.Why)))
	}
	return append(b, '}')
}

func appendSeen(b []byte, s seen) []byte {
	b = appendRef(append(b, `{"ref":`...), s.Ref)
	return append(appendAttrs(append(b, `,"value":`...), s.Value), '}')
}

func appendList[T any](b []byte, list []T, one func([]byte, T) []byte) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, x)
	}
	return append(b, ']')
}

// appendRest adds triggers and holds, which are few.
func appendRest(b []byte, triggers []wireTrigger, holds []wireHold) ([]byte, error) {
	rest, err := json.Marshal(struct {
		Triggers []wireTrigger `json:"triggers,omitempty"`
		Holds    []wireHold    `json:"holds,omitempty"`
	}{triggers, holds})
	if err != nil || len(rest) == len("{}") {
		return b, err
	}
	return append(append(b, ','), rest[1:len(rest)-1]...), nil
}

func appendTime(b []byte, t time.Time) ([]byte, error) {
	text, err := t.MarshalJSON()
	return append(append(b, `,"time":`...), text...), err
}

func appendRef(b []byte, r wireRef) []byte {
	if plain := r.Kind + ":" + r.Name; armour(plain) == plain && !strings.Contains(r.Kind, ":") {
		return appendString(b, plain)
	}
	text, _ := r.MarshalText() // it has no error
	return appendString(b, string(text))
}

func appendAttrs(b []byte, w wireAttrs) []byte {
	if w == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, k := range Attrs(w).keys() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, armour(k)), ',')
		b = appendString(b, armour(w[k]))
	}
	return append(b, ']')
}

// appendString is json.Marshal of a string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(append(b, s[from:i]...), '\\', c)
			from = i + 1
		case c == '\n':
			b = append(append(b, s[from:i]...), '\\', 'n')
			from = i + 1
		case c < ' ' || c > '~' || c == '<' || c == '>' || c == '&':
			// The rest, in the form that encoding/json has for it.
			rest, _ := json.Marshal(s[from:]) // a string has one
			return append(b, rest[1:]...)
		}
	}
	return append(append(b, s[from:]...), '"')
}
