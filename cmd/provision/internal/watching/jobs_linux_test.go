package watching

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/watch"
)

// A NIC appears: kube-proxy's pod is stopped and removed by crictl.
func TestReactionToANewNIC(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	crictl := "#!/bin/sh\necho \"$PROVISION_INTERFACES: $*\" >>" + calls + "\ncase \"$*\" in *pods*) echo 0123abcd; echo 4567ef;; esac\necho \"HOME=$HOME\" >>" + calls + "\n"
	if err := os.WriteFile(filepath.Join(dir, "crictl"), []byte(crictl), 0o755); err != nil {
		t.Fatal(err)
	}
	ns := nstest.New(t)
	ns.Sh("ip link add eth0 type veth peer name x0")
	c := childConfig{Memory: filepath.Join(dir, "watch.json"), Path: dir}
	c.Watch.Reactions = []watch.ReactionEntry{{Name: "kube-proxy", Interfaces: []string{"eth*"}, Action: "restart-kube-proxy", Settle: "100ms", Pause: "1s"}}
	p := start(t, ns, c)
	p.ready()
	ns.Sh("ip link add eth1 type veth peer name x1")
	ns.Sh("ip link set eth1 up")
	l, at := p.find(0, "the reaction", func(l line) bool { return l.Msg == "is done" })
	if l.Job != "reaction kube-proxy" || !strings.Contains(l.Why, "eth1 has appeared") {
		t.Errorf("%+v", l)
	}
	want := []string{
		"eth0 eth1: pods --namespace kube-system --name kube-proxy --state Ready --quiet",
		"eth0 eth1: stopp 0123abcd", "eth0 eth1: rmp 0123abcd", "eth0 eth1: stopp 4567ef", "eth0 eth1: rmp 4567ef",
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	// With a clean environment there is no home.
	if got := strings.ReplaceAll(string(text), "HOME=\n", ""); strings.TrimSpace(got) != strings.Join(want, "\n") {
		t.Errorf("called\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	// One that fails is told with what it said, and tried again after the pause.
	if err := os.WriteFile(filepath.Join(dir, "crictl"), []byte("#!/bin/sh\necho no runtime >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ns.Sh("ip link add eth2 type veth peer name x2")
	l, at = p.find(at, "the failure", func(l line) bool { return l.Msg == "has failed" })
	if !strings.Contains(l.Err, "no runtime") {
		t.Errorf("%+v", l)
	}
	p.find(at, "another try", func(l line) bool { return l.Msg == "has failed" && strings.Contains(l.Why, "it failed before") })
}

// Martians are counted, and on request named by source and interface.
func TestMartiansAreNamed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	c := childConfig{Memory: filepath.Join(t.TempDir(), "watch.json"), Watch: watch.Config{Martians: watch.MartiansConfig{Name: true}}}
	n.out.Sh("ip route add 10.0.0.15/32 via 10.0.1.20")
	p := start(t, n.in, c)
	p.ready()
	var l line
	at := 0
	poll(t, "a martian's name", func() bool {
		n.reach("10.0.0.15")
		p.mu.Lock()
		defer p.mu.Unlock()
		for ; at < len(p.log); at++ {
			if p.log[at].Msg == "martians" {
				l = p.log[at]
				return true
			}
		}
		return false
	})
	if !strings.Contains(l.Which, "from 203.0.113.9 to 10.0.0.15 on eth1") || !strings.Contains(l.Why, "by the reverse path filter") {
		t.Errorf("%+v", l)
	}
	found := false
	for _, j := range p.end().Status.Jobs {
		found = found || len(j.Martians) > 0 && j.Martians[0].Link == "eth1"
	}
	if !found {
		t.Error("not in the status")
	}
}

// A host behind a router, on the LAN's network by its address: the router answers for it.
func TestProxyARPAndNDP(t *testing.T) {
	t.Parallel()
	lan, router, behind := nstest.New(t), nstest.New(t), nstest.New(t)
	router.Pair("lan0", lan, "eth0")
	router.Pair("far0", behind, "eth0")
	lan.Sh("ip addr add 192.0.2.10/24 dev eth0\nip addr add 2001:db8::10/64 dev eth0 nodad")
	router.Sh(`ip addr add 192.0.2.1/24 dev lan0
		ip addr add 2001:db8::1/64 dev lan0 nodad
		ip route add 192.0.2.77 dev far0
		ip -6 route add 2001:db8::77 dev far0
		ip addr add 2001:db8:1::1/64 dev far0 nodad
		sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`)
	behind.Sh(`ip addr add 192.0.2.77/32 dev eth0
		ip addr add 2001:db8::77/128 dev eth0 nodad
		ip addr add 2001:db8:1::77/64 dev eth0 nodad
		ip route add 192.0.2.1 dev eth0
		ip route add default via 192.0.2.1
		ip -6 route add default via 2001:db8:1::1`)
	ping := func(dst string) bool {
		_, err := lan.Try("ping -c 1 -W 0.3 " + dst)
		return err == nil
	}
	for _, dst := range []string{"192.0.2.77", "2001:db8::77"} {
		if ping(dst) {
			t.Fatalf("%s answers without a proxy", dst)
		}
	}
	c := childConfig{Memory: filepath.Join(t.TempDir(), "watch.json")}
	c.Watch.Proxy = []watch.ProxyEntry{{Interface: "lan0", Addresses: []string{"192.0.2.77", "2001:db8::77"}}}
	p := start(t, router, c)
	for _, dst := range []string{"192.0.2.77", "2001:db8::77"} {
		poll(t, dst, func() bool { return ping(dst) })
	}
	// It answers for nothing else, and a flap takes the entries away: put back.
	if ping("192.0.2.78") || strings.TrimSpace(router.Sh("sysctl -n net.ipv4.conf.all.proxy_arp net.ipv4.conf.lan0.proxy_arp")) != "0\n0" {
		t.Error("more is answered for than was asked")
	}
	at := p.length()
	router.Sh("ip link set lan0 down\nip link set lan0 up")
	p.find(at, "the address again", repaired("proxy", "192.0.2.77"))
	poll(t, "192.0.2.77", func() bool { return ping("192.0.2.77") })
}

// Committed parameters of the kernel that somebody changes come back by event.
func TestKeepsParameters(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	ns.Sh("ip link add eth0 type veth peer name x0\nsysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.eth0.rp_filter=2")
	c := childConfig{Memory: filepath.Join(t.TempDir(), "watch.json"), Keep: []provision.Want{
		sysctl.Global("net.ipv4.ip_forward", "1", "forwarding"), sysctl.Link("ipv4", "name:eth0", "rp_filter", "2", "replies"),
	}}
	p := start(t, ns, c)
	p.ready()
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv4.conf.eth0.rp_filter"} {
		at := p.length()
		was := ns.Sh("sysctl -n " + key)
		ns.Sh("sysctl -q -w " + key + "=0")
		l, _ := p.find(at, key, func(l line) bool { return l.Msg == "repaired" && l.Job == "keep" })
		if got := ns.Sh("sysctl -n " + key); got != was {
			t.Errorf("%s is %q, was %q", key, got, was)
		}
		t.Logf("%s: %v after the event", key, l.After)
	}
}
