package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/provision-net/provision/provision/host"
)

// A NIC that is to come up when it is plugged in is brought up by the unit that is bound to its device, and its unit is stopped
// on the way back.
func TestIfupThroughTheHotplugUnit(t *testing.T) {
	for _, c := range []struct {
		name, file, device string
		ran, called        []string
	}{
		{"allow-hotplug", stanza, "active", nil, []string{"ResetFailedUnit:ifup@eth0.service", "RestartUnit:ifup@eth0.service:replace"}},
		{"auto", "auto eth0\niface eth0 inet dhcp\n", "active", []string{"ifup eth0"}, nil},
		{"udev does not know it", stanza, "inactive", []string{"ifup eth0"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := hotplugRig(t, c.device)
			r.put("/run/network/ifstate", "lo=lo\n")
			r.put(IfupFile("eth0"), c.file)
			f := host.NewFake(t)
			r.actor.Runner = f
			for _, cmd := range c.ran {
				f.Answer(cmd, host.Answer{})
			}
			if err := r.doAside(Ifup("eth0")); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.Ran(), c.ran) || !slices.Equal(r.called(), c.called) {
				t.Errorf("ran %q, called %q", f.Ran(), r.called())
			}
		})
	}
	t.Run("back", func(t *testing.T) {
		r := hotplugRig(t, "active")
		r.put("/run/network/ifstate", "eth0=eth0\n")
		saved := filepath.Join(r.actor.State, "ifup", "provision-eth0")
		if err := writeDurable(saved, []byte(stanza)); err != nil {
			t.Fatal(err)
		}
		f := host.NewFake(t)
		r.actor.Runner = f
		f.Answer("ifdown --force -i "+saved+" eth0", host.Answer{})
		if err := r.doAside(Ifup("eth0")); err != nil {
			t.Fatal(err)
		}
		if want := []string{"StopUnit:ifup@eth0.service:replace", "ResetFailedUnit:ifup@eth0.service"}; len(f.Ran()) != 1 || !slices.Equal(r.called(), want) {
			t.Errorf("ran %q, called %q", f.Ran(), r.called())
		}
	})
}

func hotplugRig(t *testing.T, device string) *rig {
	t.Helper()
	r := newRig(t)
	r.actor.Root = t.TempDir()
	if err := os.MkdirAll(filepath.Join(r.actor.Root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.systemd("", device, func() {})
	return r
}
