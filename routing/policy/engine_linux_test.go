package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// policyWorld moves the test into a machine with two NICs, a tunnel's device, and somebody else's rule.
func policyWorld(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	for _, dev := range []string{"eth0", "eth1", "tun0"} {
		nstest.IP(t, "link add "+dev+" type veth peer name far-"+dev)
		nstest.IP(t, "link set far-"+dev+" addrgenmode none")
		nstest.IP(t, "link set "+dev+" addrgenmode none")
		nstest.IP(t, "link set "+dev+" up")
		nstest.IP(t, "link set far-"+dev+" up")
	}
	for _, line := range []string{
		"addr add 192.0.2.2/24 dev eth0", "-6 addr add 2001:db8::2/64 dev eth0 nodad", "addr add 198.51.100.2/24 dev eth1", "-6 addr add 2001:db8:1::2/64 dev eth1 nodad",
		"route add default via 192.0.2.1 metric 100 proto dhcp", "route add default via 198.51.100.1 metric 200 proto dhcp",
		"-6 route add default via 2001:db8::1 metric 100 proto ra", "-6 route add default via 2001:db8:1::1 metric 200 proto ra",
		"rule add pref 25200 from 192.0.2.0/24 table 77 proto static", "route add blackhole 10.0.0.0/8 table 77",
	} {
		nstest.IP(t, line)
	}
}

func policyState(t *testing.T) string {
	return strings.Join([]string{nstest.IP(t, "rule"), nstest.IP(t, "-6 rule"), nstest.IP(t, "route show table all type unicast"), nstest.IP(t, "-6 route show table all type unicast"),
		nstest.IP(t, "route show table all type unreachable"), nstest.IP(t, "-6 route show table all type unreachable")}, "--\n")
}

func policyFacts(t *testing.T) *facts.Facts {
	t.Helper()
	r, err := facts.OpenReader()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := r.Read(t.Context(), facts.AllParts)
	if err != nil {
		t.Fatal(err)
	}
	return &facts.Facts{Links: slices.Clone(l.Links), Addrs: slices.Clone(l.Addrs), Routes: slices.Clone(l.Routes), Rules: slices.Clone(l.Rules)}
}

func policyEngine(store *provision.Store) *provision.Engine {
	return &provision.Engine{
		Resources: map[string]provision.Resource{route.Kind: route.Resource{}, rule.Kind: rule.Resource{}},
		Store:     store, Clock: enginetest.NewClock(),
	}
}

// goals are what is wanted one after the other: replies and a tunnel, then other numbers of both, then
// replies alone.
func policyGoals(t *testing.T) []provision.Desired {
	t.Helper()
	f := policyFacts(t)
	var out []provision.Desired
	for _, in := range []Input{
		{Facts: f, Config: Config{PerNICReplies: true}, Tunnels: []string{"tun0"}},
		{Facts: f, Config: Config{PerNICReplies: true, ReplyPrimary: true, Rules: []Rule{{From: "192.0.2.2", Table: 77}}}, Tunnels: []string{"tun0"}, Names: map[uint32]string{15800: "office"}},
		{Facts: f, Config: Config{PerNICReplies: true}},
	} {
		n := allocated(t, in)
		d, err := Plan(in, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, dev := range in.Tunnels {
			d.Wants = append(d.Wants, n.Tunnel(dev).Wants()...)
		}
		out = append(out, d)
	}
	return out
}

// The engine over both kinds: applied, again for nothing, changed, pruned, reverted to where it was.
func TestUnderTheEngine(t *testing.T) {
	policyWorld(t)
	start := policyState(t)
	e := policyEngine(enginetest.NewMemFiles().Store())
	for i, d := range policyGoals(t) {
		res, err := e.Apply(t.Context(), d, provision.ApplyOptions{})
		if err != nil || res.Writes == 0 {
			t.Fatalf("goal %d: %d writes, %v", i, res.Writes, err)
		}
		after := policyState(t)
		if res, err = e.Apply(t.Context(), d, provision.ApplyOptions{}); err != nil || res.Writes != 0 || policyState(t) != after {
			t.Errorf("goal %d again: %d writes, %v", i, res.Writes, err)
		}
		// As many as are wanted, and no others.
		wants := map[string]int{}
		for _, w := range d.Wants {
			wants[w.Kind]++
		}
		if got := strings.Count(nstest.IP(t, "rule")+nstest.IP(t, "-6 rule"), "proto 158"); got != wants[rule.Kind] {
			t.Errorf("goal %d: %d rules of ours, wanted %d:\n%s", i, got, wants[rule.Kind], after)
		}
		if got := strings.Count(nstest.IP(t, "-4 route show table all proto 158")+nstest.IP(t, "-6 route show table all proto 158"), "\n"); got != wants[route.Kind] {
			t.Errorf("goal %d: %d routes of ours, wanted %d:\n%s", i, got, wants[route.Kind], after)
		}
	}
	if _, err := e.Revert(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if now := policyState(t); now != start {
		t.Errorf("reverted:\n%s\nstart:\n%s", now, start)
	}
}

// With the state directory lost, what is found of our own counts as ours and goes with a revert.
func TestLostState(t *testing.T) {
	policyWorld(t)
	start := policyState(t)
	d := policyGoals(t)[0]
	if _, err := policyEngine(enginetest.NewMemFiles().Store()).Apply(t.Context(), d, provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	e := policyEngine(enginetest.NewMemFiles().Store())
	if _, err := e.Apply(t.Context(), d, provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Revert(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if now := policyState(t); now != start {
		t.Errorf("reverted:\n%s\nstart:\n%s", now, start)
	}
}

// A failure before and after every effect ends where it began, and a crash is gone back on by the
// next process.
func TestFailuresUnderTheEngine(t *testing.T) {
	for _, fault := range []enginetest.Fault{enginetest.FailBefore, enginetest.FailAfter, enginetest.CrashAfter} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			policyWorld(t)
			goals := policyGoals(t)
			for at := 0; ; at++ {
				files := enginetest.NewMemFiles()
				e := policyEngine(files.Store())
				if _, err := e.Apply(t.Context(), goals[0], provision.ApplyOptions{}); err != nil {
					t.Fatal(err)
				}
				start := policyState(t)
				inj := &enginetest.Injector{At: at, Fault: fault}
				var err error
				crashed := enginetest.Crashes(func() { _, err = inj.Wrap(e).Apply(t.Context(), goals[1], provision.ApplyOptions{}) })
				hit := inj.N > at
				if crashed {
					if _, err := policyEngine(files.Store()).Recover(t.Context()); err != nil {
						t.Fatalf("effect %d: cannot recover: %v", at, err)
					}
				} else if hit && !errors.Is(err, enginetest.ErrInjected) {
					t.Fatalf("effect %d: %v", at, err)
				}
				if now := policyState(t); hit && sorted(now) != sorted(start) {
					t.Fatalf("effect %d ended at\n%s\nstart\n%s", at, now, start)
				}
				if _, err := policyEngine(files.Store()).Revert(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				if !hit {
					if at < 4 {
						t.Errorf("only %d effects", at)
					}
					return
				}
			}
		})
	}
}

// sorted leaves aside the order among rules of one priority, which are for different addresses.
func sorted(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
