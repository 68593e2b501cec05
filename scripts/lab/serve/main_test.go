//go:build lab && linux

package serve

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// full widens the crash rig.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

// ours is the server under test.
var ours bed.Server

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // they wait for timers, not for the processor
	os.Exit(func() int {
		switch name := os.Getenv("PROVISION_SERVER"); name {
		case "dnsmasq":
			ours = bed.Dnsmasq{}
		case "kea":
			ours = bed.Kea{}
		case "", "provision":
			dir, err := os.MkdirTemp("", "provision-serve-")
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer os.RemoveAll(dir)
			binary, err := lab.Program(dir)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			ours = bed.Provision{Binary: binary}
		default:
			fmt.Fprintf(os.Stderr, "PROVISION_SERVER=%s: give dnsmasq, kea or provision\n", name)
			return 64
		}
		return m.Run()
	}())
}

// need is what each test of the package begins with.
func need(t *testing.T) {
	t.Helper()
	lab.Need(t, lab.Serve)
}

// onlyOurs is for what no other server has.
func onlyOurs(t *testing.T) bed.Provision {
	t.Helper()
	p, ok := ours.(bed.Provision)
	if !ok {
		t.Skipf("skipped: %s has no such thing", ours.Name())
	}
	return p
}

// dhcp is a configuration with a pool in one of the networks 10.N.0.0/24.
func dhcp(n byte) bed.Config {
	at := func(host byte) netip.Addr { return netip.AddrFrom4([4]byte{10, n, 0, host}) }
	return bed.Config{Net: netip.PrefixFrom(at(1), 24), First: at(100), Last: at(199), Lease: 2 * time.Minute}
}
