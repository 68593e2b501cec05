package led

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Files is how sysfs, and the file that keeps what was, are reached.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
	WriteValue(path, value string) error
}

// Memory keeps what a light was while it is ours: a file in /run, as the light itself does not
// outlive a boot.
type Memory interface {
	Load() ([]byte, error) // fs.ErrNotExist: nothing is kept
	Save([]byte) error
	Forget() error
}

// Lamp is one light, in our hands.
type Lamp struct {
	files  Files
	memory Memory
	name   string
	max    string
	former former
	shown  string
}

type former struct {
	Light   string `json:"light"`
	Trigger string `json:"trigger"`
	Attrs   []Attr `json:"attrs,omitempty"`
}

// maxFile is larger than any attribute of a light.
const maxFile = 64 << 10

// Take takes a light, which Choose picked. What it was is kept first; where something is kept of that
// light already, by one of us that did not come to give it back, that is what it was.
func Take(f Files, m Memory, name string) (*Lamp, error) {
	l := &Lamp{files: f, memory: m, name: name}
	if !valid(name) {
		return nil, fmt.Errorf("cannot take the light %q: not a name", name)
	}
	max, err := l.read("max_brightness")
	if err != nil {
		return nil, fmt.Errorf("cannot take the light %s: %w", name, err)
	}
	l.max = max
	text, err := m.Load()
	if err == nil && json.Unmarshal(text, &l.former) == nil && l.former.valid(name) {
		return l, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot take the light %s: %w", name, err)
	}
	if err := l.remember(); err != nil {
		return nil, fmt.Errorf("cannot take the light %s: %w", name, err)
	}
	return l, nil
}

// valid refuses what a damaged file could make us write.
func (f former) valid(name string) bool {
	if f.Light != name || f.Trigger == "" || strings.ContainsAny(f.Trigger, " \n") {
		return false
	}
	for _, a := range f.Attrs {
		if !slices.Contains(own(f.Trigger), a.Name) || len(a.Value) > maxFile {
			return false
		}
	}
	return true
}

func (l *Lamp) remember() error {
	text, err := l.read("trigger")
	if err != nil {
		return err
	}
	_, present := triggers(text)
	if present == "" {
		return fmt.Errorf("its trigger is not known: %.80q", text)
	}
	l.former = former{Light: l.name, Trigger: present}
	for _, a := range own(present) {
		// Kernels differ in what a trigger has.
		if v, err := l.read(a); err == nil && v != "" {
			l.former.Attrs = append(l.former.Attrs, Attr{a, v})
		}
	}
	b, err := json.Marshal(l.former)
	if err != nil {
		return err
	}
	return l.memory.Save(append(b, '\n'))
}

// Name is the light's.
func (l *Lamp) Name() string { return l.name }

// Show sets the first of the patterns that the kernel can show. The same again changes nothing, so
// that a blinking light keeps its beat.
func (l *Lamp) Show(patterns []Pattern) error {
	key := fmt.Sprint(patterns)
	if key == l.shown {
		return nil
	}
	var last error
	for _, p := range patterns {
		// The kernel's list is read each time: a module may have come, and may come by this very write.
		if last = l.set(p); last == nil {
			l.shown = key
			return nil
		}
	}
	l.shown = ""
	if last == nil {
		last = errors.New("no pattern")
	}
	return fmt.Errorf("%w: cannot show anything on %s: %w", ErrNone, l.name, last)
}

// Giveback makes the light what it was, and forgets it.
func (l *Lamp) Giveback() error {
	l.shown = ""
	if err := l.set(Pattern{l.former.Trigger, l.former.Attrs}); err != nil {
		return fmt.Errorf("cannot give the light %s back: %w", l.name, err)
	}
	return l.memory.Forget()
}

// set writes a trigger, then its attributes.
func (l *Lamp) set(p Pattern) error {
	if err := l.files.WriteValue(l.path("trigger"), p.Trigger); err != nil {
		return err
	}
	for _, a := range p.Attrs {
		if !valid(a.Name) {
			return fmt.Errorf("%q is no attribute", a.Name)
		}
		if err := l.files.WriteValue(l.path(a.Name), strings.ReplaceAll(a.Value, "{max}", l.max)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lamp) path(attr string) string { return path.Join(Dir, l.name, attr) }

func (l *Lamp) read(attr string) (string, error) {
	b, err := l.files.ReadFile(l.path(attr), maxFile)
	return strings.TrimSpace(string(b)), err
}
