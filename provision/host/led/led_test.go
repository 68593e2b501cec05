package led

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestChoose(t *testing.T) {
	for _, tt := range []struct {
		names  []string
		wanted string
		want   string
	}{
		{[]string{"mmc0::", "ACT", "default-on"}, "", "ACT"},
		{[]string{"PWR", "led1", "led0"}, "", "led0"},
		{[]string{"beaglebone:green:usr1", "beaglebone:green:usr0"}, "", "beaglebone:green:usr0"},
		{[]string{"nanopi:green:pwr", "nanopi:blue:status"}, "", "nanopi:blue:status"},
		{[]string{"input3::capslock", "input3:x:status", "phy0-led"}, "", ""},
		{nil, "", ""},
		{[]string{"ACT", "PWR"}, "PWR", "PWR"},
		{[]string{"ACT"}, "../ACT", ""},
	} {
		got, err := Choose(tt.names, tt.wanted)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && !errors.Is(err, ErrNone) {
			t.Errorf("%v %q: %q, %v", tt.names, tt.wanted, got, err)
		}
	}
}

// kernel is a light as drivers/leds/led-triggers.c has it: a trigger makes its attributes appear, the
// trigger none switches the light off, writing 0 to brightness removes the trigger.
type kernel struct {
	triggers []string
	present  string
	attrs    map[string]string
	wrote    int
}

func newKernel(triggers ...string) *kernel {
	k := &kernel{triggers: triggers}
	k.become(triggers[0])
	return k
}

func (k *kernel) become(trigger string) {
	k.present, k.attrs = trigger, map[string]string{"brightness": "0", "max_brightness": "255"}
	for _, a := range own(trigger) {
		k.attrs[a] = map[string]string{"delay_on": "500", "delay_off": "500", "device_name": "", "pattern": "", "repeat": "-1", "interval": "50"}[a]
		if k.attrs[a] == "" && a != "device_name" && a != "pattern" {
			k.attrs[a] = "0"
		}
	}
}

func (k *kernel) ReadFile(p string, _ int64) ([]byte, error) {
	name := strings.TrimPrefix(p, Dir+"/ACT/")
	if name == "trigger" {
		var words []string
		for _, t := range k.triggers {
			if t == k.present {
				t = "[" + t + "]"
			}
			words = append(words, t)
		}
		return []byte(strings.Join(words, " ") + "\n"), nil
	}
	v, ok := k.attrs[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(v + "\n"), nil
}

func (k *kernel) WriteValue(p, value string) error {
	k.wrote++
	name := strings.TrimPrefix(p, Dir+"/ACT/")
	if name == "trigger" {
		if !slices.Contains(k.triggers, value) {
			return syscall.EINVAL
		}
		if value != k.present {
			k.become(value)
		}
		return nil
	}
	if _, ok := k.attrs[name]; !ok {
		return fs.ErrNotExist
	}
	if value == "" {
		return syscall.EINVAL
	}
	k.attrs[name] = value
	return nil
}

type memory struct{ text []byte }

func (m *memory) Load() ([]byte, error) {
	if m.text == nil {
		return nil, fs.ErrNotExist
	}
	return m.text, nil
}
func (m *memory) Save(b []byte) error { m.text = b; return nil }
func (m *memory) Forget() error       { m.text = nil; return nil }

func blink() []Pattern {
	return []Pattern{
		{"pattern", []Attr{{"pattern", "{max} 100 {max} 0 0 100 0 0"}}},
		{"timer", []Attr{{"delay_on", "100"}, {"delay_off", "900"}}},
	}
}

func TestTakenAndGivenBack(t *testing.T) {
	for _, former := range [][]Attr{
		{{"trigger", "mmc0"}},
		{{"trigger", "timer"}, {"delay_on", "20"}, {"delay_off", "30"}},
		{{"trigger", "none"}, {"brightness", "17"}},
		{{"trigger", "netdev"}, {"device_name", "wlan0"}, {"link", "1"}},
		{{"trigger", "netdev"}},
		{{"trigger", "heartbeat"}, {"invert", "1"}},
	} {
		k := newKernel("none", "mmc0", "timer", "netdev", "heartbeat", "pattern")
		for _, a := range former {
			if err := k.WriteValue(Dir+"/ACT/"+a.Name, a.Value); err != nil {
				t.Fatal(err)
			}
		}
		before, present := k.attrs, k.present
		m := &memory{}
		for crash := range 3 { // somebody who is killed comes again
			l, err := Take(k, m, "ACT")
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Show(blink()); err != nil || k.present != "pattern" || k.attrs["pattern"] != "255 100 255 0 0 100 0 0" {
				t.Errorf("%v %s %v", err, k.present, k.attrs)
			}
			n := k.wrote
			if err := l.Show(blink()); err != nil || k.wrote != n {
				t.Error("the same was shown again")
			}
			if err := l.Show([]Pattern{{"timer", nil}}); err != nil || k.present != "timer" {
				t.Errorf("%v %s", err, k.present)
			}
			if crash < 2 {
				continue
			}
			if err := l.Giveback(); err != nil {
				t.Fatal(err)
			}
		}
		if k.present != present || !reflect.DeepEqual(k.attrs, before) || m.text != nil {
			t.Errorf("%v became %s %v, want %v", former, k.present, k.attrs, before)
		}
	}
}

func TestFallback(t *testing.T) {
	k := newKernel("none", "timer")
	l, err := Take(k, &memory{}, "ACT")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Show(blink()); err != nil || k.present != "timer" || k.attrs["delay_off"] != "900" {
		t.Errorf("%v %s %v", err, k.present, k.attrs)
	}
	for _, bad := range [][]Pattern{nil, {{"pattern", nil}}, {{"timer", []Attr{{"../x", "1"}}}}, {{"timer", []Attr{{"no_such", "1"}}}}} {
		if err := l.Show(bad); !errors.Is(err, ErrNone) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestDamagedMemory(t *testing.T) {
	for _, text := range []string{
		``, `{`, `{"light":"PWR","trigger":"none"}`, `{"light":"ACT","trigger":""}`, `{"light":"ACT","trigger":"a b"}`,
		`{"light":"ACT","trigger":"timer","attrs":[{"name":"trigger","value":"x"}]}`, `{"light":"ACT","trigger":"timer","attrs":[{"name":"../../x","value":"x"}]}`,
	} {
		k := newKernel("mmc0", "timer")
		m := &memory{text: []byte(text)}
		l, err := Take(k, m, "ACT")
		if err != nil {
			t.Fatal(err)
		}
		if l.former.Trigger != "mmc0" || !strings.Contains(string(m.text), "mmc0") {
			t.Errorf("%s: %+v, %s", text, l.former, m.text)
		}
	}
}

func TestFile(t *testing.T) {
	f := File(filepath.Join(t.TempDir(), "led"))
	if _, err := f.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(f.Save([]byte("a")), f.Save([]byte("b"))); err != nil {
		t.Fatal(err)
	}
	if b, err := f.Load(); string(b) != "b" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := errors.Join(f.Forget(), f.Forget()); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(string(f), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); err == nil {
		t.Error("a directory was read")
	}
}
