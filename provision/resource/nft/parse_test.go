package nft

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// parseSlowly is Parse by encoding/json alone.
func parseSlowly(text string) (t Table, err error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	for first := true; ; first = false {
		var l line
		if err := dec.Decode(&l); errors.Is(err, io.EOF) && !first {
			return t, nil
		} else if err != nil {
			return Table{}, err
		}
		if err := t.take(l, first); err != nil {
			return Table{}, err
		}
	}
}

// formatSlowly is format by encoding/json alone, of rules and elements.
func formatSlowly(t *testing.T, table Table) string {
	t.Helper()
	var b strings.Builder
	put := func(l line) {
		text, err := marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	for _, s := range table.Sets {
		for i := range s.Elements {
			put(line{Element: &s.Elements[i]})
		}
	}
	for _, c := range table.Chains {
		for _, r := range c.Rules {
			if r.Exprs == nil {
				r.Exprs = []Expr{} // which is written the same way
			}
			put(line{Rule: &r})
		}
	}
	return b.String()
}

// FuzzParseIsJSON shows that the short ways of reading and writing say what encoding/json says.
func FuzzParseIsJSON(f *testing.F) {
	const head = "{\"table\":{\"family\":\"inet\",\"name\":\"x\"}}\n{\"set\":{\"name\":\"s\",\"key\":[\"mark\"]}}\n{\"element\":{\"key\":\"AAE=\",\"to\":\"AAI=\"}}\n{\"element\":{\"key\":\"AAQ=\"}}\n{\"element\":{\"key\":\"AAE=\",\"to\":\"\",\"timeout\":3}}\n{\"chain\":{\"name\":\"c\"}}\n"
	all, err := marshal(line{Rule: &Rule{Exprs: everyExpr(), Comment: "all of them"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head + string(all) + "\n" + string(all) + "\n")
	for _, exprs := range []string{
		``, `{}`, `{"counter":{}},{"counter":{}}`, `{"counter":null}`, `{"counter":{},"notrack":{}}`, `{"counter":{}}`, ` {"counter":{}}`, `{"Counter":{}}`,
		`{"cmp":{"op":"==","reg":1,"data":"AQI="}},{"cmp":{"op":"==","reg":01,"data":"AQI="}}`, `{"cmp":{"op":"<","reg":4294967296,"data":""}}`,
		`{"cmp":{"op":"==","reg":1,"data":"AQJ="}}`, `{"cmp":{"op":"==","reg":1,"data":"AQ"}}`, `{"cmp":{"op":"\u003c","reg":1,"data":null}}`, `{"cmp":{"op":"==","reg":-0,"data":"AA=="}}`,
		`{"cmp":{"op":"==","reg":1,"data":"AA=="},"cmp":{"op":"!=","reg":1,"data":"AQ=="}}`, `{"cmp":{"op":"==","reg":1,"data":""}},{"cmp":{"reg":1,"data":"AA==","op":"x"}}`,
		`{"verdict":{"kind":"jump","chain":"}]\""}}`, `{"meta":{"key":"mark","reg":1,"colour":1}}`, `{"log":{"prefix":"é","level":7,"group":1}}`, `{"meta":{"key":"mark","reg":1}},`,
	} {
		f.Add(head + `{"rule":{"exprs":[` + exprs + "]}}\n" + `{"rule":{"exprs":[` + exprs + `],"comment":"a \"b"}}`)
		f.Add(head + `{"rule":{"exprs":[` + exprs + `],"comment":"b","comment":"c"}}` + "\n" + `{"rule":{"exprs":[` + exprs + `],"exprs":[]}}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, wrong := parseSlowly(text)
		got, err := Parse(text)
		if (err == nil) != (wrong == nil) || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\ngot  %+v, %v\nwant %+v, %v", text, got, err, want, wrong)
		}
		if err != nil {
			return
		}
		// Lines that are taken over as they are, are those that Format would write.
		if _, lines, _ := parse(text); anonymousNames(got) == nil {
			names := map[string]int{}
			for _, c := range got.Chains {
				names[c.Name]++
			}
			for _, c := range Canonical(got).Chains {
				var w jsonText
				for i := range c.Rules {
					if err := w.rule(&c.Rules[i]); err != nil {
						t.Fatal(err)
					}
				}
				if have, ok := lines[c.Name]; ok && names[c.Name] == 1 && have != string(w) {
					t.Fatalf("got  %s\nwant %s", have, w)
				}
			}
		}
		var w jsonText
		for _, s := range got.Sets {
			for i := range s.Elements {
				w.element(&s.Elements[i])
			}
		}
		for _, c := range got.Chains {
			for i := range c.Rules {
				if err := w.rule(&c.Rules[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if slowly := formatSlowly(t, got); string(w) != slowly {
			t.Fatalf("got  %s\nwant %s", w, slowly)
		}
	})
}

// What Format writes is read the short way, and need not be written again.
func TestParseShort(t *testing.T) {
	var p ruleParser
	n := 0
	for _, table := range append(samples(), Table{Family: "inet", Name: "x", Chains: []Chain{{Name: "c", Rules: []Rule{{Exprs: everyExpr(), Comment: "b (c)"}}}}}) {
		for _, text := range strings.SplitAfter(Format(table), "\n") {
			if !strings.HasPrefix(text, `{"rule"`) {
				continue
			}
			n++
			if r, size, ok := p.line(text); !ok || size != len(text) || len(r.Exprs) == 0 {
				t.Errorf("%s: %d bytes of %d, %v", text, size, len(text), ok)
			}
		}
	}
	table := samples()[0]
	_, lines, err := parse(Format(table))
	if len(lines) == 0 || err != nil {
		t.Errorf("%d chains of %d have lines as Format writes them: %v", len(lines), len(table.Chains), err)
	}
	if n < 10 {
		t.Errorf("only %d rules", n)
	}
}
