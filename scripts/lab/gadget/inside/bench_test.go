//go:build lab && linux

package inside

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// BenchmarkLease measures from the command that makes the gadget to the lease of the laptop's client: `provision gadget up` with the
// server running, and the usual shell script with dnsmasq, in turn. Each round prints a line that package scripts/bench/gadget reads.
func BenchmarkLease(b *testing.B) {
	bed.Controllers(b, 1)
	bed.Sh(b, `mkdir -p /run/openrc; printf 'version: 1\ngadget: {profile: custom, functions: [{type: ncm}]}\n' > `+configFile+`; chmod 600 `+configFile)
	serve := exec.Command("provision", "serve")
	if err := serve.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = serve.Process.Kill(); _ = serve.Wait() }()
	for {
		if _, code := bed.Try("provision status"); code == 0 {
			break
		}
	}
	script := bed.ByHandFile(b)
	ways := []struct{ name, up, down string }{
		{"provision", "provision gadget up", "provision gadget down"},
		{"script", script + " up ncm", script + " down"},
	}
	for round, lost := 0, 0; round <= b.N; round++ {
		line := ""
		for _, w := range ways {
			h := bed.NewHost(b)
			// The laptop's timers have steps of 4 ms and more. Begun at the same moment of them each time, as a clock that counts
			// instructions does, one of the two would have them always in its favour.
			time.Sleep(rand.N(100 * time.Millisecond))
			begin := time.Now()
			bed.Sh(b, w.up)
			made := time.Since(begin)
			var nic string
			soon(b, "the laptop has no NIC", func() bool {
				d, err := bed.Find(0)
				if err == nil {
					for _, i := range d.Interfaces() {
						nic = nic + i.NIC
					}
				}
				return nic != ""
			})
			h.Take(nic, "usb0")
			c := h.Client(b, "udhcpc", "usb0")
			if !h.Carrier("usb0", 5*time.Second) { // the laptop's own doing, see Host.Plug: this round does not count
				line += w.name + " lost "
			} else {
				soon(b, "the client has no lease", func() bool { return strings.Contains(c.Said(), " obtained from ") })
				line += fmt.Sprintf("\nlease %s %.1f %.1f\n", w.name, made.Seconds()*1000, time.Since(begin).Seconds()*1000)
				c.Bound(limit) // and it does what it says
			}
			c.Stop()
			bed.Sh(b, w.down)
			bed.Gone(b, 0)
		}
		switch {
		case strings.Contains(line, "lost"):
			round--
			if lost++; lost > b.N+3 {
				b.Fatalf("the laptop lost the carrier in %d rounds", lost)
			}
		case round > 0: // the first has cold caches
			fmt.Print(line)
		}
	}
}

// soon waits with a finer step than the tests do, and without programs that would take the processor from what is measured.
func soon(b *testing.B, what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s after %v", what, limit)
		}
	}
}
