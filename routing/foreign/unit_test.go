package foreign

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
)

func ifname(key, dev string) []nft.Expr {
	return []nft.Expr{{Meta: &nft.Meta{Key: key, Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: append([]byte(dev), make([]byte, 16-len(dev))...)}}}
}

func saddr(last byte) []nft.Expr {
	return []nft.Expr{{Payload: &nft.Payload{Base: "network", Offset: 12, Len: 4, Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: []byte{192, 0, 2, last}}}}
}

func dport(n uint16) []nft.Expr {
	return []nft.Expr{{Meta: &nft.Meta{Key: "l4proto", Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: []byte{6}}},
		{Payload: &nft.Payload{Base: "transport", Offset: 2, Len: 2, Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: binary.BigEndian.AppendUint16(nil, n)}}}
}

func does(kind string, chain ...string) nft.Expr {
	return nft.Expr{Verdict: &nft.Verdict{Kind: kind, Chain: strings.Join(chain, "")}}
}

func rules(all ...[]nft.Expr) []nft.Rule {
	var out []nft.Rule
	for _, r := range all {
		out = append(out, nft.Rule{Exprs: r})
	}
	return out
}

func strange(name string) nft.Expr { return nft.Expr{Unknown: &nft.Unknown{Name: name}} }

// What becomes of lan0 to wan0, tcp 443, IPv4, in a chain of the hook forward.
func TestWalk(t *testing.T) {
	with := func(policy string, all ...[]nft.Expr) nft.Table {
		return nft.Table{Family: "inet", Name: "x", Chains: []nft.Chain{
			{Name: "forward", Base: &nft.Base{Type: "filter", Hook: "forward", Policy: policy}, Rules: rules(all...)},
			{Name: "drops", Rules: rules([]nft.Expr{does("drop")})},
			{Name: "accepts", Rules: rules([]nft.Expr{does("accept")})},
			{Name: "returns", Rules: rules([]nft.Expr{does("return")}, []nft.Expr{does("drop")})},
			{Name: "some", Rules: rules(append(saddr(1), does("accept")))},
			{Name: "loop", Rules: rules([]nft.Expr{does("jump", "loop")}, []nft.Expr{does("jump", "loop")})},
		}, Sets: []nft.Set{
			{Name: "devs", Key: []string{nft.TypeIfname}, Data: []string{nft.TypeVerdict}, Elements: []nft.Element{
				{Key: append([]byte("lan0"), make([]byte, 12)...), Verdict: &nft.Verdict{Kind: "goto", Chain: "drops"}},
				{Key: append([]byte("lan1"), make([]byte, 12)...), Verdict: &nft.Verdict{Kind: "accept"}}}},
			{Name: "sources", Key: []string{nft.TypeIPv4}, Data: []string{nft.TypeVerdict}, Elements: []nft.Element{
				{Key: []byte{192, 0, 2, 1}, Verdict: &nft.Verdict{Kind: "drop"}}, {Key: []byte{192, 0, 2, 2}, Verdict: &nft.Verdict{Kind: "jump", Chain: "drops"}}}},
			{Name: "ports", Key: []string{nft.TypePort}, Interval: true, Elements: []nft.Element{{Key: []byte{1, 0}, To: []byte{1, 255}}}},
			{Name: "far", Key: []string{nft.TypeIPv4}, Count: 9, SHA256: "x"},
		}}
	}
	load := func(key string) nft.Expr { return nft.Expr{Meta: &nft.Meta{Key: key, Reg: 1}} }
	source := nft.Expr{Payload: &nft.Payload{Base: "network", Offset: 12, Len: 4, Reg: 1}}
	port := []nft.Expr{{Payload: &nft.Payload{Base: "transport", Offset: 2, Len: 2, Reg: 1}}}
	look := func(set string, invert, m bool) nft.Expr {
		return nft.Expr{Lookup: &nft.Lookup{Set: set, Reg: 1, Invert: invert, Map: m}}
	}
	state := func(bits byte) []nft.Expr {
		return []nft.Expr{{Ct: &nft.Ct{Key: "state", Reg: 1}}, {Bitwise: &nft.Bitwise{Src: 1, Dst: 1, Len: 4, Mask: host32(uint32(bits)).data, Xor: make([]byte, 4)}},
			{Cmp: &nft.Cmp{Op: "!=", Reg: 1, Data: make([]byte, 4)}}}
	}
	for name, c := range map[string]struct {
		table nft.Table
		want  string // chain rule drops, ...
	}{
		"policy accept":          {with("accept"), ""},
		"policy drop":            {with("drop"), "forward 0 all"},
		"accepted":               {with("drop", append(ifname("iifname", "lan0"), does("accept"))), ""},
		"another device":         {with("drop", append(ifname("iifname", "lan1"), does("accept"))), "forward 0 all"},
		"some accepted":          {with("drop", append(saddr(1), does("accept"))), "forward 0 most"},
		"some dropped":           {with("accept", append(saddr(1), does("drop"))), "forward 1 some"},
		"port":                   {with("drop", append(dport(443), does("accept"))), ""},
		"other port":             {with("accept", append(dport(22), does("drop"))), ""},
		"reject":                 {with("accept", []nft.Expr{{Reject: &nft.Reject{Type: "icmpx"}}}), "forward 1 all"},
		"unreadable, then drop":  {with("accept", []nft.Expr{strange("new"), does("drop")}), "forward 1 perhaps"},
		"unreadable, accepted":   {with("drop", []nft.Expr{strange("new"), does("accept")}), "forward 0 perhaps"},
		"queued":                 {with("drop", []nft.Expr{strange("queue")}), "forward 0 perhaps"},
		"jump":                   {with("accept", []nft.Expr{does("jump", "drops")}), "drops 1 all"},
		"jump accepts":           {with("drop", []nft.Expr{does("jump", "accepts")}), ""},
		"jump returns":           {with("drop", []nft.Expr{does("jump", "returns")}), "forward 0 all"},
		"goto returns":           {with("accept", []nft.Expr{does("goto", "returns")}, []nft.Expr{does("drop")}), ""},
		"jump of some":           {with("accept", append(saddr(1), does("jump", "drops"))), "drops 1 some"},
		"jump to some accept":    {with("drop", []nft.Expr{does("jump", "some")}), "forward 0 most"},
		"a chain without end":    {with("drop", []nft.Expr{does("jump", "loop")}), "forward 0 perhaps"},
		"map by device":          {with("accept", []nft.Expr{load("iifname"), look("devs", false, true)}, []nft.Expr{does("accept")}), "drops 1 all"},
		"map by other device":    {with("accept", []nft.Expr{load("oifname"), look("devs", false, true)}), ""},
		"map by source":          {with("accept", []nft.Expr{source, look("sources", false, true)}), "drops 1 some, forward 1 some"},
		"set of ports":           {with("accept", append(port, look("ports", false, false), does("drop"))), "forward 1 all"},
		"not in a set of ports":  {with("accept", append(port, look("ports", true, false), does("drop"))), ""},
		"a set that is not told": {with("accept", []nft.Expr{source, look("far", false, false), does("drop")}), "forward 1 perhaps"},
		"established":            {with("drop", append(state(nft.StateEstablished|nft.StateRelated), does("accept"))), "forward 0 all"},
		"new":                    {with("drop", append(state(nft.StateNew), does("accept"))), ""},
		"limited":                {with("accept", []nft.Expr{{Limit: &nft.Limit{Rate: 1, Per: 1}}, does("drop")}), "forward 1 some"},
		"logged":                 {with("accept", []nft.Expr{{Log: &nft.Log{}}, {Counter: &nft.Counter{}}}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range Report(Seen{Tables: []nft.Table{c.table}}, []Flow{{In: "lan0", Out: "wan0", Family: 4, Proto: "tcp", Port: 443}}) {
				got = append(got, strings.Join([]string{f.Chain, string('0' + rune(f.Rule)), string(f.Drops)}, " "))
			}
			slices.Sort(got)
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

// Our own table, chains of other hooks and of nat are nobody's business here.
func TestSkipped(t *testing.T) {
	drop := func(family, name, kind, hook string) nft.Table {
		return nft.Table{Family: family, Name: name, Chains: []nft.Chain{{Name: "c", Base: &nft.Base{Type: kind, Hook: hook, Policy: "drop"}}}}
	}
	flow := []Flow{{In: "lan0", Out: "wan0", Family: 4}}
	for _, x := range []nft.Table{drop("inet", "provision", "filter", "forward"), drop("ip6", "a", "filter", "forward"), drop("inet", "a", "filter", "input"),
		drop("inet", "a", "nat", "prerouting"), drop("bridge", "a", "filter", "forward"), drop("arp", "a", "filter", "input"), drop("netdev", "a", "filter", "ingress")} {
		if f := Report(Seen{Tables: []nft.Table{x}}, flow); len(f) > 0 {
			t.Errorf("%s %s: %v", x.Family, x.Name, f)
		}
	}
	for _, x := range []nft.Table{drop("ip", "provision", "filter", "forward"), drop("inet", "a", "filter", "prerouting"), drop("inet", "a", "filter", "postrouting")} {
		if f := Report(Seen{Tables: []nft.Table{x}}, flow); len(f) != 1 {
			t.Errorf("%s %s: %v", x.Family, x.Name, f)
		}
	}
}

func xt(kind, name string, revision uint32, info []byte) nft.Expr {
	attr := func(kind uint16, b []byte) []byte {
		out := binary.NativeEndian.AppendUint16(nil, uint16(4+len(b)))
		out = append(binary.NativeEndian.AppendUint16(out, kind), b...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
		return out
	}
	data := append(attr(1, append([]byte(name), 0)), attr(2, binary.BigEndian.AppendUint32(nil, revision))...)
	return nft.Expr{Unknown: &nft.Unknown{Name: kind, Data: append(data, attr(3, info)...)}}
}

// Matches of x_tables, for lan0 to wan0, tcp 443.
func TestExtensions(t *testing.T) {
	ports := func(from, to uint16, tail ...byte) []byte {
		b := make([]byte, 4, 16)
		binary.NativeEndian.PutUint16(b[2:], 0xffff)
		b = binary.NativeEndian.AppendUint16(b, from)
		return append(binary.NativeEndian.AppendUint16(b, to), tail...)
	}
	conntrack := func(flags, invert, states uint16) []byte {
		b := make([]byte, 168)
		binary.NativeEndian.PutUint16(b[146:], flags)
		binary.NativeEndian.PutUint16(b[148:], invert)
		binary.NativeEndian.PutUint16(b[150:], states)
		return b
	}
	addrtype := func(src, dst uint16, flags uint32) []byte {
		b := binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, src), dst)
		return binary.NativeEndian.AppendUint32(b, flags)
	}
	multi := func(invert byte, list ...uint16) []byte {
		b := make([]byte, 48)
		b[0], b[1], b[47] = 1, byte(len(list)), invert
		for i, p := range list {
			binary.NativeEndian.PutUint16(b[2+2*i:], p)
		}
		b[32] = 1 // the first begins a range
		return b
	}
	mark := func(value, mask uint32, invert byte) []byte {
		return append(binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, value), mask), invert, 0, 0, 0)
	}
	for _, c := range []struct {
		what string
		e    nft.Expr
		want truth
	}{
		{"comment", xt("match", "comment", 0, make([]byte, 256)), yes},
		{"--dport 443", xt("match", "tcp", 0, ports(443, 443, 0, 0, 0, 0)), yes},
		{"--dport 400:500", xt("match", "tcp", 0, ports(400, 500, 0, 0, 0, 0)), yes},
		{"--dport 80", xt("match", "tcp", 0, ports(80, 80, 0, 0, 0, 0)), no},
		{"! --dport 80", xt("match", "tcp", 0, ports(80, 80, 0, 0, 0, 2)), yes},
		{"--syn", xt("match", "tcp", 0, ports(0, 0xffff, 0, 0x17, 2, 0)), yes},
		{"! --syn", xt("match", "tcp", 0, ports(0, 0xffff, 0, 0x17, 2, 4)), no},
		{"udp", xt("match", "udp", 0, ports(443, 443, 0, 0)), no},
		{"NEW", xt("match", "conntrack", 3, conntrack(1, 0, 8)), yes},
		{"! NEW", xt("match", "conntrack", 3, conntrack(1, 1, 8)), no},
		{"ESTABLISHED", xt("match", "conntrack", 2, conntrack(1, 0, 6)), no},
		{"DNAT", xt("match", "conntrack", 3, conntrack(1, 0, 1<<7)), no},
		{"NEW with an address", xt("match", "conntrack", 3, conntrack(1|4, 0, 8)), some},
		{"conntrack of another time", xt("match", "conntrack", 9, conntrack(1, 0, 8)), blind},
		{"short conntrack", xt("match", "conntrack", 3, make([]byte, 8)), blind},
		{"state NEW", xt("match", "state", 0, binary.NativeEndian.AppendUint32(nil, 8)), yes},
		{"dst LOCAL", xt("match", "addrtype", 1, addrtype(0, 1<<2, 0)), no},
		{"! dst LOCAL", xt("match", "addrtype", 1, addrtype(0, 1<<2, 2)), yes},
		{"dst UNICAST", xt("match", "addrtype", 1, addrtype(0, 1<<1, 0)), yes},
		{"dports 400:450", xt("match", "multiport", 1, multi(0, 400, 450)), yes},
		{"dports 1:2,443", xt("match", "multiport", 1, multi(0, 1, 2, 443)), yes},
		{"dports 1:2,3", xt("match", "multiport", 1, multi(0, 1, 2, 3)), no},
		{"! dports 1:2", xt("match", "multiport", 1, multi(1, 1, 2)), yes},
		{"mark 0", xt("match", "mark", 1, mark(0, 0xff, 0)), yes},
		{"mark 0x4000", xt("match", "mark", 1, mark(0x4000, 0x4000, 0)), no},
		{"icmp", xt("match", "icmp", 0, []byte{8, 0, 255, 0}), no},
		{"set", xt("match", "set", 4, make([]byte, 16)), some},
		{"limit", xt("match", "limit", 0, make([]byte, 40)), some},
		{"unknown", xt("match", "fancy", 0, make([]byte, 8)), blind},
		{"no attributes", nft.Expr{Unknown: &nft.Unknown{Name: "match", Data: []byte{9, 9}}}, blind},
	} {
		w := walker{table: &nft.Table{}, packet: packet{Flow: Flow{In: "lan0", Out: "wan0", Proto: "tcp", Port: 443}, family: 4}}
		if got, _ := w.expr(c.e, &registers{}); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	for name, want := range map[string]string{"REJECT": "drop", "LOG": "", "MASQUERADE": "", "NFQUEUE": "perhaps", "FANCY": "perhaps"} {
		w := walker{table: &nft.Table{}}
		if _, out := w.expr(xt("target", name, 0, make([]byte, 8)), &registers{}); out.Kind != want {
			t.Errorf("-j %s: %q, want %q", name, out.Kind, want)
		}
	}
}

// memory is a file system.
type memory map[string]string

func (m memory) ReadFile(name string, _ int) ([]byte, error) {
	if s, ok := m[name]; ok {
		return []byte(s), nil
	}
	return nil, errors.New("not there")
}

func (m memory) ReadNames(name string) ([]string, error) {
	var out []string
	for p := range m {
		if rest, ok := strings.CutPrefix(p, name+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			out = append(out, first)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func TestGather(t *testing.T) {
	s := Gather(memory{
		"/proc/net/ip_tables_names": "nat\nfilter\n",
		"/proc/1/comm":              "systemd\n",
		"/proc/77/comm":             "dockerd\n",
		"/proc/78/comm":             "crowdsec-firewa\n",
		"/proc/sys/net/bridge/bridge-nf-call-iptables":                             "1\n",
		"/etc/systemd/system/sysinit.target.wants/nftables.service":                "",
		"/etc/systemd/system/multi-user.target.wants/ufw.service":                  "",
		"/etc/systemd/system/multi-user.target.wants/cron.service":                 "",
		"/usr/lib/systemd/system/multi-user.target.wants/k3s.service":              "",
		"/etc/rcS.d/S01iptables-persistent":                                        "",
		"/etc/nftables.conf":                                                       "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n",
		"/etc/ufw/ufw.conf":                                                        "# x\nENABLED=no\n",
		"/etc/iptables/rules.v4":                                                   "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n",
		"/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service": "",
	})
	s.Devices = []Device{{Name: "br0", Kind: "bridge"}, {Name: "lan0"}}
	var got []string
	for _, p := range Detect(s) {
		got = append(got, p.Name+" "+string(p.State)+" "+p.Backend)
	}
	want := []string{"docker running iptables-legacy", "k3s installed ", "crowdsec running ", "nftables.conf installed ", "iptables-persistent installed "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	got = nil
	for _, n := range Notes(s) {
		got = append(got, n.Level+" "+n.Subject)
	}
	if want := []string{"warning nftables.service", "warning /etc/iptables/rules.v4", "info bridge netfilter"}; !slices.Equal(got, want) {
		t.Errorf("noted %q", got)
	}
	if b := Bridged(s); !slices.Equal(b, []string{"br0"}) {
		t.Errorf("bridges %q", b)
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		a    Adapters
		want string
	}{
		{nil, ""}, {Adapters{"auto"}, ""}, {Adapters{"docker", "ufw", "firewalld"}, ""},
		{Adapters{"iptables"}, "firewall.adapters[0]"}, {Adapters{"ufw", "ufw"}, "firewall.adapters[1]"}, {Adapters{"ufw", "auto"}, "firewall.adapters[1]"},
	} {
		got := ""
		for _, p := range c.a.Problems("firewall.adapters") {
			got += p.Path
		}
		if got != c.want {
			t.Errorf("%q: %q", c.a, got)
		}
	}
}

// Asked for by name, what is not there is told; nothing asked, nothing planned.
func TestPlan(t *testing.T) {
	if d := (Adapters{"docker", "ufw", "firewalld"}).Plan(Seen{}, router()); len(d.Wants) != 0 || len(d.Notes) != 3 {
		t.Errorf("got %v", d)
	}
	s := load(t, "bookworm-together")
	if d := (Adapters{}).Plan(s, router()); len(d.Wants)+len(d.Notes) != 0 {
		t.Errorf("got %v", d)
	}
	d := Adapters{"docker"}.Plan(s, []Flow{{In: "usb*", Out: "wlan0"}, {In: "a b", Out: "wlan0"}, {In: "usb*", Out: "wlan0", Proto: "tcp", Port: 80}})
	if len(d.Wants) != 1 || d.Wants[0].Attrs["rules"] != "usb*>wlan0; wlan0>usb* replies" || len(d.Notes) != 1 {
		t.Errorf("got %v", d)
	}
	if d := (Adapters{"firewalld"}).Plan(s, []Flow{{In: "wan0", Out: "lan0", Proto: "tcp", Port: 80}, {In: "wan0", Out: "lan0", Published: true}, {In: "wan0", Proto: "icmp"}}); len(d.Wants) != 0 {
		t.Errorf("the outside is trusted: %v", d.Wants)
	}
}

func FuzzExtension(f *testing.F) {
	f.Add("conntrack", uint32(3), make([]byte, 168))
	f.Add("tcp", uint32(0), make([]byte, 12))
	f.Add("multiport", uint32(1), make([]byte, 48))
	f.Add("addrtype", uint32(1), make([]byte, 12))
	f.Fuzz(func(t *testing.T, name string, revision uint32, info []byte) {
		if len(name) > 30 || len(info) > 1000 {
			return
		}
		for _, kind := range []string{"match", "target"} {
			e := xt(kind, name, revision, info)
			table := nft.Table{Family: "ip", Name: "filter", Chains: []nft.Chain{{Name: "FORWARD", Base: &nft.Base{Type: "filter", Hook: "forward", Policy: "drop"}, Rules: rules([]nft.Expr{e, does("accept")})}}}
			for _, l := range Report(Seen{Tables: []nft.Table{table}}, router()) {
				_ = l.String()
			}
			e.Unknown.Data = info
			w := walker{table: &table}
			w.expr(e, &registers{})
			_ = Words(table, table.Chains[0].Rules[0])
		}
	})
}

func BenchmarkReport(b *testing.B) {
	s := load(b, "bookworm-together")
	for b.Loop() {
		Report(s, router())
	}
}

func TestFlows(t *testing.T) {
	got := Flows(intent.Set{
		Members:   []intent.Member{{Zone: "inside", Interfaces: []string{"usb0", "usb1"}}, {Zone: "outside", Interfaces: []string{"wlan0"}}, {Zone: "inside", Interfaces: []string{"usb0"}}},
		Forwards:  []intent.Forward{{From: "inside", To: "outside", Why: "f"}, {From: "inside", To: "inside"}},
		Services:  []intent.Service{{Interfaces: []string{"usb0"}, Proto: "udp", Ports: []uint16{67, 547}, Family: 4}, {Proto: "tcp", Ports: []uint16{22}}},
		Endpoints: []intent.Endpoint{{Proto: "udp", Addr: netip.MustParseAddr("2001:db8::1"), Port: 51820}, {Proto: "41", Addr: netip.MustParseAddr("192.0.2.1")}},
	})
	var text []string
	for _, f := range got {
		text = append(text, f.String())
	}
	want := []string{"usb0 to wlan0", "usb1 to wlan0", "usb0 to usb1", "usb1 to usb0", "usb0 to this machine (IPv4, udp 67)", "usb0 to this machine (IPv4, udp 547)",
		"usb0 to this machine (tcp 22)", "usb1 to this machine (tcp 22)", "wlan0 to this machine (tcp 22)",
		"this machine to anywhere (IPv6, udp 51820)", "this machine to anywhere (IPv4)"}
	if !slices.Equal(text, want) {
		t.Errorf("got %q", text)
	}
}
