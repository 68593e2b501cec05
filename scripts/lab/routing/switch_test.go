//go:build lab && linux

package routing

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

const guardedConfig = `
  zones:
    inside: {interfaces: [usb0]}
    vpn: {interfaces: [wg0], side: outside, masquerade: true, masquerade-ipv6: yes}
    outside: {interfaces: [wlan0], masquerade: true}
  firewall:
    rules:
      - {source-interface: inside, destination-interface: vpn, action: allow}
      - {source-interface: inside, destination-interface: outside, action: allow}
  kill-switch:
    tunnel: wg0
    endpoints: ["203.0.113.7:51820"]
    local-dns: "off"
`

// newGuarded is a box with the switch applied, its tunnel up, and everybody talking. Before that,
// all of it leaves: what is not seen later was held.
func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{world: newWorld(t)}
	g.wire()
	g.start()
	g.fromClient = talk(t, g.client, clientProbes)
	mark := g.out.mark()
	g.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	control := g.leaked(mark)
	for _, who := range []string{ofClient, ofBox, byDevice, byMark} {
		if len(control[who]) == 0 {
			t.Fatalf("of %q nothing leaves where nothing holds it: the test would show nothing; %s", who, spans(control, time.Time{}))
		}
	}
	g.tunnel()
	g.config(guardedConfig)
	g.must(0, "apply")
	g.learn()
	g.closed(t, "applied", nil)
	g.through(t, "applied")
	if out := g.must(0, "plan", "--exit-code"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the second plan: %s", out)
	}
	return g
}

// With the watch running, whatever is taken away: at most what nobody can hold leaks, until it is back.
func TestSwitchHolds(t *testing.T) {
	g := newGuarded(t)
	running := g.watch()
	g.closed(t, "watched", nil)
	for _, c := range []struct{ name, do string }{
		{"tunnel down", "ip link set wg0 down"},
		{"tunnel up", "ip link set wg0 up; ip addr replace fd66::2/64 dev wg0"},
		{"policy rules deleted", "ip rule flush protocol 158; ip -6 rule flush protocol 158"},
		{"routes deleted", "ip route flush table all proto 158; ip -6 route flush table all proto 158"},
		{"a default route beside the tunnel's", "ip route add 0.0.0.0/1 via 198.51.100.1; ip route add 128.0.0.0/1 via 198.51.100.1"},
		{"and away", "ip route del 0.0.0.0/1; ip route del 128.0.0.0/1"},
		{"forwarding off and on", "sysctl -qw net.ipv4.ip_forward=0; sysctl -qw net.ipv4.ip_forward=1"},
		{"accept in a table of others", "nft 'add table inet x; add chain inet x o { type filter hook output priority -500; }; add rule inet x o accept; add chain inet x f { type filter hook forward priority -500; }; add rule inet x f accept'"},
		{"and away", "nft delete table inet x"},
	} {
		g.closed(t, c.name, func() { g.sh(c.do) })
	}
	g.through(t, "after all of it")
	g.closed(t, "tunnel gone", func() { g.sh("ip link del wg0") })
	g.closed(t, "tunnel gone, forwarding on by hand", func() { g.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1") })
	g.closed(t, "tunnel back", g.tunnel)
	g.through(t, "tunnel back")

	for _, c := range []struct {
		name, do string
		routes   bool // left: they hold what goes by them
	}{
		{"ruleset flushed", "nft flush ruleset", true},
		{"accept before our guard", "printf 'insert rule inet provision guard-post accept\ninsert rule inet provision guard-output accept\ninsert rule inet provision guard-forward accept\n' | nft -f -", true},
		{"ruleset, rules and routes flushed", "nft flush ruleset; ip rule flush protocol 158; ip -6 rule flush protocol 158; ip route flush table all proto 158; ip -6 route flush table all proto 158", false},
	} {
		mark, before, said, begin := g.out.mark(), g.rules(), running.log.len(), time.Now()
		g.sh(c.do)
		took := time.Since(begin)
		lab.Await(t, repairLimit, func() error {
			if got := g.rules(); got != before {
				return errNotBack(difference(before, got))
			}
			return nil
		})
		leaks := g.leaked(mark)
		t.Logf("%s: the command took %v; until it was repaired left %s", c.name, took.Round(time.Millisecond), spans(leaks, begin))
		if last := end(leaks, begin); last > took+2*time.Second {
			t.Errorf("%s: it leaked for %v\n%s", c.name, last, running.since(said))
		}
		if c.routes && len(leaks[ofBox])+len(only(leaks[ofClient], target4, target6)) > 0 {
			t.Errorf("%s: what goes by the routes leaks as well: %s", c.name, spans(leaks, begin))
		}
		g.closed(t, c.name+", and repaired", nil)
		g.through(t, c.name+", and repaired")
	}

	// Nobody watches any more.
	running.kill9()
	for _, c := range []struct{ name, do string }{
		{"watch killed", "true"},
		{"policy rules deleted", "ip rule flush protocol 158; ip -6 rule flush protocol 158"},
		{"routes deleted", "ip route flush table all proto 158; ip -6 route flush table all proto 158"},
		{"tunnel gone", "ip link del wg0"},
		{"forwarding on by hand", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"},
	} {
		g.closed(t, "nobody watches: "+c.name, func() { g.sh(c.do) })
	}
	running = g.watch()
	g.closed(t, "watched again", nil)
	g.closed(t, "watched again, tunnel back", g.tunnel)
	g.through(t, "watched again")
	running.kill9()
	mark, before, begin := g.out.mark(), g.rules(), time.Now()
	g.sh("nft flush ruleset")
	leaks := g.leaked(mark)
	t.Logf("nobody watches: after a flush of the ruleset left %s", spans(leaks, begin))
	if len(leaks[ofBox])+len(only(leaks[ofClient], target4, target6)) > 0 {
		t.Errorf("nobody watches: after a flush what goes by the routes leaks: %s", spans(leaks, begin))
	}
	g.watch() // it answers before it has looked for the first time
	lab.Await(t, repairLimit, func() error {
		if got := g.rules(); got != before {
			return errNotBack(difference(before, got))
		}
		return nil
	})
	g.closed(t, "flushed, and watched again", nil)
	g.through(t, "flushed, and watched again")

	g.must(0, "revert")
	if got := g.table() + g.sh("{ ip rule; ip -6 rule; } | grep 'proto 158' || true; ip route show table all proto 158; ip -6 route show table all proto 158"); got != "" {
		t.Errorf("revert leaves %s", got)
	}
}

// rules is the table without what the switch has learnt.
func (g *guarded) rules() string {
	g.t.Helper()
	return strings.Join(slices.DeleteFunc(strings.Split(blocks(g.table()), "\n\n"), func(b string) bool { return strings.HasPrefix(b, "set guard-") }), "\n\n")
}

type errNotBack string

func (e errNotBack) Error() string { return "it is not back:\n" + string(e) }

// only are the frames to these addresses: the network's own name server is on the link, and no default route is asked for it.
func only(fs []frame, to ...string) (out []frame) {
	for _, f := range fs {
		for _, a := range to {
			if f.dst.String() == a {
				out = append(out, f)
			}
		}
	}
	return out
}

// A machine boots: nothing leaves before the tunnel is up, in whatever order things come.
func TestSwitchAtBoot(t *testing.T) {
	g := newGuarded(t)
	g.down()
	if out := g.must(0, "restore"); !strings.Contains(out, "kill switch: armed") {
		t.Errorf("restore says %s", out)
	}
	if got := g.sh("sysctl -n net.ipv4.ip_forward; ip rule | grep 'proto 158'"); strings.Count(got, "\n") < 3 {
		t.Errorf("restored without devices there is %s", got)
	}
	g.wire()
	g.start()
	g.closed(t, "boot: devices are there", nil)
	running := g.watch()
	g.closed(t, "boot: watched", nil)
	g.closed(t, "boot: tunnel up", g.tunnel)
	g.through(t, "boot: tunnel up")
	running.kill9()

	// The other way round: the machine forwards and talks when restore comes.
	g.down()
	g.wire()
	g.start()
	mark := g.out.mark()
	g.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	if got := g.leaked(mark); len(got[ofClient]) == 0 || len(got[ofBox]) == 0 {
		t.Fatalf("before restore nothing leaks: the test would show nothing; %s", spans(got, time.Time{}))
	}
	mark, begin := g.out.mark(), time.Now()
	g.must(0, "restore")
	took := time.Since(begin)
	leaks := g.leaked(mark)
	t.Logf("late restore: it took %v; meanwhile left %s", took.Round(time.Millisecond), spans(leaks, begin))
	if last := end(leaks, begin); last > took {
		t.Errorf("it leaks %v after restore began, and restore took %v", last, took)
	}
	g.closed(t, "late restore: tunnel up", g.tunnel)

	// What was committed cannot be read: nothing is forwarded.
	g.down()
	g.sh("echo broken > /var/lib/provision/kernel.json")
	g.wire()
	g.start()
	g.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	if out, msg, code := g.run(nil, program, "restore"); code == 0 {
		t.Errorf("restore of nonsense: status 0, %s%s", out, msg)
	}
	mark = g.out.mark()
	if got := g.leaked(mark); len(got[ofClient]) > 0 {
		t.Errorf("restore of nonsense: it forwards %s", spans(got, time.Time{}))
	}
}

// Openings end by themselves, with and without anybody who watches.
func TestSwitchOpens(t *testing.T) {
	g := newGuarded(t)
	g.sh("ip link del wg0") // signing in comes before the tunnel
	running := g.watch()
	g.closed(t, "watched", nil)
	const span = 3 * time.Second
	for _, c := range []struct {
		name     string
		args     []string
		kill     bool
		want     []string // must leave
		only     func(f frame) bool
		byPerson bool // closed by a person
	}{
		{"open for a time", []string{"--for", "3s"}, false, []string{ofClient, ofBox}, nil, false},
		{"open until closed", []string{"--for", "1h"}, false, []string{ofClient, ofBox}, nil, true},
		{"portal for a client", []string{"--portal", "--client", client4, "--for", "3s"}, false, []string{ofClient}, portal, false},
		{"portal for this machine", []string{"--portal", "--for", "3s"}, false, []string{ofBox}, portal, false},
		{"open for a time, watch killed", []string{"--for", "3s"}, true, []string{ofClient, ofBox}, nil, false},
		{"portal, watch killed", []string{"--portal", "--client", client4, "--for", "3s"}, true, []string{ofClient}, portal, false},
	} {
		mark, begin := g.out.mark(), time.Now()
		g.must(0, append([]string{"firewall", "open"}, c.args...)...)
		opened := time.Now()
		if c.kill {
			running.kill9()
		}
		leaks := g.leaked(mark)
		for _, who := range c.want {
			if len(leaks[who]) == 0 {
				t.Errorf("%s: nothing of %q leaves: %s", c.name, who, spans(leaks, begin))
			}
		}
		if c.only != nil {
			for who, fs := range leaks {
				for _, f := range fs {
					if !c.only(f) {
						t.Fatalf("%s: of %q leaves %v", c.name, who, f)
					}
				}
			}
		}
		if c.byPerson {
			// What opened it is put back with the table.
			before := g.rules()
			g.sh("nft flush ruleset")
			lab.Await(t, repairLimit, func() error {
				if got := g.rules(); got != before {
					return errNotBack(difference(before, got))
				}
				mark := g.out.mark()
				if got := g.leaked(mark); len(got[ofBox]) == 0 || len(got[ofClient]) == 0 || len(got[byDevice]) == 0 {
					return errNotBack("open by choice, after a flush leaves only " + spans(got, time.Time{}))
				}
				return nil
			})
			g.must(0, "firewall", "close")
			g.closed(t, c.name+": closed", nil)
			continue
		}
		// It is over when a whole round of everybody has left nothing.
		lab.Await(t, span+10*time.Second, func() error {
			mark := g.out.mark()
			if got := g.leaked(mark); len(got) > 0 {
				return errOpen(spans(got, begin))
			}
			return nil
		})
		all := g.leaked(mark)
		last := end(all, begin)
		t.Logf("%s: asked for %v, open for %v: %s", c.name, span, last.Round(10*time.Millisecond), spans(all, begin))
		if late := last - opened.Sub(begin) - span; late > 1500*time.Millisecond || last < span/2 {
			t.Errorf("%s: it was open for %v, asked for %v", c.name, last, span)
		}
		g.closed(t, c.name+": over", nil)
		if c.kill {
			running = g.watch()
			g.closed(t, c.name+": watched again", nil)
		}
	}
	g.must(0, "watch", "--status")
	g.must(0, "firewall", "check")
}

type errOpen string

func (e errOpen) Error() string { return "still open: " + string(e) }

// portal is what signing in to a captive portal needs.
func portal(f frame) bool {
	switch f.kind {
	case "tcp":
		return f.port == 80 || f.port == 443
	case "udp":
		return f.port == 53 && f.dst.String() == "198.51.100.1"
	}
	return false
}
