//go:build lab && linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// backLimit is how long after its loss a machine must be back.
const backLimit = 5 * time.Second

// session is a TCP connection from the provider's side to port 22 of the machine: what an SSH session is to the kernel.
type session struct {
	client, server net.Conn
	env            string // SSH_CONNECTION, as sshd sets it for what the session runs

	mu  sync.Mutex
	got []time.Time // when something arrived at the client
}

// ssh connects from a peer to the address of eth0.
func ssh(t *testing.T, w *lab.World, m *lab.Machine, from string) *session {
	t.Helper()
	to := w.Global("eth0", 4)
	s := &session{}
	var ln net.Listener
	err := w.Machine.Do(func() (err error) { ln, err = net.Listen("tcp4", to+":22"); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	lab.Await(t, 10*time.Second, func() error {
		return w.ISP.Do(func() (err error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
			s.client, err = d.Dial("tcp4", to+":22")
			return err
		})
	})
	t.Cleanup(func() { s.client.Close() })
	if s.server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.server.Close() })
	remote, local := s.server.RemoteAddr().(*net.TCPAddr), s.server.LocalAddr().(*net.TCPAddr)
	s.env = fmt.Sprintf("SSH_CONNECTION=%v %d %v %d", remote.IP, remote.Port, local.IP, local.Port)
	go func() {
		buf := make([]byte, 4096)
		for {
			if _, err := s.client.Read(buf); err != nil {
				return
			}
			s.mu.Lock()
			s.got = append(s.got, time.Now())
			s.mu.Unlock()
		}
	}()
	return s
}

// talk lets the machine write every 50 ms, as a program does that shows its progress.
func (s *session) talk(t *testing.T) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_ = s.server.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				_, _ = s.server.Write([]byte("progress"))
			}
		}
	}()
}

// last is when the client last got something, before the given time.
func (s *session) last(before time.Time) (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.got {
		if g.Before(before) {
			at = g
		}
	}
	return at
}

// alive fails the test unless something of the machine reaches the client soon. TCP asks ever more seldom while it gets no answer.
func (s *session) alive(t *testing.T, when string) {
	t.Helper()
	begin := time.Now()
	_ = s.server.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := s.server.Write([]byte("alive?")); err != nil {
		t.Fatalf("%s: the session is dead: %v", when, err)
	}
	lab.Await(t, 15*time.Second, func() error {
		if s.last(time.Now()).Before(begin) {
			return fmt.Errorf("%s: the session is silent", when)
		}
		return nil
	})
}

// provision runs the program in the session.
func (s *session) provision(m *lab.Machine, args ...string) (stdout, stderr string, code int) {
	return faulty(m, []string{s.env}, args...)
}

// distinct gives eth1 a metric of its own, so that eth0 wins for certain at first.
var distinct = map[string]lab.Overlay{
	"trixie-netplan": {"/etc/netplan/50-cloud-init.yaml": {Mode: 0o600, Content: `network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      dhcp4: true
      dhcp6: true
    eth1:
      dhcp4: true
      dhcp6: true
      dhcp4-overrides: {route-metric: 200}
      dhcp6-overrides: {route-metric: 200}
`}},
}

func guardRoots() []string {
	if full {
		return []string{"trixie-netplan", "bookworm-nm", "bookworm-ifupdown", "trixie-nm", "bookworm-netplan-nm", "trixie-ifupdown"}
	}
	return []string{"trixie-netplan", "bookworm-nm", "bookworm-ifupdown"}
}

// The peer of a session is behind the NAT router, and the bridged network drops what comes from the wrong address: once the
// bridged NIC wins, the session is lost. The machine notices by itself and goes back.
func TestLostSessionBringsItBack(t *testing.T) {
	together(t, guardRoots(), func(t *testing.T, name string) {
		w, m := boot(t, name, lab.WorldOpts{Strict: true}, lab.BootOpts{Overlay: distinct[name]})
		await(t, m, name, "eth0", "eth1")
		old := conditionOf(t, m)
		if got := winner(t, m, 4); !strings.HasPrefix(got, "eth0 ") {
			t.Fatalf("at first the winner is %s", got)
		}
		s := ssh(t, w, m, lab.OffLink4)

		out, _, _ := s.provision(m, "plan")
		for _, want := range []string{"SSH session from " + lab.OffLink4 + " (yours): through eth0 via 10.0.2.2 now, then through eth1", "a router that checks sources or keeps states may drop it"} {
			if !strings.Contains(out, want) {
				t.Errorf("plan does not say %q:\n%s", want, out)
			}
		}

		s.alive(t, "at first")
		s.talk(t)
		p, err := m.StartCmd(lab.Cmd{Argv: []string{"provision", "apply"}, Env: []string{s.env}})
		if err != nil {
			t.Fatal(err)
		}
		awaitLead := func(nic string) time.Time {
			lab.Await(t, 20*time.Second, func() error {
				if got := winner(t, m, 4); !strings.HasPrefix(got, nic+" ") {
					return fmt.Errorf("the winner is %s", got)
				}
				return nil
			})
			return time.Now()
		}
		awaitLead("eth1")
		back := awaitLead("eth0")
		lost := s.last(back)
		_, msg, code := p.Wait()
		if code != 1 || !strings.Contains(msg, "gone back to the state before: the guard reports: lost SSH session from "+lab.OffLink4+" (yours): TCP has had") {
			t.Errorf("apply: status %d\n%s", code, msg)
		}
		t.Logf("back %v after the last sign of life", back.Sub(lost).Round(10*time.Millisecond))
		if back.Sub(lost) > backLimit {
			t.Errorf("back only %v after the session was lost", back.Sub(lost))
		}
		s.alive(t, "after going back")
		old.require(t, m, "after going back")
	})
}

// An idle session is judged by its next hop.
func TestSilentNextHopBringsItBack(t *testing.T) {
	w, m := boot(t, "bookworm-nm", lab.WorldOpts{}, lab.BootOpts{})
	await(t, m, "bookworm-nm", "eth0", "eth1")
	old := conditionOf(t, m)
	s := ssh(t, w, m, "10.0.2.2")
	out, _, _ := s.provision(m, "plan")
	if want := "SSH session from 10.0.2.2 (yours): through eth0, on the link, stays"; !strings.Contains(out, want) {
		t.Errorf("plan does not say %q:\n%s", want, out)
	}
	p, err := m.StartCmd(lab.Cmd{Argv: []string{"provision", "-v", "apply"}, Env: []string{s.env}})
	if err != nil {
		t.Fatal(err)
	}
	old.awaitChange(t, m)
	// Its neighbour falls silent: addresses and carrier stay.
	if _, err := w.ISP.Exec("nft", "add table arp mute; add chain arp mute in { type filter hook input priority 0; }; add rule arp mute in iifname isp0 drop"); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	old.awaitThis(t, m, 10*time.Second)
	took := time.Since(cut)
	_, msg, code := p.Wait()
	if code != 1 || !strings.Contains(msg, "the next hop 10.0.2.2 on eth0 has not answered ARP") || !strings.Contains(msg, "idle") {
		t.Errorf("apply: status %d\n%s", code, msg)
	}
	t.Logf("back %v after the neighbour fell silent", took.Round(10*time.Millisecond))
	if took > backLimit {
		t.Errorf("back only after %v", took)
	}
	if _, err := w.ISP.Exec("nft", "delete table arp mute"); err != nil {
		t.Fatal(err)
	}
	s.alive(t, "afterwards")
}

// A loss that can be foreseen is refused before anything is written; --force tries it, and then the guard watches.
func TestForeseenLossIsRefused(t *testing.T) {
	host := lab.HostOnly("eth1")
	w, m := boot(t, "trixie-netplan", lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT(), host}}, lab.BootOpts{})
	m.AwaitDefaults(t, 20*time.Second, "eth0")
	// A kill switch: it loses against the lease's metric 100, and wins against 1000.
	m.MustRun(t, "ip", "route", "add", "unreachable", "default", "metric", "500")
	old := conditionOf(t, m)
	etc, state := m.TreeDigest(t, "/etc"), m.TreeDigest(t, "/var/lib")
	s := ssh(t, w, m, lab.OffLink4)
	out, msg, code := s.provision(m, "apply")
	if code != 1 || !strings.Contains(msg, "refused, nothing was changed") || !strings.Contains(msg, "would be lost") || !strings.Contains(msg, "--force") {
		t.Errorf("apply: status %d\n%s%s", code, out, msg)
	}
	if touched := append(etc.Touched(m.TreeDigest(t, "/etc")), state.Without("/var/lib").Touched(m.TreeDigest(t, "/var/lib").Without("/var/lib", "/var/lib/provision", "/var/lib/provision/engine"))...); len(touched) > 0 {
		t.Errorf("it was refused, and yet it touched %v", touched)
	}
	s.alive(t, "after the refusal")

	_, msg, code = s.provision(m, "apply", "--force")
	if code != 1 || !strings.Contains(msg, "the guard reports: lost SSH session") || !strings.Contains(msg, "gone back") {
		t.Errorf("apply --force: status %d\n%s", code, msg)
	}
	s.alive(t, "after --force")
	old.require(t, m, "after --force")

	// Once the session has ended there is nothing to lose.
	s.server.Close()
	s.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, msg, code := m.Run(ctx, "provision", "apply"); code != 0 {
		t.Errorf("without a session: status %d, %s", code, msg)
	}
}
