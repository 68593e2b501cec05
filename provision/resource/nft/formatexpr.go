package nft

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
)

// appendRule writes a rule as encoding/json would, which takes most of the time that a table of
// a thousand rules needs if it has to look at each field of each expression. What is rare is
// left to it.
func appendRule(b []byte, r *Rule) ([]byte, error) {
	b = append(b, `{"rule":{"exprs":[`...)
	var err error
	for i := range r.Exprs {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendExpr(b, &r.Exprs[i]); err != nil {
			return b, err
		}
	}
	b = append(b, ']')
	if r.Comment != "" {
		b = append(b, `,"comment":`...)
		if b, err = appendString(b, r.Comment); err != nil {
			return b, err
		}
	}
	return append(b, "}}\n"...), nil
}

func appendExpr(b []byte, e *Expr) ([]byte, error) {
	switch {
	case e.Meta != nil && plain(e.Meta.Key):
		b = append(append(b, `{"meta":{"key":"`...), e.Meta.Key...)
		b = appendNumber(append(b, '"'), "reg", e.Meta.Reg)
		if e.Meta.Set {
			b = append(b, `,"set":true`...)
		}
	case e.Payload != nil && plain(e.Payload.Base):
		b = append(append(b, `{"payload":{"base":"`...), e.Payload.Base...)
		b = appendNumber(append(b, '"'), "offset", e.Payload.Offset)
		b = appendNumber(b, "len", e.Payload.Len)
		b = appendNumber(b, "reg", e.Payload.Reg)
	case e.Cmp != nil && (e.Cmp.Op == "==" || e.Cmp.Op == "!="):
		b = append(append(b, `{"cmp":{"op":"`...), e.Cmp.Op...)
		b = appendNumber(append(b, '"'), "reg", e.Cmp.Reg)
		b = appendBytes(b, "data", e.Cmp.Data)
	case e.Immediate != nil:
		b = append(b, `{"immediate":{"reg":`...)
		b = strconv.AppendUint(b, uint64(e.Immediate.Reg), 10)
		b = appendBytes(b, "data", e.Immediate.Data)
	case e.Verdict != nil && plain(e.Verdict.Kind) && plain(e.Verdict.Chain):
		b = append(append(b, `{"verdict":{"kind":"`...), e.Verdict.Kind...)
		b = append(b, '"')
		if e.Verdict.Chain != "" {
			b = append(append(b, `,"chain":"`...), e.Verdict.Chain...)
			b = append(b, '"')
		}
	case e.Counter != nil:
		b = append(b, `{"counter":{`...)
	default:
		text, err := marshal(e)
		return append(b, text...), err
	}
	return append(b, "}}"...), nil
}

// plain tells words that need no quoting.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != ' ' {
			return false
		}
	}
	return true
}

func appendNumber(b []byte, name string, n uint32) []byte {
	b = append(append(b, ',', '"'), name...)
	return strconv.AppendUint(append(b, '"', ':'), uint64(n), 10)
}

func appendBytes(b []byte, name string, data []byte) []byte {
	b = append(append(b, ',', '"'), name...)
	if data == nil {
		return append(b, `":null`...)
	}
	b = append(b, '"', ':', '"')
	return append(base64.StdEncoding.AppendEncode(b, data), '"')
}

func appendString(b []byte, s string) ([]byte, error) {
	text, err := marshal(s)
	return append(b, text...), err
}

// marshal is json.Marshal without the escapes that are for web pages.
func marshal(v any) ([]byte, error) {
	var w lineWriter
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	if n := len(w); n > 0 && w[n-1] == '\n' {
		w = w[:n-1]
	}
	return w, err
}

type lineWriter []byte

func (w *lineWriter) Write(b []byte) (int, error) {
	*w = append(*w, b...)
	return len(b), nil
}
