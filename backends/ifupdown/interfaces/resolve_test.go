package interfaces

import (
	"fmt"
	"strings"
	"testing"
)

func order(c *Config) string { return strings.Join(c.Order, " ") }

func TestSources(t *testing.T) {
	const d = "/etc/network/interfaces.d/"
	tree := func(first string, names ...string) map[string]string {
		m := map[string]string{"/etc/network/interfaces": first}
		for _, n := range names {
			m[d+n] = "# " + n + "\n"
		}
		return m
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // what is read after the first file, without the directory
	}{
		{"glob takes names with dots, not hidden ones", tree("source "+d+"*\n", "b", "a.conf", ".hidden", "a~"), "a.conf a~ b"},
		{"glob of the directory's files", tree("source "+d+"*.cfg\n", "a", "b.cfg"), "b.cfg"},
		{"relative to the file", tree("source interfaces.d/*\n", "a"), "a"},
		{"source-directory leaves out names with dots", tree("source-directory "+d+"\n", "a.conf", "b-1_X", "c~"), "b-1_X"},
		{"source-directory by pattern", tree("source-directory /etc/network/interfaces.?\n", "a"), "a"},
		{"any word that begins with source-dir", tree("source-dirs interfaces.d\n", "a"), "a"},
		{"quotes and backslashes", tree(`source `+d+`"a b" `+d+`c\ d '`+d+`e'`+"\n", "a b", "c d", "e", "f"), "a b c d e"},
		{"a path that begins with a quote is relative", tree(`source "`+d+`a"`+"\n", "a"), ""},
		{"several words", tree("source "+d+"a "+d+"b\n", "a", "b"), "a b"},
		{"an unquoted brace is an error of wordexp", tree("source "+d+"{a,b}\n", "a", "b"), ""},
		{"command substitution is one too", tree("source $(echo "+d+"a)\n", "a"), ""},
		{"missing file", tree("source " + d + "x\n"), ""},
		{"read once", tree("source "+d+"a\nsource "+d+"*\n", "a", "b"), "a b"},
		{"classes", tree("source "+d+"[[:digit:]]?[!x]\n", "5ab", "5ax", "aab"), "5ab"},
		{"trailing comment is part of the words", tree("source "+d+"a # "+d+"b\n", "a", "b"), "a b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Resolve("/etc/network/interfaces", c.files, nil)
			var got []string
			for _, p := range cfg.Order[1:] {
				got = append(got, strings.TrimPrefix(p, d))
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("read %q, want %q (problems %v)", g, c.want, cfg.Problems)
			}
		})
	}
}

func TestLoopsEnd(t *testing.T) {
	self := Resolve("/i", map[string]string{"/i": "source /i\nsource /j\n", "/j": "source /i\n"}, nil)
	if order(self) != "/i /j" || len(self.Broken()) != 0 {
		t.Errorf("read %q, problems %v", order(self), self.Problems)
	}
	// Every spelling is another file for ifupdown: it would go on until its stack ends.
	spelt := Resolve("/i", map[string]string{"/i": "source ./i\n"}, nil)
	if b := spelt.Broken(); len(b) != 1 || !b[0].Fatal || !strings.Contains(b[0].Text, "deep") {
		t.Errorf("problems %v", spelt.Problems)
	}
}

func TestUnknownSources(t *testing.T) {
	for _, c := range []struct {
		name, line string
		unreadable map[string]string
		want       string
	}{
		{"variable", "source $HOME/x", nil, "/i:1: cannot follow \"$HOME/x\": depends on the environment of ifup"},
		{"unreadable file", "source /d/*", map[string]string{"/d/secret": "permission denied"}, "/i:1: cannot read /d/secret: permission denied"},
		{"unreadable directory", "source /d/*", map[string]string{"/d": "permission denied"}, "/i:1: cannot read /d: permission denied"},
		{"unreadable, but not pulled in", "source-directory /d", map[string]string{"/d/a.conf": "permission denied"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			for _, p := range Resolve("/i", map[string]string{"/i": c.line}, c.unreadable).Broken() {
				got += p.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if b := Resolve("/i", nil, map[string]string{"/i": "permission denied"}).Broken(); len(b) != 1 || b[0].Text != "cannot be read: permission denied" {
		t.Errorf("first file unreadable: %v", b)
	}
}

func TestErrorsOfSourcedFilesHideOnlyTheirRest(t *testing.T) {
	cfg := Resolve("/i", map[string]string{
		"/i": "source /a\niface c inet dhcp\n",
		"/a": "iface a inet dhcp\nbad\niface b inet dhcp\n",
	}, nil)
	if len(cfg.Stanzas) != 2 || cfg.Stanzas[0].Logical != "a" || cfg.Stanzas[1].Logical != "c" {
		t.Errorf("stanzas %v", cfg.Stanzas)
	}
	if b := cfg.Broken(); len(b) != 1 || b[0].Fatal || b[0].Place != (Place{"/a", 2}) {
		t.Errorf("problems %v", b)
	}
}

func TestCovers(t *testing.T) {
	const p = "/etc/network/interfaces.d/provision-eth1"
	for _, c := range []struct {
		line string
		want bool
	}{
		{"source /etc/network/interfaces.d/*", true},
		{"source interfaces.d/*", true},
		{"source /etc/network/*/*", true},
		{"source /etc//network/./interfaces.d/prov*", true},
		{"source /etc/network/interfaces.d/*.cfg", false},
		{"source /etc/network/interfaces.d", false},
		{"source /etc/network/*", false},
		{"source " + p, true},
		{"source-directory /etc/network/interfaces.d", true},
		{"source-directory interfaces.d/", true},
		{"source-directory /etc/network/*.d", true},
		{"source-directory /etc/network", false},
		{"# source /etc/network/interfaces.d/*", false},
		{"source $D/*", false},
	} {
		cfg := Resolve("/etc/network/interfaces", map[string]string{"/etc/network/interfaces": c.line + "\n"}, nil)
		if got := len(cfg.Covering(p)) > 0; got != c.want {
			t.Errorf("%s: %v", c.line, got)
		}
	}
	dir := Resolve("/i", map[string]string{"/i": "source-directory /d\n"}, nil)
	if len(dir.Covering("/d/provision-eth0.5")) != 0 {
		t.Error("source-directory takes no name with a dot")
	}
}

func TestOptionsAsIfupdownJoinsThem(t *testing.T) {
	cfg := Resolve("/i", map[string]string{"/i": corpus(t)["inherits"]}, nil)
	if len(cfg.Problems) != 0 {
		t.Fatal(cfg.Problems)
	}
	var got []string
	for _, o := range cfg.Of("eth0")[0].Options {
		got = append(got, fmt.Sprintf("%s=%q@%d", o.Name, o.Value, o.Place.Line))
	}
	want := `mtu="1400"@2 metric="7\n8"@5 pre-up="echo one"@6 pre-up="echo two"@7 up="echo three"@8 vlan="x"@12 zone="late"@15`
	if g := strings.Join(got, " "); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
	if h := cfg.Heirs(cfg.Of("base")[0]); len(h) != 2 {
		t.Errorf("heirs of base: %v", h)
	}
	if len(cfg.Entries) != 4 || cfg.Entries[0].Name != "eth0" || cfg.Entries[1].Class != "hotplug" {
		t.Errorf("entries %v", cfg.Entries)
	}
}

func TestLimits(t *testing.T) {
	many := strings.Repeat("iface a inet manual\n", MaxStanzas+1)
	options := "iface a inet manual\n"
	for i := range MaxOptions + 1 {
		options += fmt.Sprintf("o%d x\n", i)
	}
	values := "iface a inet manual\n" + strings.Repeat("o "+strings.Repeat("x", 1000)+"\n", 500)
	sources := strings.Repeat("source /x\n", MaxSources+1)
	for _, c := range []struct{ name, in, want string }{
		{"stanzas", many, "iface stanzas"}, {"options", options, "options"}, {"values", values, "option values"}, {"sources", sources, "source lines"},
	} {
		b := Resolve("/i", map[string]string{"/i": c.in}, nil).Broken()
		if len(b) != 1 || !b[0].Fatal || !strings.Contains(b[0].Text, c.want) {
			t.Errorf("%s: %v", c.name, b)
		}
	}
}

func TestTargets(t *testing.T) {
	devices := []Device{{"lo", "00:00:00:00:00:00"}, {"eth0", "08:00:27:aa:bb:cc"}, {"eth1", "52:54:00:00:00:01"}}
	for _, c := range []struct{ name, want string }{
		{"eth0", "[{eth0 eth0}]"},
		{"eth9=lan", "[{eth9 lan}]"},
		{"/eth*", "[{eth0 eth0} {eth1 eth1}]"},
		{"/eth*=lan", "[{eth0 lan} {eth1 lan}]"},
		{"/eth1/=lan", "[{eth1 lan}]"},
		{"/eth1/1=lan", "[{eth1 lan}]"},
		{"/eth1/2", "[]"},
		{"mac/08:00:27:*=nat", "[{eth0 nat}]"},
		{"MAC/08:00:27:AA:*", "[]"},
		{"address/52:*", "[{eth1 eth1}]"},
		{"/wlan?", "[]"},
	} {
		got, err := Targets(c.name, devices)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, %v; want %s", c.name, got, err, c.want)
		}
	}
	for _, name := range []string{"/eth*/2", "ifindex/2", "/+(eth)0"} {
		if got, err := Targets(name, devices); err == nil {
			t.Errorf("%s: %v, want an error", name, got)
		}
	}
}
