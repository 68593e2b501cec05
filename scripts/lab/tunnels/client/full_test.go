//go:build lab && linux

package client

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
)

// Everything of both families leaves by the tunnel, over an endpoint of either, through a strict reverse
// path filter; the client's own network stays where it is; and when the device goes, nothing leaves
// beside it. Taken away, the machine is as it was.
func TestFull(t *testing.T) {
	for _, endpoint := range []string{far4 + ":51820", "[" + far6 + "]:51820"} {
		w := newWorld(t)
		before := w.state()
		w.apply(w.planned(tunnelFile(endpoint, own4+"/24, "+own6+"/64", "0.0.0.0/0, ::/0")))
		w.reaches(target4, true)
		w.reaches(target6, true)
		if got := w.client.Sh("ip route get 192.0.2.77"); !strings.Contains(got, "dev eth0") {
			t.Errorf("the own network: %s", got)
		}
		w.client.Sh("ip link set wg0 down")
		w.reaches(target4, false)
		w.reaches(target6, false)
		w.client.Sh("ip link set wg0 up")
		w.apply(provision.Desired{})
		if after := w.state(); after != before {
			t.Errorf("before:\n%safter:\n%s", before, after)
		}
	}
}

// A family that the tunnel does not carry does not leave beside it.
func TestHeld(t *testing.T) {
	w := newWorld(t)
	w.apply(w.planned(tunnelFile(far4+":51820", own4+"/24", "0.0.0.0/0")))
	w.reaches(target4, true)
	w.reaches(target6, false)
	if out, err := w.client.Try("ping -n -c 1 -W 1 2001:db8:1::1"); err != nil {
		t.Errorf("the own network: %s", out)
	}
}

// Only what the peer has goes by it.
func TestSplit(t *testing.T) {
	w := newWorld(t)
	w.far.Sh("ip addr add 10.20.0.1/16 dev lo\nip addr add fd20::1/64 dev lo")
	w.apply(w.planned(tunnelFile(far4+":51820", own4+"/24, "+own6+"/64", "10.97.98.0/24, 10.20.0.0/16, fd20::/48")))
	w.reaches("10.97.98.1", true)
	w.reaches("10.20.0.1", true)
	w.reaches("fd20::1", true)
	if got := w.client.Sh("ip route get " + target4); !strings.Contains(got, "dev eth0") {
		t.Errorf("the rest: %s", got)
	}
	if got := w.client.Sh("sysctl -n net.ipv4.conf.all.src_valid_mark\nnft list ruleset"); strings.TrimSpace(got) != "0" {
		t.Errorf("for a split tunnel there is more: %s", got)
	}
}

// state is what may not change for good.
func (w *world) state() string {
	return w.client.Sh(`ip -4 rule
		ip -6 rule
		ip -4 route show table all
		sysctl net.ipv4.conf.all.src_valid_mark net.ipv4.conf.eth0.src_valid_mark net.ipv4.conf.eth0.rp_filter
		nft list ruleset`)
}
