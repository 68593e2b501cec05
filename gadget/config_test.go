package gadget

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every key has words for people, and its words and defaults are those that Plan knows.
func TestKeysHaveHelp(t *testing.T) {
	n := 0
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Tag.Get("yaml") == ",inline" {
				walk(f.Type)
				continue
			}
			n++
			if f.Tag.Get("yaml") == "" || len(f.Tag.Get("help")) < 20 {
				t.Errorf("%s.%s has no key or no help", typ, f.Name)
			}
			if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.Name != "More" {
				walk(f.Type.Elem())
			}
		}
	}
	walk(reflect.TypeOf(Config{}))
	if n < 40 {
		t.Errorf("only %d keys were seen", n)
	}
	field, _ := reflect.TypeOf(Gadget{}).FieldByName("Profile")
	for _, p := range strings.Split(field.Tag.Get("enum"), ",") {
		g := Gadget{Profile: p, Functions: []Function{{Type: "ncm"}}}
		if p != Auto && len(g.functions(p)) == 0 {
			t.Errorf("profile %s has no function", p)
		}
	}
	kinds, _ := reflect.TypeOf(Function{}).FieldByName("Type")
	for _, k := range strings.Split(kinds.Tag.Get("enum"), ",") {
		c := Config{Gadget: Gadget{Profile: Custom, RNDIS: true, Functions: []Function{{Type: k, Image: "", Report: ""}}}}
		if slices.ContainsFunc(c.Problems(), func(p Problem) bool { return strings.HasSuffix(p.Path, ".type") }) {
			t.Errorf("type %s is not known", k)
		}
	}
}

func TestImagesAreNamed(t *testing.T) {
	c := config(t, "{profile: custom, functions: [{type: ncm}, {type: mass-storage, image: /a}], more: [{profile: custom, functions: [{type: mass-storage, image: /b}]}]}")
	if got := c.Images(); !reflect.DeepEqual(got, []string{"/a", "/b"}) {
		t.Errorf("%q", got)
	}
}
