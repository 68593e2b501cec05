package foreign

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft"
)

// A policy for routed packets drops what a bridge carries between its ports, in both families,
// until the bridge is exempt.
func TestBridgeNetfilter(t *testing.T) {
	for _, tool := range []string{"nft", "ping"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %s is not installed", tool)
		}
	}
	r, a, b := nstest.New(t), nstest.New(t), nstest.New(t)
	r.Sh("ip link add br0 type bridge\nip link set br0 up")
	for i, ns := range []*nstest.NS{a, b} {
		port := fmt.Sprintf("port%d", i)
		ns.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
		r.Pair(port, ns, "eth0")
		r.Sh("ip link set " + port + " master br0\nip link set " + port + " up")
		ns.Sh(fmt.Sprintf("ip link set eth0 up\nip addr add 10.9.0.%d/24 dev eth0\nip addr add fd09::%d/64 dev eth0 nodad", i+1, i+1))
	}
	s := Seen{Devices: []Device{{Name: "br0", Kind: "bridge"}}, Sysctl: map[string]string{}}
	r.Do(func() {
		v, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
		if err == nil {
			s.Sysctl["net.bridge.bridge-nf-call-iptables"] = strings.TrimSpace(string(v))
		}
	})
	if len(Bridged(s)) == 0 {
		t.Skip("skipped: this kernel gives no bridged frames to the forward chains (br_netfilter is not loaded)")
	}
	ping := func() string {
		var out []string
		for _, to := range []string{"10.9.0.2", "fd09::2"} {
			_, err := a.Try("ping -n -c 1 -W 1 " + to)
			out = append(out, fmt.Sprint(err == nil))
		}
		return strings.Join(out, " ")
	}
	set := func(rules []nft.Rule) {
		// Neighbour discovery is part of any policy, and here of the question.
		table := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Chains: []nft.Chain{{Name: "forward", Base: &nft.Base{Type: "filter", Hook: "forward", Policy: "drop"}, Rules: rules}}}
		var out []byte
		var err error
		r.Do(func() {
			cmd := exec.Command("nft", "-f", "-")
			cmd.Stdin = strings.NewReader("table inet provision\ndelete table inet provision\n" + nft.Text(table))
			out, err = cmd.CombinedOutput()
		})
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if got := ping(); got != "true true" {
		t.Fatalf("without a table: %s", got)
	}
	set(nil)
	if got := ping(); got != "false false" {
		t.Errorf("with a policy of drop: %s", got)
	}
	set(Exempt(Bridged(s)))
	if got := ping(); got != "true true" {
		t.Errorf("with the bridge exempt: %s", got)
	}
}
