package kept

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/provision-net/provision/provision"
)

// FuzzText: the file is what encoding/json would write.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "wg0", "\"wants\": []", "a\nb", "<&>", "ünï\u2028\x7f"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, s string, mode int) {
		if !utf8.ValidString(s) {
			t.Skip("two keys may become one; Want refuses values that are no text")
		}
		for _, wants := range [][]want{{}, {{}}, {{Kind: s, Name: s, Attrs: map[string]string{s: s, "value": s + "1", "": ""}, Why: s, Mode: provision.Mode(mode)}, {Kind: "x", Attrs: map[string]string{}}}} {
			x := state{Version: version, Wants: wants, Endpoints: []endpoint{{Device: s, Host: s}}}
			want, err := json.MarshalIndent(x, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := x.text(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v\n%s\nencoding/json:\n%s", err, got, want)
			}
		}
	})
}
