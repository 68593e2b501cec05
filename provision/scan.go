package provision

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

// What write.go has written is read back here, and no other text: encoding/json reads whatever else there is in a body, and
// says what is wrong with it.

// unmarshal fills body, which is empty, from its JSON form.
func unmarshal(js []byte, body any) error {
	switch x := body.(type) {
	case *ledger:
		if x.scan(string(js)) {
			return nil
		}
		*x = ledger{}
	case *firstFile:
		if x.scan(string(js)) {
			return nil
		}
		*x = firstFile{}
	}
	return json.Unmarshal(js, body)
}

// scanner reads a text from its beginning. After what is not as expected it fails for good.
type scanner struct {
	rest   string
	failed bool
}

// is takes away s if the text goes on with it.
func (s *scanner) is(what string) bool {
	rest, ok := strings.CutPrefix(s.rest, what)
	if ok = ok && !s.failed; ok {
		s.rest = rest
	}
	return ok
}

func (s *scanner) must(what string) { s.failed = !s.is(what) || s.failed }

// text is a string in which nothing is escaped or has to be.
func (s *scanner) text() string {
	s.must(`"`)
	for i := range len(s.rest) {
		switch c := s.rest[i]; {
		case s.failed || c < ' ' || c > '~' || c == '\\':
			s.failed = true
			return ""
		case c == '"':
			out := s.rest[:i]
			s.rest = s.rest[i+1:]
			return out
		}
	}
	s.failed = true
	return ""
}

func (s *scanner) ref() (r wireRef) {
	var ok bool
	r.Kind, r.Name, ok = strings.Cut(s.text(), ":")
	s.failed = s.failed || !ok
	return r
}

func (s *scanner) attrs() wireAttrs {
	if s.is("null") {
		return nil
	}
	w := wireAttrs{}
	s.must("[")
	for !s.failed && !s.is("]") {
		if len(w) > 0 {
			s.must(",")
		}
		k := s.text()
		s.must(",")
		w[k] = s.text()
	}
	return w
}

// scan reads what appendJSON writes, as json.Unmarshal does.
func (l *ledger) scan(js string) bool {
	s := &scanner{rest: js}
	s.must(`{"seq":`)
	digits, rest, ok := strings.Cut(s.rest, ",")
	var err error
	if l.Seq, err = strconv.ParseUint(digits, 10, 64); !ok || err != nil || strconv.FormatUint(l.Seq, 10) != digits {
		return false
	}
	s.rest = rest
	s.must(`"time":`)
	if l.Time.UnmarshalJSON([]byte(`"`+s.text()+`"`)) != nil {
		return false
	}
	s.must(`,"key":`)
	if !s.is("null") {
		if l.Key, err = base64.StdEncoding.DecodeString(s.text()); err != nil {
			return false
		}
	}
	s.must(`,"refs":[`)
	l.Refs = []ledgerRef{}
	for !s.failed && !s.is("]") {
		if len(l.Refs) > 0 {
			s.must(",")
		}
		s.must(`{"ref":`)
		r := ledgerRef{Ref: s.ref()}
		s.must(`,"last":`)
		r.Last = s.attrs()
		r.Lent = s.is(`,"lent":true`)
		s.must("}")
		l.Refs = append(l.Refs, r)
	}
	if s.failed || s.is("}") {
		return !s.failed && s.rest == ""
	}
	s.must(",")
	return !s.failed && json.Unmarshal([]byte("{"+s.rest), l) == nil
}

func (f *firstFile) scan(js string) bool {
	s := &scanner{rest: js}
	s.must(`{"seen":[`)
	f.Seen = []seen{}
	for !s.failed && !s.is("]") {
		if len(f.Seen) > 0 {
			s.must(",")
		}
		s.must(`{"ref":`)
		x := seen{Ref: s.ref()}
		s.must(`,"value":`)
		x.Value = s.attrs()
		s.must("}")
		f.Seen = append(f.Seen, x)
	}
	s.must("}")
	return !s.failed && s.rest == ""
}
