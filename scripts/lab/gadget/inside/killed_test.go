//go:build lab && linux

package inside

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// full says whether there is time for everything.
func full() bool { return os.Getenv("PROVISION_LAB_FULL") != "" }

// alone has the command without a server, and nothing of it left when the test ends.
func alone(t *testing.T, config string) *pi {
	t.Helper()
	p := &pi{t: t}
	p.configure(config)
	if err := os.MkdirAll("/run/openrc", 0o755); err != nil { // as newPi has it
		t.Fatal(err)
	}
	t.Cleanup(func() {
		bed.Try("provision gadget down")
		bed.Wipe(t)
		bed.Sh(t, "provision revert --force > /dev/null 2>&1; rm -rf /var/lib/provision "+configFile)
	})
	return p
}

// killed runs `provision gadget ...` so that it dies by SIGKILL at its nth change to configfs. False: it has not so many, and is done.
func killed(t *testing.T, n int, when, what string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "provision-faulty", "gadget", what)
	cmd.Env = append(os.Environ(), "PROVISION_CRASH_AT_WRITE="+strconv.Itoa(n), "PROVISION_CRASH_WHEN="+when)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ctx.Err() != nil || s.Signal() != syscall.SIGKILL {
		t.Fatalf("gadget %s, to be killed %s write %d: %v\n%s", what, when, n, err, out)
	}
	return true
}

func (p *pi) must(args ...string) string {
	p.t.Helper()
	out, code := p.run(args...)
	if code != 0 {
		p.t.Fatalf("%s: status %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// whens are the moments at which a write may be the last.
func whens() []string {
	if full() {
		return []string{"after", "before"}
	}
	return []string{[]string{"after", "before"}[rand.IntN(2)]}
}

// TestKilledAnywhere kills the command at every one of its writes to configfs, or at a third of them that is drawn, on the way up and on the way down: the next run finishes what
// that began, and the host has the whole gadget, or nothing is left.
func TestKilledAnywhere(t *testing.T) {
	bed.Controllers(t, 1)
	p := alone(t, "gadget: {profile: rescue}")
	drivers := []string{"cdc_acm", "cdc_acm"}
	if full() { // with a network interface it is three times the work of an emulated processor
		p.configure("gadget: {profile: custom, functions: [{type: ncm}]}")
		drivers = []string{"cdc_ncm", "cdc_ncm"}
	}
	p.must("gadget", "up")
	bed.Plugged(t, 0, drivers...)
	whole := bed.Tree(t, "provision")
	p.must("gadget", "down")
	step, first := 1, 1
	if !full() { // a third of them, another one each time
		step, first = 3, 1+rand.IntN(3)
	}
	for _, when := range whens() {
		ups, downs := 0, 0
		for n, up, down := first, true, true; up || down; n += step {
			if up {
				if up = killed(t, n, when, "up"); up {
					ups++
				}
			}
			p.must("gadget", "up")
			bed.Plugged(t, 0, drivers...)
			if now := bed.Tree(t, "provision"); now != whole {
				t.Errorf("up was killed %s write %d, and the next made\n%s\ninstead of\n%s", when, n, now, whole)
			}
			if own, err := os.ReadFile(bed.ConfigFS + "/provision/functions/ncm.usb0/dev_addr"); err == nil {
				if mac, err := os.ReadFile("/sys/class/net/usb0/address"); err != nil || !strings.HasPrefix(string(own), strings.TrimSpace(string(mac))) {
					t.Errorf("usb0 has %q (%v), the gadget %q", mac, err, own)
				}
			}
			if down {
				if down = killed(t, n, when, "down"); down {
					downs++
				}
			}
			p.must("gadget", "down")
			if left := bed.Gadgets(); len(left) > 0 {
				t.Fatalf("down was killed %s write %d, and the next leaves %v", when, n, left)
			}
			if _, err := os.Stat("/var/lib/provision/gadget.json"); err == nil {
				t.Errorf("down was killed %s write %d, and gadget.json is left", when, n)
			}
		}
		t.Logf("killed %s every %d. write from the %d. on: %d times up and %d down", when, step, first, ups, downs)
		if ups < 10/step || downs < 5/step {
			t.Errorf("only %d and %d deaths", ups, downs)
		}
	}
}

// TestKilledChange kills the command while it makes another gadget of one that is up, both ways.
func TestKilledChange(t *testing.T) {
	bed.Controllers(t, 1)
	profiles := []struct {
		name    string
		drivers []string
		tree    string
	}{
		{"windows", []string{"rndis_host", "rndis_host", "cdc_acm", "cdc_acm"}, ""},
		{"modern", []string{"cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm"}, ""},
	}
	p := alone(t, "gadget: {profile: modern}")
	for i := range profiles {
		p.configure("gadget: {profile: " + profiles[i].name + "}")
		p.must("gadget", "up")
		bed.Plugged(t, 0, profiles[i].drivers...)
		profiles[i].tree = bed.Tree(t, "provision")
	}
	step := 3
	if full() {
		step = 1
	}
	for _, when := range whens() {
		deaths := []int{0, 0}
		for n, going := 1, true; going; n += step {
			going = false
			for i, to := range profiles {
				p.configure("gadget: {profile: " + to.name + "}")
				if killed(t, n, when, "up") {
					going = true
					deaths[i]++
				}
				p.must("gadget", "up")
				bed.Plugged(t, 0, to.drivers...)
				if now := bed.Tree(t, "provision"); now != to.tree {
					t.Errorf("the way to %s was killed %s write %d, and the next run made\n%s\ninstead of\n%s", to.name, when, n, now, to.tree)
				}
			}
		}
		t.Logf("killed %s every %d. write: %d times to windows, %d to modern", when, step, deaths[0], deaths[1])
		if deaths[0] < 5 || deaths[1] < 5 {
			t.Errorf("only %v deaths", deaths)
		}
	}
}
