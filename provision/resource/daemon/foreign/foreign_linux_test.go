package foreign

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

const world = `
ip link add eth0 type veth peer name peer0
ip link set eth0 up
ip link set peer0 up
ip addr add 10.0.2.15/24 dev eth0 valid_lft 3600 preferred_lft 3600
ip addr add 192.0.2.1/32 dev eth0 label eth0:x
ip -6 addr add 2001:db8::15/64 dev eth0 nodad
ip route add default via 10.0.2.2 dev eth0 proto dhcp metric 100
ip route add 198.51.100.0/24 via 10.0.2.9 dev eth0 metric 7 mtu 1400 advmss 1300
ip route add 198.51.100.0/24 via 10.0.2.8 dev eth0 table 77 proto static
ip route append 198.51.100.0/24 via 10.0.2.7 dev eth0 metric 7
ip route add 203.0.113.0/24 src 192.0.2.1 nexthop via 10.0.2.3 dev eth0 weight 2 nexthop via 10.0.2.4 dev eth0 weight 5
ip route add 10.99.0.1 dev eth0 scope link table 77
ip route add 10.98.0.0/16 via 10.99.0.1 dev eth0 table 77 onlink
ip route add unreachable 10.97.0.0/16 metric 4000 table 78
ip -6 route add 2001:db8:1::/48 via 2001:db8::9 dev eth0 pref high expires 900
ip -6 route add 2001:db8:2::/48 via 2001:db8::9 dev eth0 table 77
ip -6 route add blackhole 2001:db8:3::/48
ip rule add from 10.0.2.15 table 77 prio 100
ip rule add to 198.51.100.0/24 dport 22-23 ipproto tcp fwmark 0x10/0xff lookup 77 prio 101
ip rule add not iif eth0 lookup main suppress_prefixlength 0 prio 102
ip -6 rule add uidrange 5-9 lookup 77 prio 103
ip rule add prio 104 prohibit
`

const show = `
ip -d addr show dev eth0
ip -d route show table all
ip -d -6 route show table all
ip rule
ip -6 rule`

// TestSaveDestroyPutBack is judged by ip(8): its listing is the same before and after.
func TestSaveDestroyPutBack(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh(world)
	before := ns.Sh(show)

	var snap Snapshot
	var err error
	ns.Do(func() { snap, err = Take(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	var index int
	for _, m := range snap {
		if a, err := m.Address(); err == nil && a.Prefix.String() == "10.0.2.15/24" {
			index = a.Link
		}
	}
	set := snap.Split([]int{index}, nil)
	var leases []string
	for _, m := range set.Leases {
		if s := m.String(); strings.Contains(s, "10.0.2.") {
			leases = append(leases, s[:strings.IndexByte(s, ' ')])
		}
	}
	if strings.Join(leases, " ") != "address route route" {
		t.Errorf("leases: got %v, want the DHCP address, its on-link and its default route", leases)
	}
	j := Journal{filepath.Join(t.TempDir(), "state", "foreign.json")}
	if err := j.Write(set); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(j.Path); err != nil || st.Mode() != 0o600 {
		t.Fatalf("journal: %v %v, want mode 0600", st, err)
	}

	ns.Sh(`ip addr flush dev eth0 scope global
	       ip route flush table 77
	       ip route flush table 78
	       ip -6 route flush table 77
	       ip -6 route del blackhole 2001:db8:3::/48
	       ip rule del prio 100
	       ip rule del prio 101
	       ip rule del prio 102
	       ip rule del prio 104
	       ip -6 rule del prio 103`)
	if ns.Sh(show) == before {
		t.Fatal("nothing was destroyed")
	}

	set, ok, err := j.Read()
	if !ok || err != nil {
		t.Fatalf("journal: %v %v", ok, err)
	}
	ns.Do(func() { snap, err = Take(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	missing := snap.Missing(append(set.Leases, set.Foreign...))
	var sent []Message
	ns.Do(func() { sent, err = Send(missing, set.Since) })
	if err != nil {
		t.Error(err)
	}
	if len(sent) < 18 {
		t.Errorf("put back only %d: %v", len(sent), sent)
	}
	after := ns.Sh(show)
	if got, want := lines(after), lines(before); got != want {
		t.Errorf("after:\n%s\nbefore:\n%s", got, want)
	}
	ns.Do(func() { snap, err = Take(context.Background()) })
	if m := snap.Missing(set.Foreign); len(m) != 0 || err != nil {
		t.Errorf("still missing: %v %v", m, err)
	}
	if err := j.Remove(); err != nil {
		t.Error(err)
	}
	if _, ok, err := j.Read(); ok || err != nil {
		t.Errorf("after Remove: %v %v", ok, err)
	}
}

// lines drops the seconds that run down.
func lines(s string) string {
	var out []string
	for l := range strings.SplitSeq(s, "\n") {
		w := strings.Fields(l)
		for i := range w {
			if i > 0 && (w[i-1] == "expires" || w[i-1] == "valid_lft" || w[i-1] == "preferred_lft") &&
				w[i] != "forever" {
				w[i] = "running"
			}
		}
		out = append(out, strings.Join(w, " "))
	}
	return strings.Join(out, "\n")
}

func TestMovedStaticRouteIsNotMissing(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh(`ip link add eth0 type veth peer name peer0
	       ip link set eth0 up
	       ip addr add 10.0.2.15/24 dev eth0
	       ip route add default via 10.0.2.2 dev eth0 proto static metric 100
	       ip route add 10.9.0.0/16 via 10.0.2.2 dev eth0 proto static metric 100`)
	var snap Snapshot
	var err error
	ns.Do(func() { snap, err = Take(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	set := snap.Split(nil, nil)
	ns.Sh(`ip route add default via 10.0.2.2 dev eth0 proto static metric 1000
	       ip route del default via 10.0.2.2 dev eth0 proto static metric 100
	       ip route del 10.9.0.0/16`)
	ns.Do(func() { snap, err = Take(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	m := snap.Missing(set.Foreign)
	if len(m) != 1 || !strings.Contains(m[0].String(), "10.9.0.0/16") {
		t.Errorf("missing: %v, want only 10.9.0.0/16", m)
	}
}

func TestLifetimesRunDown(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh(world)
	var snap Snapshot
	ns.Do(func() { snap, _ = Take(context.Background()) })
	for _, m := range snap {
		a, err := m.Address()
		if err != nil || a.Permanent {
			continue
		}
		data, ok, err := m.replay(600)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		got, err := Message{m.Type, data}.Address()
		if err != nil || got.Valid < 2900 || got.Valid > 3000 {
			t.Errorf("%v: %d s left after 600 of 3600 (%v)", m, got.Valid, err)
		}
		if _, ok, _ := m.replay(3601); ok {
			t.Errorf("%v: sent back after its end", m)
		}
	}
}

func TestJournalOfAnotherBootAndBrokenOnes(t *testing.T) {
	p := filepath.Join(t.TempDir(), "foreign.json")
	j := Journal{p}
	if err := j.Write(Set{Boot: "another", Since: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := j.Read(); ok || err != nil {
		t.Errorf("another boot's set: %v %v", ok, err)
	}
	for _, text := range []string{"", "{", `{"foreign":[{"type":24,"data":"AAAA"}]}`, `{"foreign":[{"type":1,"data":""}]}`} {
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := j.Read(); err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("%q: got %v, want an error that names the file", text, err)
		}
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"boot":"x","foreign":[{"type":24,"data":"AhgAAP4DAAEAAAAACAABAAoAAgA="}]}`))
	f.Add([]byte(`{"leases":[{"type":20,"data":"AhiAAAIAAAAIAAIACgACDw=="},{"type":32,"data":"AgAAAP4AAAEAAAAA"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decode(b)
		if err != nil {
			return
		}
		snap := Snapshot(s.Foreign)
		set := snap.Split([]int{1, 2}, nil)
		for _, m := range snap.Missing(append(set.Foreign, set.Leases...)) {
			t.Errorf("%v is missing from itself", m)
		}
		for _, m := range s.Foreign {
			_, _ = m.Key(), m.String()
		}
	})
}
