package nft

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft/nfnl"
)

// stateful accepts what is established and new connections to ports.
func stateful(ports ...uint16) Table {
	established := []Expr{
		{Ct: &Ct{Key: "state", Reg: 1}}, {Bitwise: &Bitwise{Src: 1, Dst: 1, Len: 4, Mask: host32(StateEstablished), Xor: host32(0)}},
		{Cmp: &Cmp{Op: "!=", Reg: 1, Data: host32(0)}},
	}
	c := Chain{Name: "input", Base: filter("input", 0, "drop"), Rules: []Rule{rule(established, counter(), verdict("accept", ""))}}
	for _, p := range ports {
		c.Rules = append(c.Rules, rule(tcpPort(p), counter(), verdict("accept", "")))
	}
	return Table{Family: OwnFamily, Name: OwnTable, Chains: []Chain{c}}
}

// A TCP connection between two namespaces goes on through changes of the table that would not
// let it begin, and through one that makes the whole chain anew.
func TestFlowsSurvive(t *testing.T) {
	a, b := nstest.New(t), nstest.New(t)
	a.Pair("eth0", b, "eth1")
	a.Sh("ip address add 10.9.0.1/24 dev eth0")
	b.Sh("ip address add 10.9.0.2/24 dev eth1")
	r := &Resource{}
	set := func(table Table) {
		t.Helper()
		var err error
		b.Do(func() { err = try(r, "inet provision", Own(table, "").Attrs) })
		if errors.Is(err, ErrUnsupported) {
			t.Skipf("skipped: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(stateful(5000))
	var l net.Listener
	var err error
	b.Do(func() { l, err = net.Listen("tcp4", "10.9.0.2:5000") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	var c net.Conn
	a.Do(func() { c, err = net.DialTimeout("tcp4", "10.9.0.2:5000", 5*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func(when string) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 5)
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	packets := func() (n uint64) {
		b.Do(func() {
			table := mustDump(t, "inet", "provision")
			n = table.Chains[0].Rules[0].Exprs[3].Counter.Packets
		})
		return n
	}
	echo("at first")
	before := packets()
	set(stateful(22, 80))
	echo("after its port was closed")
	if now := packets(); now <= before || before == 0 {
		t.Errorf("the counter of the rule that stayed was %d and is %d", before, now)
	}
	anew := stateful(22)
	anew.Chains[0].Comment, anew.Chains[0].Base.Priority = "made anew", 5
	set(anew)
	echo("after the chain was made anew")
	var late net.Conn
	a.Do(func() { late, err = net.DialTimeout("tcp4", "10.9.0.2:5000", 100*time.Millisecond) })
	if err == nil {
		late.Close()
		t.Error("a new connection to the closed port was let in")
	}
}

// What a learnt set has learnt stays through a change of the table, and through one of the set
// itself, with the time that it still has.
func TestLearntSurvives(t *testing.T) {
	r := network(t)
	table := stateful(22)
	table.Sets = []Set{{Name: "names", Key: []string{TypeIPv4}, Learnt: true, Timeout: 600000}, {Name: "nets", Key: []string{TypeIPv4}, Learnt: true, Interval: true}}
	bring(t, r, "inet provision", Own(table, "").Attrs)
	tool(t, `add element inet provision names { 1.2.3.4 timeout 30s, 1.2.3.5 }
add element inet provision nets { 10.0.0.0/8 timeout 50s, 192.0.2.1 }
`, "-f", "-")
	check := func(when string) {
		t.Helper()
		now := mustDump(t, "inet", "provision")
		sets := byName(now.Sets, setName)
		names, nets := sets["names"].Elements, sets["nets"].Elements
		if len(names) != 2 || names[0].Timeout != 30000 || names[0].Expires > 30000 || names[0].Expires < 20000 || names[1].Expires < 590000 || names[1].Expires > 600000 {
			t.Errorf("%s: names are %+v", when, names)
		}
		if len(nets) != 2 || nets[0].Timeout != 50000 || nets[0].Expires > 50000 || nets[0].Expires < 40000 || nets[1].Timeout != 0 {
			t.Errorf("%s: nets are %+v", when, nets)
		}
		if strings.Contains(Format(now), `"element"`) {
			t.Errorf("%s: what was learnt is compared", when)
		}
	}
	check("at first")
	table.Chains = append(table.Chains, Chain{Name: "more"})
	bring(t, r, "inet provision", Own(table, "").Attrs)
	check("after a change")
	table.Sets[0].Comment, table.Sets[1].Comment = "other", "other"
	table.Chains[0].Rules = append(table.Chains[0].Rules, rule(saddr4(), Expr{Lookup: &Lookup{Set: "names", Reg: 1}}, verdict("accept", "")))
	bring(t, r, "inet provision", Own(table, "").Attrs)
	check("after the sets were made anew")
	table.Sets[0].Comment = "again, with a rule that uses it"
	bring(t, r, "inet provision", Own(table, "").Attrs)
	check("after a set in use was made anew")
}

// Rules of others in our table are seen and put right; their tables stay as they are.
func TestForeign(t *testing.T) {
	r := network(t)
	const foreign = `table ip docker {
	set s { type ipv4_addr; elements = { 1.2.3.4 } }
	chain x {
		type nat hook postrouting priority 100; policy accept;
		counter masquerade comment "theirs"
	}
}
table inet theirs {
	chain y {
		type filter hook input priority 0; policy drop;
		tcp dport { 1, 2 } accept
	}
}
`
	tool(t, foreign, "-f", "-")
	others := func() string {
		return tool(t, "", "list", "table", "ip", "docker") + tool(t, "", "list", "table", "inet", "theirs")
	}
	before := others()
	want := Own(samples()[2], "")
	bring(t, r, want.Name, want.Attrs)
	for what, script := range map[string]string{
		"a rule":               "insert rule inet provision c3 counter drop",
		"a rule with a set":    "add rule inet provision c3 tcp dport { 22, 80-90 } drop",
		"an unknown one":       "add rule inet provision c3 quota over 10 mbytes drop",
		"a chain":              "add chain inet provision evil { type filter hook input priority 7; policy drop; }",
		"a set":                "add set inet provision evil { type ipv4_addr; }\nadd element inet provision evil { 1.1.1.1 }",
		"all rules gone":       "flush table inet provision",
		"everything gone":      "delete table inet provision",
		"switched off":         "add table inet provision { flags dormant; }",
		"a chain gone":         "flush chain inet provision c4\ndelete chain inet provision c4",
		"a rule and its order": "flush chain inet provision c5\nadd rule inet provision c5 drop",
	} {
		tool(t, script+"\n", "-f", "-")
		have, err := r.Get(t.Context(), want.Name)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if have[AttrTable] == want.Attrs[AttrTable] {
			t.Errorf("%s: not seen", what)
		}
		if err := r.Set(t.Context(), want.Name, have, want.Attrs); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		// And going back gives them theirs.
		if err := try(r, want.Name, have); err != nil {
			t.Errorf("%s, back: %v", what, err)
		}
		if err := try(r, want.Name, want.Attrs); err != nil {
			t.Fatalf("%s, again: %v", what, err)
		}
	}
	if now := others(); now != before {
		t.Errorf("a foreign table is\n%s\nit was\n%s", now, before)
	}
	bring(t, r, want.Name, nil)
	if now := others(); now != before {
		t.Errorf("a foreign table is\n%s\nit was\n%s", now, before)
	}
	all, err := Tables(t.Context())
	if err != nil || len(all) != 2 || all[1].Chains[0].Base.Policy != "drop" || all[1].Chains[0].Rules != nil {
		t.Errorf("%+v, %v", all, err)
	}
}

// Somebody changes nf_tables between our reading and our writing: what was read is read again,
// and what has become stale is refused.
func TestRace(t *testing.T) {
	r := network(t)
	c, err := nfnl.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := samples()[2]
	now, gen, err := readTable(t.Context(), c, "inet", "provision", hints{})
	if err != nil || now != nil {
		t.Fatal(now, err)
	}
	tool(t, "", "add", "table", "ip", "other")
	text := Format(want)
	canonical := Canonical(want)
	if err := r.change(t.Context(), c, gen, nil, &target{table: &canonical, text: text}, "inet", "provision"); !errors.Is(err, errRaced) {
		t.Errorf("an old generation: %v", err)
	}
	if now := mustTables(t); len(now) != 1 {
		t.Errorf("a refused batch did something: %v", now)
	}
	bring(t, r, "inet provision", Own(want, "").Attrs)
}

func mustTables(t *testing.T) []Table {
	t.Helper()
	all, err := Tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What the kernel does not have is told in words, and nothing is changed.
func TestErrors(t *testing.T) {
	r := network(t)
	good := samples()[2]
	bring(t, r, "inet provision", Own(good, "").Attrs)
	for _, tc := range []struct {
		what   string
		change func(*Table)
		want   string
		is     error
	}{
		{"unknown expression", func(t *Table) {
			t.Chains[0].Rules = append(slices.Clone(t.Chains[0].Rules), rule(counter(), Expr{Unknown: &Unknown{Name: "teleport", Data: []byte{}}}, "beam"))
		}, "add rule 11 of chain c0 (beam) (table inet provision): the kernel cannot do this: it has no teleport (nft_teleport missing)", ErrUnsupported},
		{"unknown chain type", func(t *Table) {
			t.Chains = append(slices.Clone(t.Chains), Chain{Name: "x", Base: &Base{Type: "warp", Hook: "input", Policy: "accept"}})
		}, "make chain x (warp, hook input)", ErrUnsupported},
		{"chain that is not there", func(t *Table) {
			t.Chains[0].Rules = append(slices.Clone(t.Chains[0].Rules), rule(verdict("jump", "nowhere")))
		}, "add rule 11 of chain c0 (table inet provision): it names a chain or a set that is not there", nil},
		{"masquerade at input", func(t *Table) {
			t.Chains = append(slices.Clone(t.Chains), Chain{Name: "x", Base: filter("input", 0, "accept"), Rules: []Rule{rule(Expr{Masq: &Masq{}})}})
		}, "add rule 1 of chain x", nil},
		{"overlap", func(t *Table) {
			t.Sets = []Set{{Name: "s", Key: []string{TypePort}, Interval: true, Elements: []Element{{Key: []byte{0, 1}, To: []byte{0, 9}}, {Key: []byte{0, 5}, To: []byte{0, 20}}}}}
		}, "elements of set s (table inet provision): elements overlap", nil},
		{"word that is none", func(t *Table) {
			t.Chains[0].Rules = []Rule{rule(Expr{Meta: &Meta{Key: "phase", Reg: 1}})}
		}, `there is no meta key "phase"`, nil},
		{"foreign family", func(t *Table) { t.Family = "ip" }, "the text is of table ip provision", nil},
	} {
		table := good
		table.Chains = slices.Clone(good.Chains)
		tc.change(&table)
		err := try(r, "inet provision", Own(table, "").Attrs)
		if err == nil || !strings.Contains(err.Error(), tc.want) || tc.is != nil && !errors.Is(err, tc.is) {
			t.Errorf("%s: %v", tc.what, err)
		} else {
			t.Logf("%s: %v", tc.what, err)
		}
		if now := mustDump(t, "inet", "provision"); Format(now) != Format(good) {
			t.Fatalf("%s: a refused change did something", tc.what)
		}
	}
	for _, name := range []string{"", "inet", "inet ", "x y", "inet a b"} {
		if _, err := r.Get(t.Context(), name); err == nil || !strings.Contains(err.Error(), "want a family") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, attr := range []string{"", "x", strings.Replace(Format(good), "c0", "zz", 1)} {
		if err := try(r, "inet provision", provision.Attrs{AttrTable: attr}); err == nil {
			t.Errorf("%.40q was set", attr)
		}
	}
}

// Names and texts that Problems lets through nft reads back, and it refuses all others.
func TestNamesNftReads(t *testing.T) {
	network(t)
	names := strings.Fields(keywords)
	names = append(names, "input", "guard-forward", "a.b/c", "_x", "local", "name", "port", "to", "state", "group", "prefix", "value", "over", "id", "1x", "x y", "ü", "a+b", "-x", "")
	newer := map[string]bool{"destroy": true, "last": true, "vxlan": true, "vni": true, "geneve": true, "gre": true, "gretap": true, "tunnel": true}
	var good []string
	for _, n := range names {
		table := Table{Family: "inet", Name: "q", Chains: []Chain{{Name: n}}, Sets: []Set{{Name: "s-" + n, Key: []string{TypePort}}, {Name: n, Key: []string{TypePort}}}}
		script := fmt.Sprintf("table inet q {\nset %s {\ntype ipv4_addr\n}\nchain %s {\nip saddr @%s accept\n}\nchain yy {\nct state new jump %s\n}\n}\n", n, n, n, n)
		if table.Problems() == nil {
			good = append(good, n)
			if out, err := tryTool(t, script, "-c", "-f", "-"); err != nil {
				t.Errorf("nft does not read the name %q: %s", n, out)
			}
		} else if _, err := tryTool(t, script, "-c", "-f", "-"); err == nil && !newer[n] && !strings.HasPrefix(n, "8021") {
			t.Errorf("nft reads the name %q, and it is refused", n)
		}
	}
	if len(good) < 10 {
		t.Errorf("only %q are names", good)
	}
}

func TestProblems(t *testing.T) {
	base := func() Table { return samples()[0] }
	for want, spoil := range map[string]func(*Table){
		"chain fwd: its name is a word of nft's language": func(t *Table) { t.Chains[1].Name = "fwd" },
		"there is no chain \"management\" to jump to":     func(t *Table) { t.Chains[1].Name = "other" },
		"chain management: it leads back to itself":       func(t *Table) { t.Chains[1].Rules[0].Exprs = []Expr{verdict("goto", "management")} },
		"the hook and the priority of chain input":        func(t *Table) { t.Chains = append(t.Chains, Chain{Name: "in2", Base: filter("input", 0, "accept")}) },
		"set blocked, element 2 (01020380): is not behind": func(t *Table) {
			t.Sets[0].Elements[1].Key = []byte{1, 2, 3, 128}
		},
		"a learnt set begins empty":     func(t *Table) { t.Sets[2].Elements = t.Sets[0].Elements[1:2] },
		"elements that time takes away": func(t *Table) { t.Sets[1].Timeout = 1000 },
		"no whole number of seconds":    func(t *Table) { t.Sets[2].Timeout = 1500 },
		"rule 1: its comment: it has a": func(t *Table) { t.Chains[0].Rules[0].Comment = `a "b"` },
		"its comment: it is longer":     func(t *Table) { t.Chains[0].Comment = strings.Repeat("x", 128) },
		"expression \"xt\" is somebody": func(t *Table) { t.Chains[0].Rules[0].Exprs = []Expr{{Unknown: &Unknown{Name: "xt"}}} },
		"rules add to learnt sets": func(t *Table) {
			t.Chains[0].Rules[0].Exprs = []Expr{{DynSet: &DynSet{Op: "add", Set: "blocked", Reg: 1}}}
		},
		"masquerade cannot be in a chain": func(t *Table) { t.Chains[0].Rules[0].Exprs = []Expr{{Masq: &Masq{}}} },
		"there is no register 5":          func(t *Table) { t.Chains[0].Rules[0].Exprs = []Expr{{Meta: &Meta{Key: "mark", Reg: 5}}} },
		"20 bytes do not go into register 23": func(t *Table) {
			t.Chains[0].Rules[0].Exprs = []Expr{{Immediate: &Immediate{Reg: 23, Data: make([]byte, 20)}}}
		},
		"there are two of this name":    func(t *Table) { t.Sets[1].Name = "blocked" },
		"there is no type":              func(t *Table) { t.Sets[1].Key = []string{"x"} },
		"a set with ranges has no size": func(t *Table) { t.Sets[0].Size = 9 },
		"ranges of mark are not": func(t *Table) {
			t.Sets = append(t.Sets, Set{Name: "m", Key: []string{TypeMark}, Interval: true})
		},
	} {
		table := base()
		spoil(&table)
		p := table.Problems()
		text := fmt.Sprint(p)
		if !strings.Contains(text, want) {
			t.Errorf("want %q, got %v", want, text)
		}
	}
	if p := base().Problems(); p != nil {
		t.Error(p)
	}
}
