package transcript

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func steps() []Step {
	return []Step{
		{"show", "first\n  1\n\n\x1b[1msecond\x1b[0m\n  2 <&>  \n\nthird\n\nfourth\n"},
		{"run --now", "done (3 writes, 1.46s)\n"},
		{"again", ""},
	}
}

func TestCastIsReadBack(t *testing.T) {
	cast, err := Cast("a title", steps())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(cast)
	if err != nil || !reflect.DeepEqual(got, steps()) {
		t.Errorf("%q, %v from\n%s", got, err, cast)
	}
	for name, bad := range map[string]string{
		"no header":       "[0, \"o\", \"x\"]\n",
		"version 1":       `{"version": 1}`,
		"cut off":         strings.TrimSuffix(string(cast), "]\n"),
		"another code":    strings.Replace(string(cast), `"o"`, `"i"`, 1),
		"another command": strings.Replace(string(cast), `"m","show"`, `"m","shows"`, 1),
	} {
		if got, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s: read as %q", name, got)
		}
	}
}

func TestSettled(t *testing.T) {
	const received = "first\r\n\rat work (1s)\rat work (2s)\r            \r\x1b[32mdone\x1b[0m\r\n\rat work (3s)\r            \r"
	if got, want := Settled(received), "first\n\x1b[32mdone\x1b[0m\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBlock(t *testing.T) {
	const want = "```text\n$ show\n...\nsecond\n  2 <&>\n...\n\n$ run --now\ndone (3 writes, 1.46s)\n\n$ again\n\n```\n"
	if got := Block(steps(), "second"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := Block(steps()[:1], "first", "second"), "```text\n$ show\nfirst\n  1\n\nsecond\n  2 <&>\n...\n```\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	page, err := Put("before\n"+begin+"old\n"+end+"after\n", want)
	if err != nil || page != "before\n"+begin+want+end+"after\n" {
		t.Errorf("%q, %v", page, err)
	}
	if _, err := Put("no place\n", want); err == nil {
		t.Error("a page without the place was written")
	}
}

// What differs between two runs of the same program is no difference, and all else is.
func TestSteady(t *testing.T) {
	const text = "debian 12, systemd 252, on kvm, container systemd-nspawn\n+ /etc/a\n~ route b\n~ route a\ndone (3 writes, 1.46s)\n"
	was := Steady([]Step{{"apply", text}})
	for _, c := range []struct {
		old, new string
		same     bool
	}{
		{"1.46s", "11ms", true},
		{"on kvm", "on qemu", true},
		{"~ route b\n~ route a", "~ route a\n~ route b", true},
		{"done", "\x1b[32mdone\x1b[0m", true},
		{"3 writes", "4 writes", false},
		{"systemd 252", "systemd 257", false},
		{"~ route b\n", "", false},
		{"+ /etc/a", "- /etc/a", false},
	} {
		now := Steady([]Step{{"apply", strings.Replace(text, c.old, c.new, 1)}})
		if says := Differ(now, was); (says == "") != c.same {
			t.Errorf("%q for %q: %q", c.new, c.old, says)
		}
	}
}

// The README shows what the recording has. Whether the program still says that is asked in the lab, where it runs.
func TestREADMEShowsTheRecording(t *testing.T) {
	cast, err := os.ReadFile(Recording("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Parse(cast)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(Page("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Put(string(page), Shown(steps))
	if err != nil || string(page) != want {
		t.Errorf("README.md shows something else than docs/transcript.cast (%v): make docs", err)
	}
	for _, must := range []string{"provision --detect", "provision plan", "provision apply", "provision verify", "provision revert"} {
		if !strings.Contains(want, "\n$ "+must+"\n") {
			t.Errorf("the transcript does not run %s", must)
		}
	}
}
