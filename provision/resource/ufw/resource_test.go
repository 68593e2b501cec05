package ufw

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
)

// model is what ufw does with its files, for the commands that we give.
type model struct {
	files map[string]string
	ran   []string
}

func newModel() *model {
	theirs := "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n### tuple ### allow any any 0.0.0.0/0 any 0.0.0.0/0 in_lan0\n"
	return &model{files: map[string]string{
		file4: theirs, file6: strings.ReplaceAll(theirs, "0.0.0.0/0", "::/0"), defaults: "# x\nIPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\n",
	}}
}

func (m *model) ReadFile(path string, _ int64) ([]byte, error) {
	s, ok := m.files[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(s), nil
}

func (m *model) Run(_ context.Context, c host.Command) (host.Output, error) {
	m.ran = append(m.ran, c.String())
	words := c.Argv[1:]
	take := func(w ...string) bool {
		if len(words) >= len(w) && slices.Equal(words[:len(w)], w) {
			words = words[len(w):]
			return true
		}
		return false
	}
	route, remove := take("route"), take("delete")
	if !take("allow", "in", "on") || len(words) == 0 {
		return host.Output{Code: 1, Stderr: []byte("ERROR: Invalid syntax\n")}, nil
	}
	line := "allow any any ANY any ANY in_" + words[0]
	words = words[1:]
	if route && take("out", "on") {
		line, words = "route:"+line+"!out_"+words[0], words[1:]
	}
	if take("to", "any", "port") {
		line, words = strings.Replace(line, "any any", words[2]+" "+words[0], 1), words[3:]
	}
	tail := ""
	if take("comment") {
		tail = " comment=" + hex.EncodeToString([]byte(words[0]))
	}
	for path, any := range map[string]string{file4: "0.0.0.0/0", file6: "::/0"} {
		text := mark + strings.ReplaceAll(line, "ANY", any)
		var keep []string
		for l := range strings.Lines(m.files[path]) {
			if !strings.HasPrefix(l, text+" ") && l != text+"\n" {
				keep = append(keep, l)
			}
		}
		if !remove {
			keep = append(keep, text+tail+"\n")
		}
		m.files[path] = strings.Join(keep, "")
	}
	return host.Output{}, nil
}

func TestConformance(t *testing.T) {
	enginetest.Resource(t, func(*testing.T) enginetest.ResourceCase {
		m := newModel()
		c := enginetest.ResourceCase{Resource: &Resource{Files: m, Runner: m}, Name: Name}
		for _, rules := range [][]Rule{{{In: "usb0", Out: ""}}, {{In: "usb0", Out: "wlan0"}, {In: "usb0", Out: ""}}, {{In: "usb*", Out: "wg0"}, {In: "wlan0", Proto: "udp", Port: 51820}}} {
			c.Values = append(c.Values, Want(rules, "").Attrs)
		}
		return c
	})
}

// Only the commands that are needed, and everything is as before when ours have gone.
func TestCommands(t *testing.T) {
	m := newModel()
	r := &Resource{Files: m, Runner: m}
	before4, before6 := m.files[file4], m.files[file6]
	first, second := Want([]Rule{{In: "usb0", Out: ""}, {In: "usb0", Out: "wlan0"}}, "").Attrs, Want([]Rule{{In: "usb0", Out: ""}, {In: "usb*", Out: "wg0"}, {In: "wlan0", Proto: "udp", Port: 51820}, {In: "wlan0", Out: "usb0", Proto: "tcp", Port: 80}}, "").Attrs
	for _, s := range []struct{ have, want provision.Attrs }{{nil, first}, {first, first}, {first, second}, {second, nil}} {
		if err := r.Set(t.Context(), Name, s.have, s.want); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"ufw allow in on usb0 comment provision",
		"ufw route allow in on usb0 out on wlan0 comment provision",
		"ufw route allow in on usb+ out on wg0 comment provision",
		"ufw allow in on wlan0 to any port 51820 proto udp comment provision",
		"ufw route allow in on wlan0 out on usb0 to any port 80 proto tcp comment provision",
		"ufw route delete allow in on usb0 out on wlan0",
		"ufw delete allow in on usb0",
		"ufw route delete allow in on usb+ out on wg0",
		"ufw delete allow in on wlan0 to any port 51820 proto udp",
		"ufw route delete allow in on wlan0 out on usb0 to any port 80 proto tcp",
	}
	if !slices.Equal(m.ran, want) {
		t.Errorf("ran\n%s", strings.Join(m.ran, "\n"))
	}
	if m.files[file4] != before4 || m.files[file6] != before6 {
		t.Errorf("left\n%s%s", m.files[file4], m.files[file6])
	}
}

func TestRefusals(t *testing.T) {
	m := newModel()
	r := &Resource{Files: m, Runner: m}
	// Somebody's own rule is neither renamed nor, later, removed.
	if err := r.Set(t.Context(), Name, nil, Want([]Rule{{In: "lan0", Out: ""}}, "").Attrs); err == nil || !strings.Contains(err.Error(), "not ours") {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"usb0", "usb0>a b", "b>; a>", "a>; a>", "eth0:1>", "!eth0>", "usb0> tcp", "usb0> tcp 0", "usb0> icmp 8", "usb0> tcp 080", ">eth0", "abcdefghijklmnop>"} {
		if err := r.Set(t.Context(), Name, nil, provision.Attrs{AttrRules: bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if len(m.ran) != 0 {
		t.Errorf("ran %q", m.ran)
	}
	// More than we write, with our comment, and what one family has lost.
	m.files[file4] += "### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=70726f766973696f6e\n### tuple ### allow any any 0.0.0.0/0 any 0.0.0.0/0 in_usb0 comment=70726f766973696f6e\n"
	have, err := r.Get(t.Context(), Name)
	if want := "? allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in IPv4 only; usb0> IPv4 only"; err != nil || have[AttrRules] != want {
		t.Errorf("got %q, %v, want %q", have, err, want)
	}
	empty := &model{files: map[string]string{}}
	r = &Resource{Files: empty, Runner: empty}
	if have, err := r.Get(t.Context(), Name); have != nil || err != nil {
		t.Errorf("without ufw: %v, %v", have, err)
	}
	if err := r.Set(t.Context(), Name, nil, Want([]Rule{{In: "usb0", Out: ""}}, "").Attrs); !errors.Is(err, provision.ErrPending) {
		t.Errorf("without ufw: %v", err)
	}
}

func FuzzTuples(f *testing.F) {
	f.Add("### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_usb0!out_wlan0 comment=70726f766973696f6e\n")
	f.Add("### tuple ### allow_log tcp 80 0.0.0.0/0 any 0.0.0.0/0 Apache - in comment=zz\n### tuple ###  \n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, u := range tuples(text, "0.0.0.0/0") {
			if u.text == "" || strings.Contains(u.text, ";") && u.text[0] == '?' {
				t.Errorf("%q", u.text)
			}
		}
	})
}
