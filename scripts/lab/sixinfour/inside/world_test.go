//go:build lab && linux

package inside

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

func TestMain(m *testing.M) {
	flag.Parse()
	line, _ := os.ReadFile("/proc/cmdline")
	if !strings.Contains(string(line), gadget.Mark) && flag.Lookup("test.list").Value.String() == "" {
		fmt.Println("skipped: these tests write the machine's configuration; package sixinfour runs them in a guest")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// world is a box behind 203.0.113.2 with two hosts on eth1, the broker at 203.0.113.1, a stranger beside them, and a host of the
// IPv6 internet.
type world struct {
	t                                         *testing.T
	box, host, other, isp, stranger, internet *nstest.NS
	broker                                    *broker
}

const (
	far     = "2001:db8:ffff::9"
	keyFile = "/etc/provision/he.key"
	config  = "/etc/provision/provision.yaml"
)

func newWorld(t *testing.T) *world {
	w := &world{t: t, box: nstest.New(t), host: nstest.New(t), other: nstest.New(t), isp: nstest.New(t), stranger: nstest.New(t), internet: nstest.New(t)}
	end := nstest.New(t)
	w.broker = &broker{t: t, ns: end, key: "s3cret-update-key"}
	w.isp.Sh("ip link add isp type bridge\nip link set isp up")
	for i, n := range []*nstest.NS{w.box, end, w.stranger} {
		port := fmt.Sprint("port", i)
		n.Pair("eth0", w.isp, port)
		w.isp.Sh("ip link set " + port + " master isp")
	}
	w.box.Sh("ip addr add 203.0.113.2/24 dev eth0\nip route add default via 203.0.113.1")
	w.stranger.Sh("ip addr add 203.0.113.66/24 dev eth0")
	end.Sh("ip addr add 203.0.113.1/24 dev eth0\nip link add he-box type sit remote 192.0.2.99 local 203.0.113.1 ttl 255\nip link set he-box mtu 1480 up\nip addr add 2001:db8:1::1/64 dev he-box nodad")
	end.Pair("out", w.internet, "eth0")
	end.Sh("ip addr add 2001:db8:ffff::1/64 dev out nodad\nsysctl -q -w net.ipv6.conf.all.forwarding=1\nip route add 2001:db8:2::/64 via 2001:db8:1::2\nip route add 2001:db8:8000::/48 via 2001:db8:1::2")
	w.internet.Sh("ip addr add " + far + "/64 dev eth0 nodad\nip route add default via 2001:db8:ffff::1")
	// The LAN is a bridge beside the box.
	lan := nstest.New(t)
	lan.Sh("ip link add lan type bridge\nip link set lan up")
	w.box.Pair("eth1", lan, "box")
	w.host.Pair("eth0", lan, "h1")
	w.other.Pair("eth0", lan, "h2")
	lan.Sh("ip link set box master lan\nip link set h1 master lan\nip link set h2 master lan")
	return w
}

// apply writes the configuration and carries it out.
func (w *world) apply(yaml string) {
	w.t.Helper()
	must(w.t, os.MkdirAll("/etc/provision", 0o755))
	must(w.t, os.WriteFile(config, []byte(yaml), 0o600))
	must(w.t, os.WriteFile(keyFile, []byte(w.broker.key+"\n"), 0o600))
	w.run("provision apply")
	if out, err := w.box.Try("provision plan --exit-code"); err != nil {
		w.t.Errorf("applied, and the second plan is not empty: %v %s", err, out)
	}
}

func (w *world) run(command string) string {
	w.t.Helper()
	out, err := w.box.Try(command)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	return out
}

// daemon runs a command in the box until stop is called or the test ends.
func (w *world) daemon(env []string, argv ...string) (said func() string, stop func()) {
	w.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	out := &lines{}
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, append(os.Environ(), env...)
	var err error
	w.box.Do(func() { err = cmd.Start() })
	must(w.t, err)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				_ = cmd.Process.Kill()
				w.t.Errorf("%s does not end: %s", strings.Join(argv, " "), out)
			}
		})
	}
	w.t.Cleanup(stop)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s said:\n%s", strings.Join(argv, " "), out)
		}
	})
	return out.String, stop
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within waits for something to become true.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Errorf("not within %v: %s", limit, what)
			return
		}
	}
}

// pings asks once.
func pings(n *nstest.NS, args string) bool {
	_, err := n.Try("ping -6 -c 1 -W 1 " + args)
	return err == nil
}

// connects tries a TCP port of an address.
func connects(n *nstest.NS, addr string) bool {
	var c net.Conn
	var err error
	n.Do(func() { c, err = net.DialTimeout("tcp", addr, time.Second) })
	if err == nil {
		c.Close()
	}
	return err == nil
}

// listens has a server of TCP in a namespace: what would be reached if nothing were in the way.
func listens(t *testing.T, n *nstest.NS, addr string) {
	t.Helper()
	var l net.Listener
	var err error
	n.Do(func() { l, err = net.Listen("tcp", addr) })
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}
