//go:build lab && linux

package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
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
		x := Actor{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
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
