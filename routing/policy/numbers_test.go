package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func allocated(t *testing.T, in Input) Numbers {
	t.Helper()
	n, err := Allocate(in)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func live(r facts.Rule) facts.Rule {
	r.Family, r.Action = 4, "lookup"
	return r
}

// Which byte of marks is chosen, or who is in the way.
func TestMask(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rules []facts.Rule
		links []string
		cni   string
		more  []Claim
		ask   uint32
		was   uint32
		want  uint32
		err   string
		note  string
	}{
		{name: "nobody", want: 0xff000000},
		{name: "Calico", links: []string{"cali12345"}, want: 0xff},
		{name: "Tailscale and Antrea", links: []string{"tailscale0", "antrea-gw0"}, want: 0xff},
		{name: "a rule", rules: []facts.Rule{{Priority: 77, Mark: 0x1000000, Mask: 0xf000000, Table: 9}}, want: 0xff0000},
		{name: "wg-quick compares the whole mark", rules: []facts.Rule{{Priority: 32765, Mark: 51820, Mask: 1<<32 - 1, Table: 51820}}, want: 0xff000000},
		{name: "our own rule", rules: []facts.Rule{{Priority: 25301, Mark: 0x1000000, Mask: 0xff000000, Table: 15800, Proto: facts.ProtoOurs}}, want: 0xff000000},
		{name: "the roof knows more", more: []Claim{{0x80000000, "a rule of firewalld"}}, want: 0xff0000},
		{name: "remembered", was: 0xff00, want: 0xff00},
		{name: "remembered, and taken since", was: 0xff0000, links: []string{"tailscale0"}, want: 0xff000000, note: "Tailscale"},
		{name: "asked for", ask: 0xff0000, want: 0xff0000},
		{name: "asked for, Tailscale's", ask: 0xff0000, links: []string{"tailscale0"}, err: "0xff0000 is used by Tailscale (the device tailscale0)"},
		{name: "asked for, kube-proxy's", ask: 0xff00, cni: "/etc/cni/net.d/10-aws.conflist", err: "Kubernetes (kube-proxy)"},
		{name: "full", links: []string{"cilium_host", "eni1234"}, err: "0xff by Amazon VPC CNI (the device eni1234); 0xff00 by Cilium"},
		{name: "full of rules", rules: []facts.Rule{{Priority: 5210, Mark: 0x80000, Mask: 0xff0000, Table: 254}, {Priority: 1024, Mark: 0x80, Mask: 0x80, Table: 254}, {Priority: 9, Mark: 0x200, Mask: 0xf00, Table: 2004}, {Priority: 10, Mark: 0x40000000, Mask: 0x40000000, Table: 5}},
			err: "0xff0000 by Tailscale (the rule with priority 5210); 0xff by Amazon VPC CNI (the rule with priority 1024); 0xff00 by Cilium (the rule with priority 9)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := twoNICs()
			for _, r := range tc.rules {
				f.Rules = append(f.Rules, live(r))
			}
			for i, l := range tc.links {
				f.Links = append(f.Links, facts.Link{Index: 50 + i, Name: l})
			}
			f.Machine.CNI = tc.cni
			in := Input{Facts: f, Config: Config{MarkMask: tc.ask}, Memory: Memory{Mask: tc.was}, Claims: tc.more, Tunnels: []string{"wg0"}}
			n, err := Allocate(in)
			if tc.err != "" {
				// Who needs no mark is not in the way of anything.
				in.Config.MarkMask, in.Tunnels = 0, nil
				if n, err := Allocate(in); err != nil || tc.ask == 0 && n.Mask != 0 {
					t.Errorf("without a tunnel: 0x%x, %v", n.Mask, err)
				}
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v, want it to say %q", err, tc.err)
				}
				return
			}
			if err != nil || n.Mask != tc.want || n.Direct == 0 || n.Direct&^n.Mask != 0 || n.Memory.Mask != tc.want {
				t.Errorf("got 0x%x (0x%x), %v; want 0x%x", n.Mask, n.Direct, err, tc.want)
			}
			if notes := strings.Join(n.Notes, "\n"); tc.note != "" && !strings.Contains(notes, tc.note) || tc.note == "" && notes != "" {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

// Never a number of somebody else, and always the same one again.
func TestTables(t *testing.T) {
	in := Input{Facts: twoNICs(), Config: Config{PerNICReplies: true, ReplyPrimary: true}, Tunnels: []string{"wg0"}}
	first := allocated(t, in)
	if got := slices.Sorted(maps.Values(first.Memory.Tables)); !slices.Equal(got, []uint32{15800, 15801, 15802}) {
		t.Fatalf("got %v", first.Memory.Tables)
	}
	// A NIC that comes renumbers nobody; one that goes keeps its number.
	in.Memory = first.Memory
	in.Facts.Links[1].PermMAC = "00:00:5e:00:53:01"
	in.Tunnels = []string{"wg1", "wg0"}
	second := allocated(t, in)
	for o, table := range first.Memory.Tables {
		if second.Memory.Tables[o] != table {
			t.Errorf("%s had %d and has %d", o, table, second.Memory.Tables[o])
		}
	}
	if got := len(second.Memory.Tables); got != 5 {
		t.Errorf("got %v", second.Memory.Tables)
	}
	// Somebody takes one, in each way that there is.
	wg0 := first.Memory.Tables["tunnel wg0"]
	for name, edit := range map[string]func(*Input){
		"rule": func(in *Input) { in.Facts.Rules = append(in.Facts.Rules, live(facts.Rule{Priority: 3, Table: wg0})) },
		"route": func(in *Input) {
			in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: pfx("0.0.0.0/0"), Table: wg0, Proto: 4})
		},
		"rt_table": func(in *Input) { in.Names = map[uint32]string{wg0: "office"} },
		"config":   func(in *Input) { in.Config.Rules = []Rule{{From: "192.0.2.9", Table: wg0}} },
	} {
		in := Input{Facts: twoNICs(), Config: in.Config, Tunnels: []string{"wg0"}, Memory: first.Memory}
		edit(&in)
		n := allocated(t, in)
		if n.Tunnel("wg0").Table == wg0 || len(n.Notes) != 1 || !strings.Contains(n.Notes[0], "tunnel wg0") {
			t.Errorf("%s: table %d, notes %q", name, n.Tunnel("wg0").Table, n.Notes)
		}
	}
	// Our own routes and rules are no reason to move.
	in = Input{Facts: twoNICs(), Tunnels: []string{"wg0"}, Memory: first.Memory}
	in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: pfx("0.0.0.0/0"), Table: wg0, Proto: facts.ProtoOurs})
	if n := allocated(t, in); n.Tunnel("wg0").Table != wg0 || n.Notes != nil {
		t.Errorf("moved to %d: %q", n.Tunnel("wg0").Table, n.Notes)
	}
}

func TestPriorities(t *testing.T) {
	in := Input{Facts: twoNICs(), Config: Config{PerNICReplies: true, Rules: []Rule{{From: "192.0.2.9", Table: 5}, {From: "192.0.2.10", Table: 5}}}, Tunnels: []string{"wg0", "wg1"}}
	for _, p := range []uint32{15001, 15100, 25200, 25301, 25304} {
		in.Facts.Rules = append(in.Facts.Rules, live(facts.Rule{Priority: p, Table: 254}))
	}
	n := allocated(t, in)
	if n.Detours != 15002 || n.Replies != 25201 || n.Tunnel("wg0").Priority != 25302 || n.Tunnel("wg1").Priority != 25305 {
		t.Errorf("got %d, %d, %d, %d", n.Detours, n.Replies, n.Tunnel("wg0").Priority, n.Tunnel("wg1").Priority)
	}
	d, err := Plan(in, n)
	if err != nil || !strings.Contains(textOf(d), "inet 15101 from 192.0.2.9/32") || !strings.Contains(textOf(d), "inet 15102 from 192.0.2.10/32") {
		t.Errorf("%v\n%s", err, textOf(d))
	}
}

func TestMemory(t *testing.T) {
	m := Memory{Mask: 0xff000000, Tables: map[string]uint32{"nic name:eth1": 15800}}
	got, err := ParseMemory(m.Bytes())
	if err != nil || got.Mask != m.Mask || !maps.Equal(got.Tables, m.Tables) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseMemory(nil); err != nil || got.Mask != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"{", `{"version":2}`, `{"tables":3}`, strings.Repeat(" ", maxMemory) + "{}"} {
		if _, err := ParseMemory([]byte(bad)); err == nil {
			t.Errorf("%.20q is read", bad)
		}
	}
}

func TestParseTables(t *testing.T) {
	got := map[uint32]string{}
	ParseTables("# reserved\n255\tlocal\n 0x64 office # ours\n7\nx y\n", got)
	if !maps.Equal(got, map[uint32]string{255: "local", 100: "office"}) {
		t.Errorf("got %v", got)
	}
}

func FuzzParseMemory(f *testing.F) {
	f.Add(Memory{Mask: 0xff, Tables: map[string]uint32{"tunnel wg0": 15800}}.Bytes())
	f.Add([]byte(`{"mask":1,"tables":{"tunnel wg0":254,"nic mac:08:00:27:00:00:02":15800,"x":15800}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMemory(data)
		if err != nil {
			return
		}
		in := Input{Facts: twoNICs(), Config: Config{PerNICReplies: true}, Tunnels: []string{"wg0"}, Memory: m}
		n, err := Allocate(in)
		if err != nil {
			return // so many that are away that none is left
		}
		seen := map[uint32]string{}
		for o, table := range n.Memory.Tables {
			if seen[table] != "" || table < firstTable || table > lastTable {
				t.Errorf("table %d is for %q and %q", table, o, seen[table])
			}
			seen[table] = o
		}
	})
}
