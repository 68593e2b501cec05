package watch

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

const twoNICs = `
	link lo up arphrd 772
	link eth0 up mac 02:00:00:00:00:00
	link eth1 up mac 02:00:00:00:00:01
	addr eth0 10.0.0.10/20
	addr eth1 10.0.1.20/20
	addr eth1 10.0.1.21/32
	route default via 10.0.0.1 dev eth0 proto 16
	route 10.0.0.0/20 dev eth0
`

func TestTables(t *testing.T) {
	for _, tt := range []struct {
		name, state, want string
		job               Tables
	}{
		{name: "all is well", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute default via 10.0.0.1 dev eth1 table 2"},
		{name: "no rule, no need", state: twoNICs + "route 10.0.0.1 dev eth1 table 2"},
		{
			name: "the host on the link, not main's device", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2",
			want: "route 0.0.0.0/0 via 10.0.0.1 eth1 table 2",
		},
		{
			name: "for pods, whose addresses no device has", state: twoNICs + "rule 4 from 10.0.9.77 lookup 2\nroute 10.0.0.1 dev eth1 table 2",
			want: "route 0.0.0.0/0 via 10.0.0.1 eth1 table 2",
		},
		{
			name: "our own address is no gateway", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.1.21 dev eth1 table 2\nroute 10.0.0.1 dev eth1 table 2",
			want: "route 0.0.0.0/0 via 10.0.0.1 eth1 table 2",
		},
		{name: "its device is down", state: strings.Replace(twoNICs, "link eth1 up", "link eth1", 1) + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2"},
		{name: "a device that is not ours", state: twoNICs + "link pod0 up kind veth\nrule 4 from 10.0.9.77 lookup 101\nroute 10.0.9.77 dev pod0 table 101",
			want: "note IPv4 table 101: default route: IPv4 table 101 has no default route though a rule points to it, and its hosts on the link do not tell which one is the gateway: it is left alone"},
		{name: "two hosts", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute 10.0.0.2 dev eth1 table 2",
			want: "note IPv4 table 2: default route: IPv4 table 2 has no default route though a rule points to it, and its hosts on the link do not tell which one is the gateway: it is left alone"},
		{
			name: "the connected network, and the NIC's own gateway in main", state: twoNICs + "rule 4 from 10.0.1.20 lookup 7\nroute 10.0.0.0/20 dev eth1 table 7\nroute default via 10.0.0.3 dev eth1 metric 512 proto 16\nroute default via 10.0.0.4 dev eth1 metric 600 proto 16",
			want: "route 0.0.0.0/0 via 10.0.0.3 eth1 table 7",
		},
		{
			name: "never main's gateway of another NIC", state: twoNICs + "rule 4 from 10.0.1.20 lookup 7\nroute 10.0.0.0/20 dev eth1 table 7",
			want: "note IPv4 table 7: default route: IPv4 table 7 has no default route though a rule points to it, and nothing tells the gateway behind eth1: it is left alone",
		},
		{
			name: "the first address, where it is so", job: Tables{First4: true}, state: twoNICs + "rule 4 from 10.0.1.20 lookup 7\nroute 10.0.0.0/20 dev eth1 table 7",
			want: "route 0.0.0.0/0 via 10.0.0.1 eth1 table 7",
		},
		{
			name: "an empty table, by the rules' addresses", job: Tables{First4: true}, state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nrule 4 from 10.0.1.21 lookup 2\nrule 4 from 10.0.9.77 lookup 2",
			want: "route 10.0.0.1/32 eth1 table 2; route 0.0.0.0/0 via 10.0.0.1 eth1 table 2",
		},
		{
			name: "an empty table, by another table of the NIC", state: twoNICs + "rule 4 from 10.0.1.21 lookup 3\nrule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.7 dev eth1 table 2\nroute default via 10.0.0.7 dev eth1 table 2",
			want: "route 10.0.0.7/32 eth1 table 3; route 0.0.0.0/0 via 10.0.0.7 eth1 table 3",
		},
		{
			name: "rules of two devices", job: Tables{First4: true}, state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nrule 4 from 10.0.0.10 lookup 2",
			want: "note IPv4 table 2: default route: IPv4 table 2 has no default route though a rule points to it, and the rules pointing to it are for addresses on several devices: it is left alone",
		},
		{
			name: "a rule that names the device", job: Tables{First4: true}, state: twoNICs + "rule 4 oif eth1 lookup 2",
			want: "route 10.0.0.1/32 eth1 table 2; route 0.0.0.0/0 via 10.0.0.1 eth1 table 2",
		},
		{
			name: "only a mark", job: Tables{First4: true}, state: twoNICs + "rule 4 lookup 2004",
			want: "note IPv4 table 2004: default route: IPv4 table 2004 has no default route though a rule points to it, and neither it nor the rules say which device it belongs to: it is left alone",
		},
		{name: "a table to be left alone", job: Tables{Except: []uint32{2}}, state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2"},
		{name: "a rule that wants no default route", state: twoNICs + "rule 4 lookup 2 suppress 0\nroute 10.0.0.1 dev eth1 table 2"},
		{name: "main, default and local", state: "link eth0 up\nrule 4 lookup 254\nrule 4 lookup 253\nrule 4 lookup 255\nrule 4 lookup 0"},
		{name: "closed on purpose", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute default type unreachable table 2 metric 4278198272"},
		{name: "a worse metric is a default route too", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute default via 10.0.0.1 dev eth1 table 2 metric 900"},
		{
			name: "IPv6 by its host", state: twoNICs + "rule 6 from 2001:db8::20 lookup 2\nroute 2001:db8::1 dev eth1 table 2\nroute fe80::/64 dev eth1 table 2\nroute ff00::/8 dev eth1 table 2",
			want: "route ::/0 via 2001:db8::1 eth1 table 2 metric 1024",
		},
		{
			name: "IPv6 by the configuration", job: Tables{Gateway6: netip.MustParseAddr("fe80:ec2::1")}, state: twoNICs + "addr eth1 2001:db8::20/64\nrule 6 from 2001:db8::20 lookup 2",
			want: "route ::/0 via fe80:ec2::1 eth1 table 2 metric 1024",
		},
		{
			name: "IPv4 and IPv6 are two tables", state: twoNICs + "rule 6 from 2001:db8::20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute default -6 dev eth1 table 2",
		},
		{
			name: "a copy of main's default route is told", state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute default via 10.0.0.1 dev eth0 table 2",
			want: "note IPv4 table 2: default route: IPv4 table 2 sends everything to 10.0.0.1, a copy of the main table's default route, but its own host on the link is 10.0.0.1 on eth1",
		},
		{
			name: "and replaced on request, in its place", job: Tables{FixCopies: true}, state: twoNICs + "rule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute default via 10.0.0.1 dev eth0 table 2 metric 5",
			want: "route 0.0.0.0/0 via 10.0.0.1 eth1 table 2 metric 5",
		},
		{
			name: "another device's default route is no copy", job: Tables{FixCopies: true}, state: twoNICs + "link wg0 up kind wireguard arphrd 65534\nrule 4 from 10.0.1.20 lookup 2\nroute 10.0.0.1 dev eth1 table 2\nroute default dev wg0 table 2",
		},
		{
			name: "patterns", job: Tables{Interfaces: []string{"ens*"}}, state: "link ens6 up kind veth\nlink eth1 up\nrule 4 lookup 2\nrule 4 lookup 3\nroute 10.0.0.1 dev ens6 table 2\nroute 10.0.0.1 dev eth1 table 3",
			want: "route 0.0.0.0/0 via 10.0.0.1 ens6 table 2\nnote IPv4 table 3: default route: IPv4 table 3 has no default route though a rule points to it, and its hosts on the link do not tell which one is the gateway: it is left alone",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.state)
			for range 2 { // a look changes nothing
				got := tt.job.Look(s)
				if text(s, got) != tt.want {
					t.Errorf("got\n%s\nwant\n%s", text(s, got), tt.want)
				}
				for _, r := range got {
					for _, rt := range r.Routes {
						if rt.Proto != facts.ProtoOurs {
							t.Errorf("protocol %d", rt.Proto)
						}
					}
				}
			}
		})
	}
}

// What a table had is known when it is empty, also after a restart, and by the device's name.
func TestTablesRemember(t *testing.T) {
	const rules = "rule 4 from 10.0.9.77 lookup 2\n"
	healthy := twoNICs + rules + "route 10.0.0.1 dev eth1 table 2\nroute default via 10.0.0.1 dev eth1 table 2 metric 20 src 10.0.1.20"
	first := &Tables{}
	if got := first.Look(parse(t, healthy)); got != nil {
		t.Fatal(got)
	}
	state, changed := first.Remember()
	if !changed {
		t.Fatal("nothing to remember")
	}
	if _, again := first.Remember(); again {
		t.Error("changed twice")
	}
	first.Look(parse(t, healthy))
	if _, again := first.Remember(); again {
		t.Error("the same state is a change")
	}
	kept, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	reborn := func() *Tables {
		j := &Tables{}
		if err := j.Recall(kept); err != nil {
			t.Fatal(err)
		}
		return j
	}
	whole := "route 10.0.0.1/32 eth1 table 2; route 0.0.0.0/0 via 10.0.0.1 eth1 table 2 metric 20"
	for _, tt := range []struct{ name, state, want string }{
		{"empty", twoNICs + rules, whole},
		{"the host is there", twoNICs + rules + "route 10.0.0.1 dev eth1 table 2", "route 0.0.0.0/0 via 10.0.0.1 eth1 table 2 metric 20"},
		{"down", strings.Replace(twoNICs, "link eth1 up", "link eth1", 1) + rules, ""},
		{"another index", "link gone up\n" + twoNICs + rules, whole},
		{"another NIC of that name", strings.Replace(twoNICs, "00:01", "00:99", 1) + rules,
			"note IPv4 table 2: default route: IPv4 table 2 has no default route though a rule points to it, and neither it nor the rules say which device it belongs to: it is left alone"},
		{"another gateway on the link by now", twoNICs + rules + "route 10.0.0.9 dev eth1 table 2", "route 0.0.0.0/0 via 10.0.0.9 eth1 table 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.state)
			if got := text(s, reborn().Look(s)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	// The source address is kept only while it exists.
	s := parse(t, twoNICs+rules)
	if got := reborn().Look(s); got[0].Routes[1].Src.String() != "10.0.1.20" {
		t.Errorf("source %v", got[0].Routes[1].Src)
	}
	s = parse(t, strings.Replace(twoNICs, "addr eth1 10.0.1.20/20", "", 1)+rules)
	if got := reborn().Look(s); got[0].Routes[1].Src.IsValid() {
		t.Errorf("source %v", got[0].Routes[1].Src)
	}
	// A gateway of main is known after its route went with the link.
	j := &Tables{}
	j.Look(parse(t, twoNICs+"route default via 10.0.0.3 dev eth1 metric 512 proto 16"))
	s = parse(t, twoNICs+"rule 4 from 10.0.1.20 lookup 7\nroute 10.0.0.0/20 dev eth1 table 7")
	if got := text(s, j.Look(s)); got != "route 0.0.0.0/0 via 10.0.0.3 eth1 table 7" {
		t.Errorf("got %s", got)
	}
	// A table that has lost and won routes is learnt anew.
	j = reborn()
	j.Look(parse(t, twoNICs+rules+"route default via 10.0.0.5 dev eth1 table 2"))
	s = parse(t, twoNICs+rules)
	if got := text(s, j.Look(s)); got != "route 0.0.0.0/0 via 10.0.0.5 eth1 table 2" {
		t.Errorf("got %s", got)
	}
	// One whose default route goes by a device that is not ours spoils nothing.
	j = reborn()
	j.Look(parse(t, twoNICs+rules+"link wg0 up kind wireguard\nroute 10.0.0.1 dev eth1 table 2\nroute default dev wg0 table 2"))
	s = parse(t, twoNICs+rules)
	if got := text(s, j.Look(s)); got != whole {
		t.Errorf("got %s", got)
	}
	if err := (&Tables{}).Recall([]byte("{")); err == nil {
		t.Error("nonsense is recalled")
	}
}
