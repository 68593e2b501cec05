//go:build lab && linux

package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// repairLimit is generous: two busy processors are no reason to fail. How long it took is logged.
const repairLimit = 10 * time.Second

// state is what the watch has to keep.
func (w *world) state() string {
	return w.table() + w.sh("ip rule; ip -6 rule; ip route show table 120; ip -6 route show table 120; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding")
}

// repaired waits until the state is the wanted one again, and says how long that took.
func (w *world) repaired(t *testing.T, want string, begin time.Time) time.Duration {
	t.Helper()
	var at time.Duration
	lab.Await(t, repairLimit, func() error {
		at = time.Since(begin)
		if got := w.state(); got != want {
			return fmt.Errorf("it is not back:\n%s", difference(want, got))
		}
		return nil
	})
	return at
}

func TestWatchRepairs(t *testing.T) {
	w := newWorld(t)
	w.plug()
	w.config(router)
	w.must(0, "apply")
	want := w.state()
	running := w.watch()
	for _, c := range []struct{ name, do, log, who string }{
		{"ruleset flushed", "nft flush ruleset", "nft:inet provision", "nft"},
		{"table deleted", "nft delete table inet provision", "nft:inet provision", "nft"},
		{"rule deleted", "nft delete rule inet provision forward.inside.outside handle $(nft -a list chain inet provision forward.inside.outside | sed -n 's/.*out\" # handle //p')", "nft:inet provision", "nft"},
		{"foreign rule and chain in our table", "printf 'insert rule inet provision forward accept\nadd chain inet provision other\n' | nft -f -", "nft:inet provision", "nft"},
		{"forwarding of IPv4 off", "sysctl -qw net.ipv4.ip_forward=0", "net.ipv4.ip_forward", ""},
		{"forwarding of IPv6 off", "sysctl -qw net.ipv6.conf.all.forwarding=0", "net.ipv6.conf.all.forwarding", ""},
		{"policy rule deleted", "ip rule del to 10.20.0.0/16 table 120", "rule:", "ip"},
		{"policy rule of IPv6 deleted", "ip -6 rule del to 2001:db8:20::/48 table 120", "rule:", "ip"},
		{"route deleted", "ip route del 10.20.0.0/16 table 120", "route:", "ip"},
		{"route of IPv6 deleted", "ip -6 route del 2001:db8:20::/48 table 120", "route:", "ip"},
		{"its device was down", "ip link set wlan0 down; ip link set wlan0 up; ip addr add 2001:db8:1::2/64 dev wlan0", "route:", ""},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			mark, begin := running.log.len(), time.Now()
			w.sh(c.do)
			done := time.Since(begin)
			took := w.repaired(t, want, begin)
			lab.Await(t, 2*time.Second, func() error {
				said := running.since(mark)
				for line := range strings.Lines(said) {
					// A process that was quick has ended before its name could be read; nf_tables itself tells the name.
					by := strings.Contains(line, `by="`+c.who+`, process `) || c.who == "ip" && strings.Contains(line, ", which has ended")
					if strings.Contains(line, "repaired") && strings.Contains(line, c.log) && (c.who == "" || by) {
						return nil
					}
				}
				return fmt.Errorf("no repair of %s by %q is told:\n%s", c.log, c.who, said)
			})
			t.Logf("back %v after the command began, which took %v itself", took.Round(time.Millisecond), done.Round(time.Millisecond))
		})
	}
	// The flap took the default routes with it, which are not ours to keep.
	w.sh("ip route replace default via 198.51.100.1; ip route replace default via 2001:db8:1::1")
	w.sh("ip neigh replace 198.51.100.1 lladdr 02:00:00:00:01:02 dev wlan0; ip neigh replace 2001:db8:1::1 lladdr 02:00:00:00:01:02 dev wlan0")
	w.passes("repaired", hidden4, hidden6)
	if out := w.must(0, "watch", "--status"); !strings.Contains(out, "keep") {
		t.Errorf("the status: %s", out)
	}
	if out := w.must(0, "watch", "--metrics"); !strings.Contains(out, "keep") {
		t.Errorf("the metrics: %s", out)
	}
	if out := w.must(64, "watch", "--preset", "moon"); !strings.Contains(out, "moon") {
		t.Errorf("an unknown preset: %s", out)
	}

	running.kill9()
	w.sh("nft flush ruleset; ip rule flush protocol 158; sysctl -qw net.ipv4.ip_forward=0")
	begin := time.Now()
	running = w.watch() // the socket of the dead one is in its way
	took := w.repaired(t, want, begin)
	t.Logf("killed, and started again: all is back %v after the start", took.Round(time.Millisecond))

	// Another one does not begin beside it.
	if out, msg, code := w.run(nil, "timeout", "10", program, "watch"); code == 0 || code == 124 {
		t.Errorf("a second watch: status %d, %s%s", code, out, msg)
	}

	// A new policy is kept from then on, and nothing of it once it is reverted.
	w.config(strings.Replace(router, "action: reject", "action: deny", 1))
	w.must(0, "apply")
	want = w.state()
	w.sh("nft flush ruleset")
	w.repaired(t, want, time.Now())
	mark := running.log.len()
	w.must(0, "revert")
	w.sh("nft add table inet other") // an event that the watch looks at
	lab.Await(t, 5*time.Second, func() error {
		if _, _, code := w.run(nil, "nft", "delete", "table", "inet", "other"); code != 0 {
			return fmt.Errorf("the table of others is gone")
		}
		return nil
	})
	if got := w.table(); got != "" || strings.Contains(running.since(mark), "repaired") {
		t.Errorf("after the revert: table %q, the watch says %s", got, running.since(mark))
	}
}

func TestWatchOnce(t *testing.T) {
	w := newWorld(t)
	w.plug()
	w.config(router)
	w.must(0, "apply")
	want := w.state()
	w.sh("nft flush ruleset; ip -6 rule flush protocol 158; ip route flush table 120; sysctl -qw net.ipv6.conf.all.forwarding=0")
	w.must(0, "watch", "--once")
	if got := w.state(); got != want {
		t.Errorf("watch --once leaves:\n%s", difference(want, got))
	}
	w.must(0, "plan", "--exit-code")
}
