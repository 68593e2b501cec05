//go:build lab && linux

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/scripts/lab"
)

const actionEnv = "DAEMON_LAB_ACTION"

// TestMain lets this test binary, which is put into the machines, carry out one action
// there.
func TestMain(m *testing.M) {
	text := os.Getenv(actionEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var a provision.Action
	err := json.Unmarshal([]byte(text), &a)
	if err == nil {
		x := Actor{Runner: &host.Exec{}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
		err = x.Do(context.Background(), a)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const (
	networkdDropin = "/run/systemd/network/10-netplan-eth0.network.d/90-provision.conf"
	nmDropin       = "/etc/NetworkManager/conf.d/90-provision.conf"
	nmText         = "[connection-provision-eth0]\nmatch-device=interface-name:eth0\nipv4.route-metric=%[1]d\nipv6.route-metric=%[1]d\n"
	networkdText   = "[DHCPv4]\nRouteMetric=%[1]d\n[IPv6AcceptRA]\nRouteMetric=%[1]d\n"
)

// TestForeignThingsSurvive does each action on the real manager: what somebody else
// put on the NIC is there afterwards, the metric is what the file says, and no session
// stalls.
func TestForeignThingsSurvive(t *testing.T) {
	lab.Need(t, lab.Tier2)
	for _, c := range []struct {
		root, dropin, text string
		action             provision.Action
		stall              time.Duration
	}{
		{"bookworm-netplan", networkdDropin, networkdText, NetworkdRestart("name:eth0"), 100 * time.Millisecond},
		{"trixie-netplan", networkdDropin, networkdText, NetworkdReload("name:eth0"), 100 * time.Millisecond},
		{"trixie-netplan", networkdDropin, networkdText, NetworkdRestart("name:eth0"), 100 * time.Millisecond},
		{"bookworm-netplan", networkdDropin, networkdText, Probe(NetworkdReload("name:eth0")), 0}, // this path drops the address for a moment
		{"bookworm-nm", nmDropin, nmText, NMRestart("name:eth0"), 100 * time.Millisecond},
		{"trixie-nm", nmDropin, nmText, NMRestart("name:eth0"), 100 * time.Millisecond},
		{"bookworm-nm", nmDropin, nmText, NMReapply("name:eth0"), 100 * time.Millisecond},
		{"trixie-nm", nmDropin, nmText, NMReapply("name:eth0"), 100 * time.Millisecond},
	} {
		t.Run(c.root+"/"+c.action.Kind, func(t *testing.T) {
			w := lab.NewWorld(t, lab.WorldOpts{})
			m := lab.Boot(t, lab.Root(t, c.root), w, lab.BootOpts{Binary: "/proc/self/exe"})
			m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
			putStrangers(t, m)
			before := strangers(t, m)
			m.WriteFile(t, c.dropin, fmt.Sprintf(c.text, 1000), 0o644)
			s := lab.Streams(t, w, lab.StreamOpts{})
			s.Mark("action")
			begun := time.Now()
			out := act(t, m, c.action)
			took := time.Since(begun)
			if after := strangers(t, m); after != before {
				t.Errorf("after:\n%s\nbefore:\n%s\nactor: %s", after, before, out)
			}
			if got := m.Global("eth0", 4); got != "10.0.2.15" {
				t.Errorf("eth0 has %q", got)
			}
			if c.action.Kind != KindNMReapply { // up to 1.52 it takes effect at the next renewal
				lab.Await(t, 10*time.Second, func() error { return wins(m) })
			}
			if c.stall > 0 {
				s.Require(t, c.stall)
			}
			t.Logf("%v; %s; %d things put back", took.Round(time.Millisecond), s.Report(), strings.Count(out, "put back"))
			if _, err := m.ReadFile(DefaultState + "/foreign.json"); err == nil {
				t.Error("the journal is still there")
			}
			begun = time.Now()
			if out := act(t, m, c.action); strings.Contains(out, "level=WARN") || strangers(t, m) != before {
				t.Errorf("again: %s", out)
			}
			t.Logf("again: %v", time.Since(begun).Round(time.Millisecond))
		})
	}
}

// wins wants a default route of eth0 with the new metric in both families.
func wins(m *lab.Machine) error {
	for _, family := range []int{4, 6} {
		ok := false
		for _, r := range m.Defaults(family) {
			ok = ok || r.Dev == "eth0" && r.Metric == 1000
		}
		if !ok {
			return fmt.Errorf("no IPv%d default route through eth0 with metric 1000: %v", family, m.Defaults(family))
		}
	}
	return nil
}

func act(t *testing.T, m *lab.Machine, a provision.Action) string {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, stderr, exit := m.RunCmd(ctx, lab.Cmd{Argv: []string{"provision"}, Env: []string{actionEnv + "=" + string(text)}})
	if exit != 0 {
		t.Fatalf("exit status %d: %s", exit, stderr)
	}
	return stderr
}

// putStrangers puts on the NICs what no manager knows of.
func putStrangers(t *testing.T, m *lab.Machine) {
	t.Helper()
	for _, line := range []string{
		"addr add 192.0.2.77/32 dev eth0",
		"route add 198.51.100.0/24 via 10.0.2.2 dev eth0 metric 7",
		"route add 198.51.100.0/24 via 10.0.2.2 dev eth0 table 77 proto static",
		"route add default via 192.168.76.2 dev eth1 table 78",
		"-6 route add 2001:db8:77::/48 via fe80::77 dev eth0 table 77",
		"rule add from 192.0.2.77 lookup 77 prio 77",
		"-6 rule add to 2001:db8:77::/48 lookup 77 prio 78",
	} {
		m.MustRun(t, "ip", strings.Fields(line)...)
	}
}

func strangers(t *testing.T, m *lab.Machine) string {
	t.Helper()
	var b strings.Builder
	for _, line := range []string{
		"-4 -o addr show dev eth0 to 192.0.2.77", "route show 198.51.100.0/24", "route show table 77", "route show table 78",
		"-6 route show table 77", "rule show prio 77", "-6 rule show prio 78",
	} {
		b.WriteString(m.MustRun(t, "ip", strings.Fields(line)...))
	}
	return b.String()
}

// TestReloadAloneLosesThem shows that the above proves something: networkctl reload
// on trixie deletes them.
func TestReloadAloneLosesThem(t *testing.T) {
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{})
	m := lab.Boot(t, lab.Root(t, "trixie-netplan"), w, lab.BootOpts{})
	m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
	m.MustRun(t, "ip", "route", "add", "198.51.100.0/24", "via", "10.0.2.2", "dev", "eth0")
	m.WriteFile(t, networkdDropin, fmt.Sprintf(networkdText, 1000), 0o644)
	m.MustRun(t, "networkctl", "reload")
	lab.Await(t, 10*time.Second, func() error {
		if out := m.MustRun(t, "ip", "route", "show", "198.51.100.0/24"); out != "" {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}

// TestSilentServerIsRefused: networkd 252 would drop the address on a reload and get
// none again.
func TestSilentServerIsRefused(t *testing.T) {
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{})
	m := lab.Boot(t, lab.Root(t, "bookworm-netplan"), w, lab.BootOpts{Binary: "/proc/self/exe"})
	m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
	w.KillDHCP("eth0")
	m.WriteFile(t, networkdDropin, fmt.Sprintf(networkdText, 1000), 0o644)
	text, err := json.Marshal(Probe(NetworkdReload("name:eth0")))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, stderr, exit := m.RunCmd(ctx, lab.Cmd{Argv: []string{"provision"}, Env: []string{actionEnv + "=" + string(text)}})
	if exit != 1 || !strings.Contains(stderr, "eth0 would lose its address") {
		t.Errorf("exit status %d: %s", exit, stderr)
	}
	// Without the question the address goes, and the actor puts it back.
	text, err = json.Marshal(NetworkdReload("name:eth0"))
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, exit = m.RunCmd(ctx, lab.Cmd{Argv: []string{"provision"}, Env: []string{actionEnv + "=" + string(text)}})
	if exit != 1 || !strings.Contains(stderr, "eth0 lost its IPv4 address") {
		t.Errorf("exit status %d: %s", exit, stderr)
	}
	if got := m.Global("eth0", 4); got != "10.0.2.15" {
		t.Errorf("eth0 has %q", got)
	}
}

// TestKilledActor: SIGKILL while networkd has already deleted what is foreign; the next
// run of the same action puts it back.
func TestKilledActor(t *testing.T) {
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{})
	m := lab.Boot(t, lab.Root(t, "trixie-netplan"), w, lab.BootOpts{Binary: "/proc/self/exe"})
	m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
	putStrangers(t, m)
	before := strangers(t, m)
	m.WriteFile(t, networkdDropin, fmt.Sprintf(networkdText, 1000), 0o644)
	a := NetworkdReload("name:eth0")
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.StartCmd(lab.Cmd{Argv: []string{"provision"}, Env: []string{actionEnv + "=" + string(text)}})
	if err != nil {
		t.Fatal(err)
	}
	lab.Await(t, 10*time.Second, func() error {
		_, err := m.ReadFile(DefaultState + "/foreign.json")
		return err
	})
	p.Kill9()
	<-p.Done()
	m.MustRun(t, "networkctl", "reload") // whatever the killed one had reached, it is lost now
	lab.Await(t, 10*time.Second, func() error {
		if strangers(t, m) == before {
			return fmt.Errorf("networkd has deleted nothing yet")
		}
		return nil
	})
	act(t, m, a)
	if after := strangers(t, m); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

// TestDhcpcdOfOneNICMoves: the daemon that ifup started is replaced by one with the
// stanza's metric, there and back, without a stall.
func TestDhcpcdOfOneNICMoves(t *testing.T) {
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{})
	m := lab.Boot(t, lab.Root(t, "trixie-ifupdown-dhcpcd"), w, lab.BootOpts{Binary: "/proc/self/exe"})
	m.AwaitAddrs(t, 30*time.Second, "eth0", "eth1")
	const path = "/etc/network/interfaces"
	old, err := m.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was := m.Defaults(4)
	s := lab.Streams(t, w, lab.StreamOpts{})
	s.Mark("there")
	m.WriteFile(t, path, strings.Replace(old, "iface eth0 inet dhcp\n", "iface eth0 inet dhcp\n    metric 1500\n", 1), 0o644)
	a := Probe(DhcpcdRestart("name:eth0", "eth0", 1500, false))
	out := act(t, m, a)
	metric := func(want int) func() error {
		return func() error {
			for _, family := range []int{4, 6} {
				var has []string
				for _, r := range m.Defaults(family) {
					if r.Dev == "eth0" {
						has = append(has, fmt.Sprint(r.Metric))
					}
				}
				// What the old daemon left behind (trixie's: its IPv6 route) is for
				// routemetric.Prune.
				if !slices.Contains(has, fmt.Sprint(want)) {
					return fmt.Errorf("IPv%d default routes through eth0 have the metrics %v, want %d", family, has, want)
				}
			}
			return nil
		}
	}
	lab.Await(t, 15*time.Second, metric(1500))
	if strings.Contains(out, "level=WARN") {
		t.Error(out)
	}
	s.Require(t, 100*time.Millisecond)
	s.Mark("back")
	m.WriteFile(t, path, old, 0o644)
	act(t, m, a)
	for _, r := range was {
		if r.Dev == "eth0" {
			lab.Await(t, 15*time.Second, metric(int(r.Metric)))
		}
	}
	s.Require(t, 100*time.Millisecond)
	t.Log(s.Report())
	if got := m.Global("eth0", 4); got != "10.0.2.15" {
		t.Errorf("eth0 has %q", got)
	}
	t.Log(m.MustRun(t, "systemctl", "list-units", "--no-legend", "provision-dhcpcd-*"))
}

// TestIfupThereAndBack brings up a NIC without configuration and takes it down when
// its file has gone.
func TestIfupThereAndBack(t *testing.T) {
	lab.Need(t, lab.Tier2)
	for _, root := range []string{"bookworm-ifupdown", "trixie-ifupdown"} {
		t.Run(root, func(t *testing.T) {
			w := lab.NewWorld(t, lab.WorldOpts{})
			m := lab.Boot(t, lab.Root(t, root), w, lab.BootOpts{Binary: "/proc/self/exe", Config: lab.OnlyEth0})
			m.AwaitAddrs(t, 20*time.Second, "eth0")
			m.WriteFile(t, IfupFile("eth1"), "allow-hotplug eth1\niface eth1 inet dhcp\n    metric 1010\n", 0o644)
			act(t, m, Ifup("eth1"))
			if m.Global("eth1", 4) == "" {
				t.Error("eth1 has no address")
			}
			act(t, m, Ifup("eth1")) // nothing to do
			m.MustRun(t, "rm", IfupFile("eth1"))
			act(t, m, Ifup("eth1"))
			if got := m.Global("eth1", 4); got != "" {
				t.Errorf("eth1 still has %s", got)
			}
			if state, err := m.ReadFile(ifstate); err != nil || strings.Contains(state, "eth1") {
				t.Errorf("ifstate: %q %v", state, err)
			}
			act(t, m, Ifup("eth1")) // nothing to do
			w.KillDHCP("eth1")
			m.WriteFile(t, IfupFile("eth1"), "allow-hotplug eth1\niface eth1 inet dhcp\n", 0o644)
			begun := time.Now()
			if out := act(t, m, Ifup("eth1")); !strings.Contains(out, "no DHCP server answers") {
				t.Errorf("silent server: %s", out)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("waited %v for a silent server", took)
			}
		})
	}
}
