package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/provision-net/provision/provision"
)

const (
	devPath = dbus.ObjectPath("/org/freedesktop/NetworkManager/Devices/2")
	acPath  = dbus.ObjectPath("/org/freedesktop/NetworkManager/ActiveConnection/1")
)

// networkManager is a fake of one version; reapplied is called in Reapply.
func (r *rig) networkManager(version string, reapplied func(id uint64) *dbus.Error) {
	r.own(nmName)
	r.set(nmPath, nmName, "Version", version)
	r.set(nmPath, nmName, "Startup", false)
	r.set(devPath, nmDevice, "State", nmActivated)
	r.set(devPath, nmDevice, "ActiveConnection", acPath)
	r.set(devPath, nmDevice, "AvailableConnections", []dbus.ObjectPath{"/org/freedesktop/NetworkManager/Settings/3"})
	r.set(acPath, nmName+".Connection.Active", "StateFlags", uint32(0x1c))
	r.methods(acPath, nmName+".Connection.Active", nil)
	r.methods(nmPath, nmName, map[string]any{
		"Reload": func(flags uint32) *dbus.Error { r.call("Reload %d", flags); return nil },
		"GetDeviceByIpIface": func(name string) (dbus.ObjectPath, *dbus.Error) {
			if name != "eth0" {
				return "/", dbus.NewError(nmName+".UnknownDevice", []any{"no device"})
			}
			return devPath, nil
		},
		"ActivateConnection": func(c, d, s dbus.ObjectPath) (dbus.ObjectPath, *dbus.Error) {
			r.call("Activate %s %s", c, d)
			r.set(devPath, nmDevice, "State", nmActivated)
			return acPath, nil
		},
	})
	r.methods(nmSettings, nmName+".Settings", map[string]any{
		"ReloadConnections": func() (bool, *dbus.Error) { r.call("ReloadConnections"); return true, nil },
	})
	id := uint64(40)
	r.methods(devPath, nmDevice, map[string]any{
		"GetAppliedConnection": func(flags uint32) (map[string]map[string]dbus.Variant, uint64, *dbus.Error) {
			id++
			r.call("GetAppliedConnection %d", flags)
			return map[string]map[string]dbus.Variant{"connection": {"id": dbus.MakeVariant("Wired")}}, id, nil
		},
		"Reapply": func(c map[string]map[string]dbus.Variant, id uint64, flags uint32) *dbus.Error {
			r.call("Reapply %d %d %d", len(c), id, flags)
			return reapplied(id)
		},
	})
}

func fine(uint64) *dbus.Error { return nil }

func TestReapplyOrderAndFlagsByVersion(t *testing.T) {
	for version, flags := range map[string]string{
		"1.30.6": "0", "1.41.90": "0", "1.42.4": "1", "1.52.1": "1", "1.58.1": "1", "2.0.0": "1",
	} {
		r := newRig(t)
		r.networkManager(version, fine)
		if err := r.do(NMReapply("name:eth0")); err != nil {
			t.Errorf("%s: %v", version, err)
		}
		want := "Reload 1, GetAppliedConnection 0, Reapply 0 41 " + flags
		if got := strings.Join(r.called(), ", "); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}

func TestReapplyUnknownVersion(t *testing.T) {
	r := newRig(t)
	r.networkManager("banana", fine)
	if err := r.do(NMReapply("name:eth0")); err == nil || !strings.Contains(err.Error(), `its version is "banana"`) {
		t.Errorf("got %v", err)
	}
	if got := r.called(); len(got) != 0 {
		t.Errorf("touched all the same: %v", got)
	}
}

func TestReapplyAgainWhenSomebodyElseWasFaster(t *testing.T) {
	r := newRig(t)
	r.networkManager("1.42.4", func(id uint64) *dbus.Error {
		if id < 43 {
			return dbus.NewError(nmDevice+".VersionIdMismatch", []any{"mismatch"})
		}
		return nil
	})
	if err := r.do(NMReapply("name:eth0")); err != nil {
		t.Error(err)
	}
	if got := r.called(); got[len(got)-1] != "Reapply 0 43 1" {
		t.Errorf("calls: %v", got)
	}
}

func TestReapplyLeavesExternalAndIdleDevices(t *testing.T) {
	r := newRig(t)
	r.networkManager("1.42.4", fine)
	r.set(acPath, nmName+".Connection.Active", "StateFlags", uint32(0x1c|0x80))
	if err := r.do(NMReapply("name:eth0")); err != nil {
		t.Error(err)
	}
	r.set(devPath, nmDevice, "State", nmDisconnected)
	if err := r.do(NMReapply("name:eth0", "name:lo")); err != nil {
		t.Error(err)
	}
	if got := strings.Join(r.called(), ", "); got != "Reload 1, Reload 1" {
		t.Errorf("calls: %s", got)
	}
}

func TestReapplyPruningIsUndone(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	r.networkManager("1.30.6", func(uint64) *dbus.Error {
		if _, err := r.ns.Try(`ip addr del 192.0.2.77/32 dev eth0
			ip route del 198.51.100.0/24 metric 7`); err != nil {
			t.Error(err)
		}
		return nil
	})
	if err := r.doAside(NMReapply("name:eth0")); err != nil {
		t.Error(err)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
}

func TestNetworkManagerHangs(t *testing.T) {
	r := newRig(t)
	done := make(chan struct{})
	defer close(done)
	r.networkManager("1.42.4", func(uint64) *dbus.Error { <-done; return nil })
	r.actor.CallTimeout = 500 * time.Millisecond
	err := r.do(NMReapply("name:eth0"))
	if err == nil || !strings.Contains(err.Error(), "eth0: NetworkManager hangs: no answer on D-Bus within 500ms") {
		t.Errorf("got %v", err)
	}
}

func TestReloadOnly(t *testing.T) {
	r := newRig(t)
	r.networkManager("1.42.4", fine)
	if err := r.do(NMReload()); err != nil {
		t.Error(err)
	}
	if got := strings.Join(r.called(), ", "); got != "Reload 1" || r.journalled() {
		t.Errorf("calls: %s", got)
	}
}

func TestReloadConnectionsActivatesIdleDevices(t *testing.T) {
	r := newRig(t)
	r.networkManager("1.42.4", fine)
	if err := r.do(NMReloadConnections("name:eth0")); err != nil {
		t.Error(err)
	}
	r.set(devPath, nmDevice, "State", nmDisconnected)
	if err := r.do(NMReloadConnections("name:eth0")); err != nil {
		t.Error(err)
	}
	r.set(devPath, nmDevice, "State", nmDisconnected)
	r.set(devPath, nmDevice, "AvailableConnections", []dbus.ObjectPath{}) // on the way back
	if err := r.do(NMReloadConnections("name:eth0")); err != nil {
		t.Error(err)
	}
	want := "ReloadConnections, ReloadConnections, Activate /org/freedesktop/NetworkManager/Settings/3 " + string(devPath) + ", ReloadConnections"
	if got := strings.Join(r.called(), ", "); got != want {
		t.Errorf("calls: %s", got)
	}
}

func TestManagedFollowsTheFile(t *testing.T) {
	r := newRig(t)
	r.networkManager("1.42.4", fine)
	r.set(devPath, nmDevice, "Managed", false)
	const conf = "/etc/NetworkManager/conf.d/x.conf"
	a := NMManaged(NMReloadConnections("name:eth0"), conf)
	r.actor.Root = t.TempDir()
	path := r.actor.path(conf)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"[x]\nmatch-device=interface-name:=eth01\n", "[x]\nmatch-device=interface-name:=eth0\nmanaged=1\n", ""} {
		err := os.WriteFile(path, []byte(text), 0o644)
		if text == "" { // on the way back
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.do(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := "ReloadConnections, ReloadConnections, ReloadConnections, Set Managed true, ReloadConnections, ReloadConnections, Set Managed false, ReloadConnections"
	if got := strings.Join(r.called(), ", "); got != want {
		t.Errorf("calls: %s", got)
	}
}

func TestNetworkManagerRestartWaitsForActivation(t *testing.T) {
	r := newRig(t)
	before := r.foreign()
	r.networkManager("1.42.4", fine)
	r.systemd("NetworkManager.service", "active", func() {
		r.set(nmPath, nmName, "Startup", true)
		r.set(devPath, nmDevice, "State", uint32(70))
		go func() {
			if _, err := r.ns.Try(wipe + "\n" + lease("1000")); err != nil {
				t.Error(err)
			}
			r.set(devPath, nmDevice, "State", nmActivated)
			r.set(nmPath, nmName, "Startup", false)
		}()
	})
	if err := r.doAside(NMRestart("name:eth0")); err != nil {
		t.Fatal(err)
	}
	if after := r.foreign(); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	if got := strings.Join(r.called(), ", "); got != "ResetFailedUnit:NetworkManager.service, RestartUnit:NetworkManager.service:replace" {
		t.Errorf("calls: %s", got)
	}
}

// A restart that was cut off leaves a daemon that has read the files and is not on the
// bus yet: it is waited for, not taken for stopped.
func TestNetworkManagerThatIsStarting(t *testing.T) {
	r := newRig(t)
	r.systemd("NetworkManager.service", "activating", func() {})
	time.AfterFunc(300*time.Millisecond, func() { r.networkManager("1.42.4", fine) })
	if err := r.doAside(NMRestart("name:eth0")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.called(), ", "); got != "ResetFailedUnit:NetworkManager.service, RestartUnit:NetworkManager.service:replace" {
		t.Errorf("calls: %s", got)
	}

	r = newRig(t)
	r.systemd("NetworkManager.service", "activating", func() {})
	r.actor.CallTimeout = 200 * time.Millisecond
	if err := r.doAside(NMReload()); err == nil || !strings.Contains(err.Error(), "NetworkManager hangs: NetworkManager.service has been started") {
		t.Errorf("one that never comes: %v", err)
	}
}

func TestAlive(t *testing.T) {
	actions := []provision.Action{NMReload(), NMRestart("name:eth0"), Ifup("eth0")}
	r := newRig(t)
	if err := r.actor.Alive(t.Context(), actions); err != nil {
		t.Errorf("one that does not run: %v", err)
	}
	r.networkManager("1.42.4", fine)
	if err := r.actor.Alive(t.Context(), actions); err != nil || len(r.called()) != 0 {
		t.Errorf("%v, calls %v", err, r.called())
	}

	// It is on the bus and answers nothing.
	r = newRig(t)
	r.actor.CallTimeout = 200 * time.Millisecond
	other, err := dbus.Connect(r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	stuck := make(chan struct{})
	defer close(stuck)
	get := func(i, n string) (dbus.Variant, *dbus.Error) { <-stuck; return dbus.Variant{}, nil }
	if err := other.ExportMethodTable(map[string]any{"Get": get}, nmPath, "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.RequestName(nmName, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.actor.Alive(t.Context(), actions); err == nil || !strings.Contains(err.Error(), "NetworkManager hangs") {
		t.Errorf("one that hangs: %v", err)
	}
}
