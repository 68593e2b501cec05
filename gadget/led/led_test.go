package led

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	seen := map[string]State{}
	for _, s := range States() {
		for _, iface := range []string{"", "usb0"} {
			all := Patterns(s, iface)
			if len(all) == 0 {
				t.Fatalf("%s cannot be shown", s)
			}
			plain := false
			for _, p := range all {
				plain = plain || p.Trigger == "timer" || p.Trigger == "none" || p.Trigger == "heartbeat"
				text := p.Trigger
				for _, a := range p.Attrs {
					text += " " + a.Name + "=" + a.Value
				}
				if other, ok := seen[text]; ok && other != s {
					t.Errorf("%s looks like %s: %s", s, other, text)
				}
				seen[text] = s
				if p.Trigger == "pattern" {
					steps(t, s, p.Attrs[0].Value)
				}
			}
			if !plain {
				t.Errorf("%s needs a trigger that not every kernel has: %v", s, all)
			}
		}
	}
	want := Pattern{Trigger: "pattern", Attrs: []Attr{{"pattern", "{max} 150 {max} 0 0 250 0 0 {max} 150 {max} 0 0 1250 0 0"}}}
	if got := Patterns(Enumerated, "")[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if Patterns("no such", "") != nil {
		t.Error("a state that does not exist is shown")
	}
}

// steps checks the rules of ledtrig-pattern.c: pairs of brightness and milliseconds, at least two
// of them, and no fading: of two neighbours with different brightness the first has no length.
func steps(t *testing.T, s State, text string) {
	t.Helper()
	f := strings.Fields(strings.ReplaceAll(text, Max, "1"))
	if len(f)%2 != 0 || len(f) < 4 {
		t.Fatalf("%s: %q", s, text)
	}
	for i := 0; i < len(f); i += 2 {
		next := f[(i+2)%len(f)]
		if ms, err := strconv.Atoi(f[i+1]); err != nil || f[i] != next && ms != 0 {
			t.Errorf("%s: fades at step %d of %q", s, i/2, text)
		}
	}
}
