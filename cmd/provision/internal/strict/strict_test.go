package strict

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name   string  `yaml:"name"`
	Metric *uint32 `yaml:"route-metric" help:"metric of default routes"`
	DNS    string  `yaml:"dns" enum:"keep,demote"`
}

type outer struct {
	Version int              `yaml:"version"`
	Lazy    bool             `yaml:"lazy"`
	List    []inner          `yaml:"list"`
	Table   map[string]inner `yaml:"table"`
}

func TestDecodeReportsEveryProblemWithItsPlace(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"unknown key with a suggestion", "version: 1\nlasy: true\n", []string{`f.yaml:2:1: lasy: unknown key (did you mean "lazy"?)`}},
		{"unknown key far from all", "zzzzzz: 1\n", []string{`f.yaml:1:1: zzzzzz: unknown key (known: lazy, list, table, version)`}},
		{"two problems", "version: one\nlist:\n  - route-metric: -1\n", []string{
			`f.yaml:1:10: version: "one" is not a whole number`,
			`f.yaml:3:19: list[0].route-metric: "-1" is not a whole number from 0 to 4294967295`}},
		{"too large", "list: [{route-metric: 4294967296}]\n", []string{
			`f.yaml:1:23: list[0].route-metric: "4294967296" is not a whole number from 0 to 4294967295`}},
		{"enumeration", "list: [{dns: maybe}]\n", []string{`f.yaml:1:14: list[0].dns: "maybe" is not one of keep, demote`}},
		{"shape", "list: {name: x}\ntable: [1]\n", []string{
			"f.yaml:1:7: list: should be a list, is a mapping",
			"f.yaml:2:8: table: should be a mapping (key: value), is a list"}},
		{"given twice", "lazy: true\nlazy: false\n", []string{"f.yaml:2:1: lazy: given twice; first in line 1"}},
		{"number as text", "list: [{name: 12}]\n", []string{"f.yaml:1:15: list[0].name: 12 is a number; put quotes around it to make it text"}},
		{"alias", "table: {a: &x {name: n}, b: *x}\n", []string{"f.yaml:1:29: table.b: aliases (*name) are not supported: write the value out"}},
		{"two documents", "version: 1\n---\nversion: 2\n", []string{"f.yaml:2:1: more than one YAML document"}},
		{"syntax", "a: [\n", []string{"f.yaml:1:1: did not find expected node content"}},
		{"scalar file", "hello\n", []string{"f.yaml:1:1: should be a mapping (key: value), is text"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := outer{Version: 7}
			_, err := Decode("f.yaml", []byte(tt.in), &out)
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("got error %v, want Problems", err)
			}
			var got []string
			for _, p := range ps {
				got = append(got, p.Error())
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			if !reflect.DeepEqual(out, outer{Version: 7}) {
				t.Errorf("out was written in spite of the error: %+v", out)
			}
		})
	}
}

func TestDecodeFillsOverDefaults(t *testing.T) {
	out := outer{Version: 7, Lazy: true}
	doc, err := Decode("f.yaml", []byte("list:\n  - name: eth0\n    route-metric: 0x10\nlazy:\n"), &out)
	if err != nil {
		t.Fatal(err)
	}
	if out.Version != 7 || len(out.List) != 1 || *out.List[0].Metric != 16 {
		t.Errorf("got %+v", out)
	}
	if p := doc.At("list[0].route-metric.beyond", "bad"); p.Error() != "f.yaml:3:19: list[0].route-metric.beyond: bad" {
		t.Errorf("place: %v", p)
	}
}

func TestSchemaNamesEveryField(t *testing.T) {
	s := Schema(reflect.TypeOf(outer{}), "t")
	list := s["properties"].(map[string]any)["list"].(map[string]any)["items"].(map[string]any)["properties"].(map[string]any)
	if got := list["route-metric"].(map[string]any); got["maximum"] != uint64(4294967295) || got["description"] != "metric of default routes" {
		t.Errorf("route-metric: %v", got)
	}
	if got := list["dns"].(map[string]any)["enum"]; !reflect.DeepEqual(got, []string{"keep", "demote"}) {
		t.Errorf("dns: %v", got)
	}
}

func TestInlineStructsAreKeysOfTheirParent(t *testing.T) {
	type whole struct {
		inner `yaml:",inline"`
		More  []inner `yaml:"more" help:"further ones"`
	}
	var none whole
	if _, err := Decode("f", []byte("name: a\n"), &none); err == nil {
		t.Error("keys of an unexported struct, which yaml cannot set, were taken")
	}
	type Inner inner
	type public struct {
		Inner `yaml:",inline"`
		More  []Inner `yaml:"more" help:"further ones"`
	}
	var out public
	if _, err := Decode("f", []byte("name: a\nroute-metric: 7\nmore: [{name: b}]\n"), &out); err != nil || out.Name != "a" || *out.Metric != 7 || out.More[0].Name != "b" {
		t.Errorf("%v, %+v", err, out)
	}
	_, err := Decode("f", []byte("nmae: a\nmore: [{dns: maybe}]\n"), &out)
	if err == nil || !strings.Contains(err.Error(), `f:1:1: nmae: unknown key (did you mean "name"?)`) || !strings.Contains(err.Error(), "more[0].dns") {
		t.Errorf("%v", err)
	}
	props := Schema(reflect.TypeOf(out), "t")["properties"].(map[string]any)
	if props["name"] == nil || props["more"] == nil || len(props) != 4 {
		t.Errorf("schema: %v", props)
	}
	if text := Reference(reflect.TypeOf(out)); !strings.Contains(text, "- `name`: text\n\n- `route-metric`:") || !strings.Contains(text, "## more[]") {
		t.Errorf("reference: %s", text)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"version: 1", "list: [{name: a}]", "a: &a [*a]", "table: {? [x] : {}}", "!!binary x", "- -", "\x00", "lazy: !!str true"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out outer
		doc, err := Decode("f", in, &out)
		if err != nil && !reflect.DeepEqual(out, outer{}) {
			t.Fatalf("%v, and yet %+v was written", err, out)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
		doc.At("list[0].name", "x")
	})
}
