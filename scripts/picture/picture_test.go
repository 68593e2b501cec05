package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

const repository = "../.."

func TestPictureIsAsDrawn(t *testing.T) {
	kept, err := os.ReadFile(filepath.Join(repository, "docs/data-way.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != draw(dataWay()) {
		t.Error("docs/data-way.svg is not what scripts/picture draws: make docs")
	}
	dec := xml.NewDecoder(strings.NewReader(string(kept)))
	var seen []string
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			seen = append(seen, e.Name.Local)
		}
	}
	if all := strings.Join(seen, " "); !strings.HasPrefix(all, "svg title desc style ") {
		t.Errorf("the picture has no text alternative at its beginning: %s", all[:min(len(all), 60)])
	}
}

// The picture names packages and commands that exist.
func TestNamesExist(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "provision")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/provision")
	cmd.Dir, cmd.Env = repository, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	packages, commands := 0, 0
	for _, p := range dataWay().panels {
		for _, b := range p.boxes {
			for _, dir := range strings.Fields(b.pkg) {
				packages++
				// A folder of packages, as provision/resource is, need not be one.
				here, _ := filepath.Glob(filepath.Join(repository, dir, "*.go"))
				below, _ := filepath.Glob(filepath.Join(repository, dir, "*", "*.go"))
				if len(here)+len(below) == 0 {
					t.Errorf("%s: there is no package %s", b.id, dir)
				}
			}
			if b.command == "" {
				continue
			}
			commands++
			out, err := exec.Command(bin, append(strings.Fields(b.command), "--help")...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "provision "+b.command) {
				t.Errorf("%s: there is no command provision %s: %v", b.id, b.command, err)
			}
		}
	}
	if packages < 10 || commands < 10 {
		t.Errorf("%d packages and %d commands: the description was not read", packages, commands)
	}
}

// Nothing leaves its box, no box its panel, and each arrow has two ends.
func TestEverythingFits(t *testing.T) {
	for _, p := range dataWay().panels {
		boxes := p.place(0)
		for id, b := range boxes {
			if b.x < 2*margin || b.x+b.w > width-2*margin+0.1 || b.y+boxHeight > p.height() {
				t.Errorf("%s stands outside of its panel: %+v", id, b)
			}
			for other, o := range boxes {
				if id != other && b.x < o.x+o.w && o.x < b.x+b.w && b.y < o.y+boxHeight && o.y < b.y+boxHeight {
					t.Errorf("%s stands on %s", id, other)
				}
			}
			// A fixed-width letter is 0.6 of its size wide, others are 0.54 on the average.
			for _, line := range append([]string{b.id}, b.text...) {
				if w := float64(utf8.RuneCountInString(line)) * 0.54 * 12; w > b.w-10 {
					t.Errorf("%s: %q is some %.0f pixels wide, the box has %.0f", id, line, w, b.w)
				}
			}
			for _, line := range []string{b.pkg, b.command} {
				if w := float64(utf8.RuneCountInString(line)) * 0.605 * 10.5; w > b.w-8 {
					t.Errorf("%s: %q is some %.0f pixels wide, the box has %.0f", id, line, w, b.w)
				}
			}
		}
		for _, a := range p.arrows {
			if boxes[a.from].id == "" || boxes[a.to].id == "" {
				t.Errorf("an arrow leads from %q to %q", a.from, a.to)
			}
		}
	}
}

// Light or dark: text stands out from what is behind it (WCAG 2.1, success criterion 1.4.3: 4.5 to 1).
func TestContrast(t *testing.T) {
	light, dark, _ := strings.Cut(style, "@media")
	fill := func(sheet, class string) string {
		for line := range strings.Lines(sheet) {
			if f := strings.Fields(line); len(f) > 2 && f[0] == class {
				_, after, _ := strings.Cut(line, "fill: #")
				return after[:min(len(after), 6)]
			}
		}
		return ""
	}
	for name, sheet := range map[string]string{"light": light, "dark": dark} {
		for _, text := range []string{"text", ".label", ".package", ".command"} {
			for _, behind := range []string{".ground", ".panel", ".box", ".world"} {
				if c := contrast(t, fill(sheet, text), fill(sheet, behind)); c < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.1f", name, text, behind, c)
				}
			}
		}
	}
}
