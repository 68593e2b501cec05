package nft

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
)

// jsonText is text that grows by what encoding/json would write. Looking at each field of each
// expression it would take most of the time that a table of a thousand rules needs. What is rare
// is left to it.
type jsonText []byte

// How a rule's line begins, and how it ends.
const ruleBegins, ruleEnds = `{"rule":{"exprs":[`, "}}\n"

// rule appends a rule's line.
func (w *jsonText) rule(r *Rule) error {
	w.put(strings.TrimSuffix(ruleBegins, "["))
	if err := w.exprs(r.Exprs); err != nil {
		return err
	}
	w.optText("comment", r.Comment)
	w.put(ruleEnds)
	return nil
}

func (w *jsonText) exprs(list []Expr) error {
	w.put("[")
	for i := range list {
		if i > 0 {
			w.put(",")
		}
		if err := w.expr(&list[i]); err != nil {
			return err
		}
	}
	w.put("]")
	return nil
}

// element appends an element's line.
func (w *jsonText) element(e *Element) {
	w.put(`{"element":{`)
	w.bytes("key", e.Key)
	if len(e.To) > 0 {
		w.bytes("to", e.To)
	}
	if len(e.Data) > 0 {
		w.bytes("data", e.Data)
	}
	if e.Verdict != nil {
		w.name("verdict")
		w.put("{")
		w.verdict(e.Verdict)
		w.put("}")
	}
	w.optText("comment", e.Comment)
	w.opt("timeout", e.Timeout)
	w.put("}}\n")
}

func (w *jsonText) verdict(v *Verdict) {
	w.text("kind", v.Kind)
	w.optText("chain", v.Chain)
}

func (w *jsonText) expr(e *Expr) error {
	switch {
	case e.Meta != nil:
		w.put(`{"meta":{`)
		w.text("key", e.Meta.Key)
		w.number("reg", uint64(e.Meta.Reg))
		w.flag("set", e.Meta.Set)
	case e.Payload != nil:
		w.put(`{"payload":{`)
		w.text("base", e.Payload.Base)
		w.number("offset", uint64(e.Payload.Offset))
		w.number("len", uint64(e.Payload.Len))
		w.number("reg", uint64(e.Payload.Reg))
	case e.Cmp != nil:
		w.put(`{"cmp":{`)
		w.text("op", e.Cmp.Op)
		w.number("reg", uint64(e.Cmp.Reg))
		w.bytes("data", e.Cmp.Data)
	case e.Lookup != nil:
		w.put(`{"lookup":{`)
		w.text("set", e.Lookup.Set)
		w.number("reg", uint64(e.Lookup.Reg))
		w.flag("map", e.Lookup.Map)
		w.opt("dst", uint64(e.Lookup.Dst))
		w.flag("invert", e.Lookup.Invert)
	case e.Bitwise != nil:
		w.put(`{"bitwise":{`)
		w.number("src", uint64(e.Bitwise.Src))
		w.number("dst", uint64(e.Bitwise.Dst))
		w.number("len", uint64(e.Bitwise.Len))
		w.bytes("mask", e.Bitwise.Mask)
		w.bytes("xor", e.Bitwise.Xor)
	case e.Immediate != nil:
		w.put(`{"immediate":{`)
		w.number("reg", uint64(e.Immediate.Reg))
		w.bytes("data", e.Immediate.Data)
	case e.Verdict != nil:
		w.put(`{"verdict":{`)
		w.verdict(e.Verdict)
	case e.Counter != nil:
		w.put(`{"counter":{`)
	default:
		return w.statement(e)
	}
	w.put("}}")
	return nil
}

func (w *jsonText) statement(e *Expr) error {
	switch {
	case e.Ct != nil:
		w.put(`{"ct":{`)
		w.text("key", e.Ct.Key)
		w.number("reg", uint64(e.Ct.Reg))
		w.optText("dir", e.Ct.Dir)
		w.flag("set", e.Ct.Set)
	case e.Limit != nil:
		w.put(`{"limit":{`)
		w.number("rate", e.Limit.Rate)
		w.number("per", e.Limit.Per)
		w.number("burst", uint64(e.Limit.Burst))
		w.flag("bytes", e.Limit.Bytes)
		w.flag("over", e.Limit.Over)
	case e.Log != nil && e.Log.Level == nil && e.Log.Group == nil:
		w.put(`{"log":{`)
		w.optText("prefix", e.Log.Prefix)
		w.opt("snaplen", uint64(e.Log.Snaplen))
		w.opt("flags", uint64(e.Log.Flags))
	case e.Reject != nil:
		w.put(`{"reject":{`)
		w.text("type", e.Reject.Type)
		w.opt("code", uint64(e.Reject.Code))
	case e.DynSet != nil:
		d := e.DynSet
		w.put(`{"dynset":{`)
		w.text("op", d.Op)
		w.text("set", d.Set)
		w.number("reg", uint64(d.Reg))
		w.opt("data", uint64(d.Data))
		w.opt("timeout", d.Timeout)
		w.flag("invert", d.Invert)
		if len(d.Exprs) > 0 {
			w.name("exprs")
			if err := w.exprs(d.Exprs); err != nil {
				return err
			}
		}
	default:
		text, err := marshal(e)
		*w = append(*w, text...)
		return err
	}
	w.put("}}")
	return nil
}

func (w *jsonText) put(s string) { *w = append(*w, s...) }

// name begins a field.
func (w *jsonText) name(s string) {
	b := *w
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), s...)
	*w = append(b, '"', ':')
}

func (w *jsonText) number(name string, n uint64) {
	w.name(name)
	*w = strconv.AppendUint(*w, n, 10)
}

func (w *jsonText) opt(name string, n uint64) {
	if n != 0 {
		w.number(name, n)
	}
}

func (w *jsonText) flag(name string, is bool) {
	if is {
		w.name(name)
		w.put("true")
	}
}

func (w *jsonText) text(name, s string) {
	w.name(name)
	if plain(s) {
		*w = append(append(append(*w, '"'), s...), '"')
		return
	}
	text, err := marshal(s)
	if err != nil {
		panic(err) // a text
	}
	*w = append(*w, text...)
}

func (w *jsonText) optText(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *jsonText) bytes(name string, data []byte) {
	w.name(name)
	if data == nil {
		w.put("null")
		return
	}
	*w = append(base64.StdEncoding.AppendEncode(append(*w, '"'), data), '"')
}

// plain tells texts that need no quoting.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
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
