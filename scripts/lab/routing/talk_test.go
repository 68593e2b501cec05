//go:build lab && linux

package routing

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// talker never stops trying to send: each millisecond another one of its probes.
type talker struct {
	rounds atomic.Int64
	mark   atomic.Int64 // of the probes that lie about where they belong
	stop   chan struct{}
	ended  chan struct{}
}

// What the texts of UDP packets say of their sender.
const (
	ofClient = "client"
	ofBox    = "own"
	byDevice = "own by device" // bound to the way out: no routing table holds it
	byMark   = "own by mark"   // with the tunnel's own mark
)

var clientProbes = []probe{
	{kind: "udp", to: target4, port: 9, text: ofClient}, {kind: "udp", to: target6, port: 9, text: ofClient},
	{kind: "tcp", to: target4, port: 80}, {kind: "tcp", to: target6, port: 80},
	{kind: "tcp", to: target4, port: 22}, {kind: "udp", to: "198.51.100.1", port: 53, text: ofClient},
	{kind: "ping", to: target4}, {kind: "ping", to: target6},
}

var boxProbes = []probe{
	{kind: "udp", to: target4, port: 9, text: ofBox}, {kind: "udp", to: target6, port: 9, text: ofBox},
	{kind: "tcp", to: target4, port: 443}, {kind: "tcp", to: target6, port: 443},
	{kind: "udp", to: target4, port: 9, text: byDevice, dev: "wlan0"}, {kind: "udp", to: target6, port: 9, text: byDevice, dev: "wlan0"},
	{kind: "udp", to: target4, port: 9, text: byMark}, {kind: "udp", to: target6, port: 9, text: byMark},
}

// talk starts one. It has ended before the namespace does.
func talk(t *testing.T, ns *lab.NetNS, probes []probe) *talker {
	t.Helper()
	k := &talker{stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(k.ended)
		_ = ns.Do(func() error {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				for _, p := range probes {
					select {
					case <-k.stop:
						return nil
					case <-tick.C:
					}
					if p.text == byMark {
						p.mark = int(k.mark.Load())
					}
					_ = p.send()
				}
				k.rounds.Add(1)
			}
		})
	}()
	t.Cleanup(k.end)
	return k
}

func (k *talker) end() {
	select {
	case <-k.stop:
	default:
		close(k.stop)
	}
	<-k.ended
}

// guarded is a world with a kill switch: everybody talks all the time, and all that leaves is seen.
type guarded struct {
	*world
	out        *capture
	fromClient *talker
	fromBox    *talker
	mark, n    int
}

// wire plugs everything in, with the capture before anything can leave.
func (g *guarded) wire() {
	g.t.Helper()
	g.pair("wlan0", 2, g.net, "up0")
	g.out = newCapture(g.t, g.net, "up0")
	g.sh("ip link del wlan0")
	g.plug()
	g.out = newCapture(g.t, g.net, "up0")
}

// start has the box talk, which is another one after each boot.
func (g *guarded) start() {
	g.t.Helper()
	g.fromBox = talk(g.t, g.NetNS, boxProbes)
	g.fromBox.mark.Store(int64(g.mark))
}

func (g *guarded) down() {
	g.t.Helper()
	g.fromBox.end()
	g.reboot()
}

var fwmark = regexp.MustCompile(`fwmark (0x[0-9a-f]+)/`)

// learn reads the tunnel's mark from the rules.
func (g *guarded) learn() {
	g.t.Helper()
	m := fwmark.FindStringSubmatch(g.sh("ip rule"))
	if m == nil {
		g.t.Fatalf("no rule has a mark: %s", g.sh("ip rule"))
	}
	v, err := strconv.ParseInt(m[1], 0, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mark = int(v)
	g.fromBox.mark.Store(v)
}

// allowed is what may leave at any time: what gives the link its addresses, and what the tunnel sends.
func allowed(f frame) bool {
	switch f.kind {
	case "arp":
		return true
	case "icmp6": // router and neighbour discovery, multicast listeners
		return f.port >= 133 && f.port <= 136 || f.port == 131 || f.port == 132 || f.port == 143
	case "udp":
		return f.dst.String() == endpoint && f.port == 51820
	}
	return false
}

// sender is who sent a frame, as far as it tells.
func (f frame) sender() string {
	switch {
	case f.text != "":
		return f.text
	case f.kind == "tcp" && f.port == 443:
		return ofBox
	case f.kind == "tcp", f.kind == "icmp" && f.port == 8, f.kind == "icmp6" && f.port == 128:
		return ofClient
	}
	return "somebody"
}

// leaked is what left since a mark though it may not, by sender.
func (g *guarded) leaked(mark int) map[string][]frame {
	g.t.Helper()
	// Everybody has tried everything twice, and what was sent has arrived.
	c, b := g.fromClient.rounds.Load(), g.fromBox.rounds.Load()
	lab.Await(g.t, 20*time.Second, func() error {
		if g.fromClient.rounds.Load() < c+3 || g.fromBox.rounds.Load() < b+3 {
			return fmt.Errorf("nobody talks")
		}
		return nil
	})
	g.n++
	last := fmt.Sprintf("the last one %d", g.n)
	if err := g.Do(func() error { return probe{kind: "udp", to: endpoint, port: 51820, mark: g.mark, text: last}.send() }); err != nil {
		g.t.Fatalf("the tunnel's own packets are held: %v", err)
	}
	g.out.await(g.t, mark, last)
	out := map[string][]frame{}
	for _, f := range g.out.since(mark) {
		if !allowed(f) {
			out[f.sender()] = append(out[f.sender()], f)
		}
	}
	return out
}

// closed fails if anything leaks while or after f is done.
func (g *guarded) closed(t *testing.T, when string, f func()) {
	t.Helper()
	mark := g.out.mark()
	if f != nil {
		f()
	}
	if got := g.leaked(mark); len(got) > 0 {
		t.Errorf("%s: leaks %s", when, spans(got, time.Time{}))
	}
}

// spans tells of leaks: who, how many, and from when to when after begin.
func spans(leaks map[string][]frame, begin time.Time) string {
	var all []string
	for _, who := range []string{ofClient, ofBox, byDevice, byMark, "somebody"} {
		fs := leaks[who]
		if len(fs) == 0 {
			continue
		}
		text := fmt.Sprintf("%s: %d (%v", who, len(fs), fs[0])
		if !begin.IsZero() {
			text += fmt.Sprintf(", %v to %v", fs[0].at.Sub(begin).Round(100*time.Microsecond), fs[len(fs)-1].at.Sub(begin).Round(100*time.Microsecond))
		}
		all = append(all, text+")")
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, "; ")
}

// end is when the last of the leaks left, after begin.
func end(leaks map[string][]frame, begin time.Time) (last time.Duration) {
	for _, fs := range leaks {
		last = max(last, fs[len(fs)-1].at.Sub(begin))
	}
	return last
}

// through has the client reach the tunnel's far end, in both families.
func (g *guarded) through(t *testing.T, when string) {
	t.Helper()
	for _, to := range []string{target4, target6} {
		lab.Await(t, 20*time.Second, func() error {
			out, err := g.client.Call("ping", "-n", "-c", "1", "-W", "1", to)
			if err != nil {
				return fmt.Errorf("%s: not through the tunnel: %w %s\n%s", when, err, out, g.kernel())
			}
			return nil
		})
	}
}
