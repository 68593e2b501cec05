//go:build lab && linux

package routing

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

var (
	binary = flag.String("provision", "", "the `program` that is measured beside nft")
	rounds = flag.Int("rounds", 5, "how often each is measured, in turn")
	span   = flag.Duration("for", 2*time.Second, "how long packets are sent each time")
)

// world is a box between a client and a server.
type world struct {
	box, client, server *lab.NetNS
	program             string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	lab.Need(t, lab.Serve)
	if *binary == "" {
		t.Skip("skipped: -provision=FILE is missing")
	}
	program, err := filepath.Abs(*binary)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{box: lab.NewNS(t), client: lab.NewNS(t), server: lab.NewNS(t), program: program}
	disk := t.TempDir()
	for _, d := range []string{"lib", "etc", "work"} {
		if err := os.Mkdir(filepath.Join(disk, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	on(t, w.box, `mount -t proc proc /proc
mount --bind "`+disk+`/lib" /var/lib
mount -t overlay -o "lowerdir=/etc,upperdir=`+disk+`/etc,workdir=`+disk+`/work" etc /etc
mount -t tmpfs run /run
mkdir -p /run/openrc /etc/provision /run/bench`)
	for i, side := range []struct {
		ns  *lab.NetNS
		dev string
	}{{w.client, "eth1"}, {w.server, "eth0"}} {
		if _, err := w.box.Exec("ip", "link", "add", side.dev, "type", "veth", "peer", "name", "nic", "netns", strconv.Itoa(side.ns.PID())); err != nil {
			t.Fatal(err)
		}
		on(t, w.box, fmt.Sprintf("ip addr add 10.%d.0.1/24 dev %s; ip link set %s up", i, side.dev, side.dev))
		on(t, side.ns, fmt.Sprintf("ip addr add 10.%d.0.2/24 dev nic; ip link set nic up; ip route add default via 10.%d.0.1", i, i))
	}
	return w
}

func on(t *testing.T, ns *lab.NetNS, script string) string {
	t.Helper()
	out, err := ns.Call("sh", "-ec", script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// policy is a policy of n rules as offices have them: one of them is met by what the benchmark sends, near
// the end.
func policy(n int) string {
	var b strings.Builder
	b.WriteString(`version: 1
routing:
  zones:
    inside: {interfaces: [eth1, eth2]}
    dmz: {interfaces: [eth3]}
    outside: {interfaces: [eth0], masquerade: true}
  groups:
    office: [10.0.0.0/16, 10.2.0.0/16, "2001:db8::/48"]
    servers: [192.0.2.1, 192.0.2.3, 192.0.2.17-192.0.2.40, "2001:db8:1::/64"]
  firewall:
    management: {from: [office]}
    rules:
`)
	zone := []string{"inside", "dmz", "outside"}
	for i := range n - 1 {
		fmt.Fprintf(&b, "      - {note: service %d, source-interface: %s, destination-interface: %s, ", i, zone[i%3], zone[(i+1)%3])
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "action: allow, source: [office], destination: [192.0.%d.%d, \"2001:db8:4::%x\"], port: [tcp/%d]}\n", 3+i/250, i%250, i, 1000+i)
		case 1:
			fmt.Fprintf(&b, "action: allow, source: [10.%d.%d.0/24], destination: [servers], port: [tcp/80, tcp/443, udp/443]}\n", 4+i/250, i%250)
		case 2:
			fmt.Fprintf(&b, "action: allow, source: [172.16.%d.%d], port: [udp/%d], log: true}\n", i/250, i%250, 2000+i)
		case 3:
			fmt.Fprintf(&b, "action: reject, destination: [198.18.%d.%d], port: [tcp/22, tcp/%d-%d]}\n", i/250, i%250, 3000+i, 3010+i)
		case 4:
			fmt.Fprintf(&b, "action: allow, destination: [192.0.2.250], nat-destination: \"10.9.%d.%d:80\", port: [tcp/%d]}\n", i/250, i%250+1, 10000+i)
		}
	}
	b.WriteString("      - {note: what is measured, source-interface: inside, destination-interface: outside, action: allow}\n")
	return b.String()
}

// configure writes the policy and its text in nft's syntax.
func (w *world) configure(t *testing.T, n int) {
	t.Helper()
	if err := os.WriteFile(w.box.Root()+"/etc/provision/provision.yaml", []byte(policy(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	on(t, w.box, w.program+" firewall show > /run/bench/show.nft")
}

// empty takes everything away.
func (w *world) empty(t *testing.T) {
	t.Helper()
	on(t, w.box, w.program+" revert > /dev/null; nft flush ruleset")
}

// ours and theirs set up the policy.
func (w *world) ours(t *testing.T) {
	on(t, w.box, w.program+" apply > /dev/null; sysctl -qw net.ipv4.ip_forward=1")
}

func (w *world) theirs(t *testing.T) {
	on(t, w.box, "nft -f /run/bench/show.nft; sysctl -qw net.ipv4.ip_forward=1")
}

// TestThroughput sends through the box: without rules, with the policy as apply commits it, and as nft loads its text.
func TestThroughput(t *testing.T) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skip("skipped: no iperf3; install the package of that name")
	}
	w := newWorld(t)
	server, err := w.server.Start(os.Stderr, "iperf3", "-s", "-D", "-I", "/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	<-server.Done() // the daemon has gone on by itself, inside the namespace that ends with the test
	for _, n := range []int{100, 1000} {
		w.configure(t, n)
		tcp := newFigures(fmt.Sprintf("TCP through the box, %d rules", n), "Gbit/s (more is better)")
		udp := newFigures(fmt.Sprintf("UDP of 64 bytes through the box, %d rules", n), "1,000 packets/s that arrive (more is better)")
		connects := newFigures(fmt.Sprintf("new TCP connections through the box, %d rules", n), "per second (more is better)")
		for range *rounds {
			for _, c := range []struct {
				name string
				set  func(*testing.T)
			}{{"no rules", func(t *testing.T) { on(t, w.box, "sysctl -qw net.ipv4.ip_forward=1") }}, {"provision", w.ours}, {"nft provision", w.theirs}} {
				w.empty(t)
				c.set(t)
				if out, err := w.client.Call("ping", "-n", "-c", "1", "-W", "2", "10.1.0.2"); err != nil {
					t.Fatalf("%s: nothing passes: %v %s\n%s", c.name, err, out, on(t, w.box, "nft list ruleset | tail -50"))
				}
				tcp.add(c.name, w.iperf(t)/1e9)
				udp.add(c.name, w.iperf(t, "-u", "-l", "64", "-b", "0")/64/8/1e3)
				v, err := w.connects()
				if err != nil {
					t.Fatal(err)
				}
				connects.add(c.name, v)
			}
		}
		w.empty(t)
		tcp.print()
		udp.print()
		connects.print()
	}
}

// iperf is what arrived, in bit/s.
func (w *world) iperf(t *testing.T, args ...string) float64 {
	t.Helper()
	var r struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Sum struct {
				Rate float64 `json:"bits_per_second"`
				Lost float64 `json:"lost_percent"`
			} `json:"sum"`
		} `json:"end"`
	}
	argv := append([]string{"iperf3", "-J", "-c", "10.1.0.2", "-t", fmt.Sprintf("%.0f", span.Seconds())}, args...)
	var out string
	var err error
	for range 3 { // the server may still be at the last test's end
		if out, err = w.client.Call(argv...); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("iperf3 says %q: %v", out, err)
	}
	if len(args) > 0 {
		return r.End.Sum.Rate * (1 - r.End.Sum.Lost/100)
	}
	return r.End.Received.Rate
}

// TestCommit sets up 1,000 rules in turn, each as a process of its own: by nft -f, by apply (facts, plan, snapshot, the commit and
// its verification), and by restore, which sets what was committed. The engine's part alone is measured by BenchmarkCommit of
// routing/firewall.
func TestCommit(t *testing.T) {
	w := newWorld(t)
	w.configure(t, 1000)
	whole := newFigures("a policy of 1,000 rules, from the start of the process to its end", "ms (less is better)")
	cpu := newFigures("the same, time of the processor", "ms (less is better)")
	run := func(name string, argv ...string) {
		real, used := w.time(t, argv...)
		whole.add(name, real)
		cpu.add(name, used)
	}
	for range *rounds {
		w.empty(t)
		run("nft apply", "nft", "-f", "/run/bench/show.nft")
		w.empty(t)
		run("apply", w.program, "apply")
		on(t, w.box, "nft flush ruleset")
		run("nft restore", "nft", "-f", "/run/bench/show.nft")
		on(t, w.box, "nft flush ruleset")
		run("restore", w.program, "restore")
	}
	w.empty(t)
	whole.print()
	cpu.print()
}

// time is how long a program runs in the box and what it uses of the processor, in milliseconds, without what enters the
// namespaces: the shell's own clock with three digits (bash(1), TIMEFORMAT).
func (w *world) time(t *testing.T, argv ...string) (real, cpu float64) {
	t.Helper()
	out := on(t, w.box, "bash -c 'TIMEFORMAT=\"%3R %3U %3S\"; time \"$@\" > /dev/null' bash "+strings.Join(argv, " ")+" 2>&1 | tail -1")
	var user, system float64
	if _, err := fmt.Sscan(out, &real, &user, &system); err != nil {
		t.Fatalf("cannot time %v: %s", argv, out)
	}
	return real * 1000, (user + system) * 1000
}
