//go:build lab && linux

package lab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// The meter sees nothing on an idle machine, an outage of 300 ms as about 300 ms on the NIC that had it, and a dead stream.
func TestStreams(t *testing.T) {
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{})
	m := lab.Boot(t, lab.Root(t, "bookworm-netplan"), w, lab.BootOpts{})
	m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
	s := lab.Streams(t, w, lab.StreamOpts{})

	s.Mark("idle")
	<-time.After(2 * time.Second)
	s.Require(t, 100*time.Millisecond)
	if got := len(s.Longest()); got != 4 {
		t.Fatalf("%d streams", got)
	}

	s.Mark("outage")
	if _, err := w.ISP.Exec("sh", "-c", "tc qdisc add dev isp0 root pfifo limit 0 && sleep 0.3 && tc qdisc del dev isp0 root"); err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * time.Second) // TCP waits longer each time it sends again
	for name, st := range s.Longest() {
		if st.Real() < 280*time.Millisecond || st.For > 1500*time.Millisecond || st.Dead != "" {
			t.Errorf("after an outage of 300 ms: %s: %s", name, st)
		}
	}
	t.Log(s.Report())

	s.Mark("other NIC")
	w.SetCarrier("eth1", false)
	<-time.After(time.Second)
	on := s.Longest()[lab.OnLink4Stream]
	if on.Real() > 100*time.Millisecond {
		t.Errorf("the other NIC's cable has an effect: %s", on)
	}

	s.Mark("address lost")
	m.MustRun(t, "ip", "addr", "flush", "dev", "eth0", "scope", "global")
	<-time.After(500 * time.Millisecond)
	if st := s.Longest()[lab.OnLink4Stream]; st.Real() < 400*time.Millisecond {
		t.Errorf("without an address: %s", st)
	}
}

func TestMonitor(t *testing.T) {
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{})
	mon := w.Monitor(t)
	begin := time.Now()
	if _, err := w.Machine.Exec("ip", "addr", "add", "192.0.2.1/24", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	lab.Await(t, 5*time.Second, func() error {
		for _, c := range mon.Changes(begin) {
			if strings.Contains(c.Text, "inet 192.0.2.1/24") && c.At.Sub(begin).Abs() < 5*time.Second {
				return nil
			}
		}
		return errNotYet
	})
}
