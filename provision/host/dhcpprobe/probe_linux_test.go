package dhcpprobe

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

// dnsmasq starts the real server in ns and returns when it says that it serves.
func dnsmasq(t *testing.T, ns *nstest.NS) (stop func()) {
	t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Skip("dnsmasq is not installed")
	}
	dir := t.TempDir()
	leases := filepath.Join(dir, "leases")
	cmd := exec.Command(path, "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root",
		"--interface=srv", "--bind-interfaces", "--dhcp-authoritative", "--dhcp-leasefile="+leases,
		"--pid-file="+filepath.Join(dir, "pid"),
		"--dhcp-range=10.0.2.100,10.0.2.150,1h", "--dhcp-host=08:00:27:00:00:01,10.0.2.15")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = w
	ns.Do(func() { err = cmd.Start() })
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan string)
	go func() {
		var seen strings.Builder
		buf := make([]byte, 4096)
		said := false
		for {
			n, err := r.Read(buf)
			seen.Write(buf[:n])
			if !said && (err != nil || strings.Contains(seen.String(), "DHCP, sockets bound")) {
				said = true
				started <- seen.String()
			}
			if err != nil {
				return
			}
		}
	}()
	if s := <-started; !strings.Contains(s, "sockets bound") {
		t.Fatalf("dnsmasq: %s", s)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			r.Close()
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestProbeRealServer(t *testing.T) {
	client, server := nstest.New(t), nstest.New(t)
	client.Sh("ip link add nic address 08:00:27:00:00:01 type veth peer name tmp")
	client.Sh("ip link set tmp netns " + server.Path())
	server.Sh("ip link set tmp name srv\nip addr add 10.0.2.2/24 dev srv\nip link set srv up")
	client.Sh("ip link set nic up\nip addr add 10.0.2.15/24 dev nic")

	var index int
	client.Do(func() {
		if i, err := net.InterfaceByName("nic"); err == nil {
			index = i.Index
		}
	})
	probe := func() (o Offer, took time.Duration, err error) {
		begun := time.Now()
		client.Do(func() { o, err = Probe{}.Do(context.Background(), index) })
		return o, time.Since(begun), err
	}

	if _, took, err := probe(); !errors.Is(err, ErrSilent) || took < 1900*time.Millisecond || took > 4*time.Second {
		t.Errorf("without a server: %v after %v, want ErrSilent after 2 s", err, took)
	} else if !strings.Contains(err.Error(), "nic") {
		t.Errorf("%v does not name the device", err)
	}

	stop := dnsmasq(t, server)
	o, took, err := probe()
	if err != nil || took > time.Second || o.Address.String() != "10.0.2.15" || o.Server.String() != "10.0.2.2" {
		t.Errorf("with dnsmasq: %+v %v after %v", o, err, took)
	}
	if got := client.Sh("ip -4 -o addr show dev nic"); strings.Count(got, "inet ") != 1 {
		t.Errorf("addresses changed: %s", got)
	}
	stop()
	if _, _, err := probe(); !errors.Is(err, ErrSilent) {
		t.Errorf("server killed: %v, want ErrSilent", err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	client.Do(func() { _, err = Probe{}.Do(ctx, index) })
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
		t.Errorf("cancelled: %v after %v", err, time.Since(begun))
	}
	client.Sh("ip link set nic down")
	if _, _, err := probe(); err == nil || !strings.Contains(err.Error(), "down") {
		t.Errorf("device down: %v", err)
	}
}
