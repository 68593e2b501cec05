package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/dhcpprobe"
)

const linkPath = dbus.ObjectPath("/org/freedesktop/network1/link/_32")

// networkd is a fake that does to the link what effect says when it is reloaded.
func (r *rig) networkd(effect func()) {
	r.own(networkdName)
	r.set(linkPath, networkdName+".Link", "AdministrativeState", "configured")
	r.methods(linkPath, networkdName+".Link", nil)
	r.methods(networkdPath, networkdIface, map[string]any{
		"Reload": func() *dbus.Error {
			r.call("Reload")
			effect()
			return nil
		},
		"GetLinkByIndex": func(i int32) (string, dbus.ObjectPath, *dbus.Error) {
			if i != r.index {
				return "", "", dbus.NewError("org.freedesktop.network1.NoSuchLink", nil)
			}
			return "eth0", linkPath, nil
		},
		"Describe": func() (string, *dbus.Error) {
			return fmt.Sprintf(`{"Interfaces":[{"Index":%d,"Name":"eth0",
				"Addresses":[{"Family":2,"Address":[10,0,2,15],"PrefixLength":24,"ConfigSource":"DHCPv4"},
				             {"Family":2,"Address":[192,0,2,77],"PrefixLength":32,"ConfigSource":"foreign"}],
				"Routes":[{"Family":2,"Destination":[0,0,0,0],"DestinationPrefixLength":0,"Gateway":[10,0,2,2],"Priority":100,"Table":254,"ConfigSource":"DHCPv4"}]}]}`, r.index), nil
		},
	})
}

// reconfigure is what networkd 252 does, after its answer.
func (r *rig) reconfigure(back string) func() {
	return func() {
		go func() {
			r.set(linkPath, networkdName+".Link", "AdministrativeState", "configuring")
			if _, err := r.ns.Try(wipe); err != nil {
				r.t.Error(err)
			}
			if back != "" {
				if _, err := r.ns.Try(back); err != nil {
					r.t.Error(err)
				}
			}
			r.set(linkPath, networkdName+".Link", "AdministrativeState", "configured")
		}()
	}
}

func TestNetworkdReloadPutsForeignThingsBack(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	r.networkd(r.reconfigure(lease("1000")))
	if err := r.doAside(NetworkdReload("name:eth0")); err != nil {
		t.Fatal(err)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	if got := r.ns.Sh("ip route show default"); !strings.Contains(got, "metric 1000") || strings.Contains(got, "metric 100 ") {
		t.Errorf("default routes: %s", got)
	}
	if first, _, _ := strings.Cut(r.ns.Sh("ip -4 -o addr show dev eth0"), "\n"); !strings.Contains(first, "10.0.2.15") {
		t.Errorf("the lease is no longer the first address: %s", first)
	}
	if r.journalled() {
		t.Error("the journal is still there")
	}
}

func TestNetworkdSilentServerGivesLeaseBack(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	r.actor.Settle = 1500 * time.Millisecond
	r.networkd(r.reconfigure(""))
	err := r.doAside(NetworkdReload("name:eth0"))
	if err == nil || !strings.Contains(err.Error(), "eth0 lost its IPv4 address") {
		t.Errorf("got %v, want an error that says that eth0 lost its IPv4 address", err)
	}
	if got := r.ns.Sh("ip -4 -o addr show dev eth0"); !strings.Contains(got, "10.0.2.15/24") || !strings.Contains(got, "valid_lft 35") {
		t.Errorf("the lease was not put back: %s", got)
	}
	if got := r.ns.Sh("ip route show default"); !strings.Contains(got, "proto dhcp metric 100") {
		t.Errorf("default routes: %s", got)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

func TestNetworkdProbeRefuses(t *testing.T) {
	r := newRig(t)
	r.networkd(func() {})
	r.actor.Probe = func(context.Context, int) error { return fmt.Errorf("asked: %w", dhcpprobe.ErrSilent) }
	err := r.do(Probe(NetworkdReload("name:eth0")))
	if !errors.Is(err, dhcpprobe.ErrSilent) || !strings.Contains(err.Error(), "eth0 would lose its address") {
		t.Errorf("got %v", err)
	}
	if len(r.called()) != 0 || r.journalled() {
		t.Errorf("touched all the same: %v", r.called())
	}
	r.ns.Sh("ip addr flush dev eth0 scope global\nip addr add 10.0.2.15/24 dev eth0") // a static one
	if err := r.do(Probe(NetworkdReload("name:eth0"))); err != nil {
		t.Errorf("without a lease there is nothing to lose: %v", err)
	}
}

func TestNetworkdHangs(t *testing.T) {
	r := newRig(t)
	done := make(chan struct{})
	defer close(done)
	r.networkd(func() { <-done })
	r.actor.CallTimeout = 500 * time.Millisecond
	begun := time.Now()
	err := r.do(NetworkdReload("name:eth0"))
	if err == nil || !strings.Contains(err.Error(), "systemd-networkd hangs: no answer on D-Bus within 500ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if r.journalled() {
		t.Error("the journal is still there")
	}
}

func TestNetworkdNotRunning(t *testing.T) {
	r := newRig(t)
	for _, a := range []func(...string) error{
		func(s ...string) error { return r.do(NetworkdReload(s...)) },
		func(s ...string) error { return r.do(NMReapply(s...)) },
		func(s ...string) error { return r.do(NMReloadConnections(s...)) },
	} {
		if err := a("name:eth0"); err != nil {
			t.Error(err)
		}
	}
	if r.journalled() {
		t.Error("a journal was written for nothing")
	}
}

func TestNoMessageBus(t *testing.T) {
	r := newRig(t)
	r.actor.Bus = func(context.Context) (*dbus.Conn, error) { return dbus.Connect("unix:path=/no/such/socket") }
	r.actor.Systemd = func(context.Context) (*sd.Conn, error) { return nil, errors.New("no systemd") }
	for _, a := range []provision.Action{NetworkdReload("name:eth0"), NMReload(), NMReapply("name:eth0")} {
		if err := r.do(a); err != nil {
			t.Errorf("%s without any bus: %v", a.Kind, err)
		}
	}
	r.systemd(networkdUnit, "active", r.reconfigure(lease("1000")))
	r.set(linkPath, networkdName+".Link", "AdministrativeState", "configured")
	r.actor.Systemd = r.dialSystemd
	if err := r.do(NetworkdReload("name:eth0")); !errors.Is(err, errNoBus) {
		t.Errorf("networkd runs without a bus: %v, want that it cannot be told", err)
	}
	before := r.foreign()
	if err := r.doAside(NetworkdRestart("name:eth0")); err != nil {
		t.Errorf("restart needs no bus: %v", err)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

func TestUnwritableStateRefusesBeforeTouching(t *testing.T) {
	r := newRig(t)
	r.networkd(func() {})
	r.actor.State = "/proc/no/such/place"
	err := r.do(NetworkdReload("name:eth0"))
	if err == nil || !strings.Contains(err.Error(), "cannot save foreign routes") || len(r.called()) != 0 {
		t.Errorf("got %v, calls %v", err, r.called())
	}
}

// TestCutOffActionIsFinishedByTheNext kills the actor, as a crash would, while the
// link is bare: its context never ends and its goroutine never goes on, so only the
// journal knows.
func TestCutOffActionIsFinishedByTheNext(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	hang := make(chan struct{})
	reached := make(chan struct{})
	r.networkd(func() {
		close(reached)
		<-hang
	})
	r.actor.CallTimeout = time.Hour
	dead := *r.actor
	go func() { _ = r.asideWith(&dead, NetworkdReload("name:eth0")) }()
	<-reached
	if !r.journalled() {
		t.Fatal("nothing was saved before the effect")
	}
	r.ns.Sh(wipe)
	next := *r.actor
	var err error
	r.ns.Do(func() { err = next.Restore(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	if r.journalled() {
		t.Error("the journal is still there")
	}
}

func TestInterruptedActionPutsBack(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	ctx, cancel := context.WithCancelCause(context.Background())
	r.networkd(func() {
		go func() {
			r.set(linkPath, networkdName+".Link", "AdministrativeState", "configuring")
			if _, err := r.ns.Try(wipe + "\n" + lease("1000")); err != nil {
				t.Error(err)
			}
			cancel(os.ErrProcessDone)
		}()
	})
	var err error
	r.aside(func() { err = r.actor.Do(ctx, NetworkdReload("name:eth0")) })
	if !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

func TestNetworkdRestart(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	r.networkd(func() {})
	r.systemd("systemd-networkd.service", "active", r.reconfigure(lease("1000")))
	if err := r.doAside(NetworkdRestart("name:eth0")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.called(), " "); got != "ResetFailedUnit:systemd-networkd.service RestartUnit:systemd-networkd.service:replace" {
		t.Errorf("calls: %s", got)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

func TestRestartOfStoppedAndFailingUnits(t *testing.T) {
	r := newRig(t)
	r.networkd(func() {})
	r.systemd("systemd-networkd.service", "inactive", func() {})
	if err := r.do(NetworkdRestart("name:eth0")); err != nil || len(r.called()) != 0 {
		t.Errorf("stopped: %v, calls %v", err, r.called())
	}

	// One that has failed was meant to run: perhaps it did not survive the last restart.
	r = newRig(t)
	r.networkd(func() {})
	r.systemd("systemd-networkd.service", "failed", func() {})
	if err := r.do(NetworkdRestart("name:eth0")); err != nil {
		t.Errorf("failed: %v", err)
	}
	if got := strings.Join(r.called(), " "); got != "ResetFailedUnit:systemd-networkd.service RestartUnit:systemd-networkd.service:replace" {
		t.Errorf("failed: calls %s", got)
	}

	r = newRig(t)
	r.networkd(func() {})
	r.systemd("systemd-networkd.service", "active", nil)
	r.actor.RestartTimeout = 300 * time.Millisecond
	if err := r.do(NetworkdRestart("name:eth0")); err == nil || !strings.Contains(err.Error(), "did not restart within 300ms") {
		t.Errorf("hanging: %v", err)
	}
}
