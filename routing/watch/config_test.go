package watch

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestProblems(t *testing.T) {
	ok := ReactionEntry{Name: "r", Interfaces: []string{"eth*"}, Run: []string{"/bin/true"}}
	with := func(f func(*ReactionEntry)) Config {
		r := ok
		f(&r)
		return Config{Reactions: []ReactionEntry{r}}
	}
	for _, tt := range []struct {
		c          Config
		path, text string
	}{
		{Config{}, "", ""},
		{Config{Preset: "eks"}, "", ""},
		{Config{Reactions: []ReactionEntry{ok}}, "", ""},
		{Config{Preset: "gke"}, "preset", "there is eks"},
		{Config{RPFilter: RPFilterConfig{Loose: []string{"eni*", "all"}}}, "rp-filter.loose[1]", "kernel's word"},
		{Config{RPFilter: RPFilterConfig{Loose: []string{"lo"}}}, "rp-filter.loose[0]", "loopback"},
		{Config{RPFilter: RPFilterConfig{Loose: []string{""}}}, "rp-filter.loose[0]", "empty"},
		{Config{Tables: TablesConfig{Interfaces: []string{"eth[0"}}}, "tables.interfaces[0]", "needs its ]"},
		{Config{Tables: TablesConfig{Interfaces: []string{"a/b"}}}, "tables.interfaces[0]", "cannot be the name"},
		{Config{Tables: TablesConfig{Except: []uint32{2, 0}}}, "tables.except[1]", "no table"},
		{Config{Tables: TablesConfig{Gateway4: "last"}}, "tables.ipv4-gateway", "neither learn nor first"},
		{Config{Tables: TablesConfig{Gateway6: "10.0.0.1"}}, "tables.ipv6-gateway", "no IPv6 address"},
		{with(func(r *ReactionEntry) { r.Name = "" }), "reactions[0].name", "is missing"},
		{with(func(r *ReactionEntry) { r.Name = "a b" }), "reactions[0].name", "letters"},
		{Config{Reactions: []ReactionEntry{ok, ok}}, "reactions[1].name", "already reactions[0]"},
		{with(func(r *ReactionEntry) { r.Interfaces = nil }), "reactions[0].interfaces", "is missing"},
		{with(func(r *ReactionEntry) { r.On = []string{"up"} }), "reactions[0].on[0]", "none of"},
		{with(func(r *ReactionEntry) { r.Run = nil }), "reactions[0]", "does nothing"},
		{with(func(r *ReactionEntry) { r.Action = restartKubeProxy }), "reactions[0].action", "beside run"},
		{with(func(r *ReactionEntry) { r.Run, r.Action = nil, "reboot" }), "reactions[0].action", "no action"},
		{with(func(r *ReactionEntry) { r.Run = []string{"systemctl restart x"} }), "reactions[0].run[0]", "entry of its own"},
		{with(func(r *ReactionEntry) { r.Endpoint = "unix:///x" }), "reactions[0].runtime-endpoint", "only"},
		{with(func(r *ReactionEntry) { r.Timeout = "30" }), "reactions[0].timeout", "30s or 5m"},
		{with(func(r *ReactionEntry) { r.Settle = "-1s" }), "reactions[0].settle", "no time"},
		{Config{Proxy: []ProxyEntry{{Interface: "eth*", ProxyARP: true}}}, "proxy[0].interface", "no name"},
		{Config{Proxy: []ProxyEntry{{Interface: "all", ProxyARP: true}}}, "proxy[0].interface", "no name"},
		{Config{Proxy: []ProxyEntry{{Interface: "eth0"}}}, "proxy[0]", "answers for nothing"},
		{Config{Proxy: []ProxyEntry{{Interface: "eth0", Addresses: []string{"192.0.2.1", "2001:db8::1/128", "2001:db8::/64"}}}}, "proxy[0].addresses[2]", "is a network"},
		{Config{Proxy: []ProxyEntry{{Interface: "eth0", Addresses: []string{"ff02::1"}}}}, "proxy[0].addresses[0]", "no address"},
	} {
		got := tt.c.Problems()
		switch {
		case tt.path == "" && got != nil, tt.path != "" && (len(got) != 1 || got[0].Path != tt.path || !strings.Contains(got[0].Text, tt.text)):
			t.Errorf("%+v: got %v, want %s: %s", tt.c, got, tt.path, tt.text)
		}
	}
}

func TestJobs(t *testing.T) {
	names := func(c Config) (out []string) {
		for _, j := range c.Jobs() {
			out = append(out, j.Name())
		}
		return out
	}
	if got := names(Config{}); got != nil {
		t.Errorf("nothing asked for: %v", got)
	}
	eks := Config{Preset: "eks"}
	if got := names(eks); !reflect.DeepEqual(got, []string{"tables", "rp-filter", "martians"}) {
		t.Errorf("eks: %v", got)
	}
	tables := eks.Jobs()[0].(*Tables)
	if !tables.First4 || !tables.FixCopies || tables.Gateway6.String() != "fe80:ec2::1" || !tables.spared(2004) || tables.spared(2) {
		t.Errorf("eks: %+v", tables)
	}
	// What is said wins over the preset.
	no := false
	c := Config{Preset: "eks", Tables: TablesConfig{Interfaces: []string{"x*"}, Gateway4: "learn", Except: []uint32{7}, FixCopies: &no}, Martians: MartiansConfig{Watch: &no}}
	tables = c.Jobs()[0].(*Tables)
	if tables.First4 || tables.FixCopies || tables.Interfaces[0] != "x*" || !tables.spared(7) || !tables.spared(2005) || len(c.Jobs()) != 2 {
		t.Errorf("eks, changed: %+v", tables)
	}
	if tables := (Config{Preset: "eks", Tables: TablesConfig{Repair: &no}}).Jobs(); tables[0].Name() != "rp-filter" {
		t.Errorf("tables are repaired although they should not")
	}
	c = Config{
		Reactions: []ReactionEntry{{Name: "k", Interfaces: []string{"eth*"}, Action: restartKubeProxy, Endpoint: "unix:///run/c.sock", Pause: "2m"}},
		Proxy:     []ProxyEntry{{Interface: "lan0", Addresses: []string{"192.0.2.1", "2001:db8::1/128"}}},
	}
	jobs := c.Jobs()
	if p := jobs[0].(*ProxyJob).Links[0]; len(p.Addresses) != 2 || p.All {
		t.Errorf("proxy %+v", p)
	}
	r := jobs[1].(*Reaction)
	if r.Pause != 2*time.Minute || !r.Appear || !r.Change || r.Vanish || r.Run.Timeout != 30*time.Second {
		t.Errorf("reaction %+v", r)
	}
	if got := r.Run.String(); got != "crictl --runtime-endpoint unix:///run/c.sock pods --namespace kube-system --name kube-proxy --state Ready --quiet, "+
		"then for each line crictl --runtime-endpoint unix:///run/c.sock stopp {}, then for each line crictl --runtime-endpoint unix:///run/c.sock rmp {}" {
		t.Errorf("runs %s", got)
	}
	if !(Config{}).Keeps() || (Config{Keep: &no}).Keeps() {
		t.Error("keep")
	}
}

// Every key has a help text: the reference and the schema are made of them.
func TestHelp(t *testing.T) {
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Tag.Get("yaml") == "" || len(f.Tag.Get("help")) < 10 {
				t.Errorf("%s.%s has no yaml or help", typ.Name(), f.Name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Config]())
}
