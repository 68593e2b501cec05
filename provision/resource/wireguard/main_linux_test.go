package wireguard

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/wguser"
)

// The test binary is the userspace device too.
func TestMain(m *testing.M) {
	wguser.Child()
	os.Exit(m.Run())
}

// world is an empty network namespace whose devices wg(8) finds, with what makes them.
type world struct {
	*testing.T
	devices Resource
	peers   Peers
}

// newWorld has the kernel's devices where it has them, or those of userspace.
func newWorld(t *testing.T, kernel bool) world {
	t.Helper()
	nstest.Network(t)
	if err := os.MkdirAll(wguser.Sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(wguser.Sockets)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Mount(t, "tmpfs", real, "tmpfs", 0, "")
	w := world{T: t, devices: Resource{NoKernel: !kernel}}
	if kernel {
		if err := makeLink(t.Context(), "probe"); err != nil {
			t.Skipf("skipped: the kernel has no WireGuard: %v", err)
		}
		if err := removeLink(t.Context(), 0, "probe"); err != nil {
			t.Fatal(err)
		}
	} else {
		if _, err := os.Stat("/dev/net/tun"); err != nil {
			t.Skipf("skipped: no tun device: %v", err)
		}
		w.devices.Userspace = wguser.Starter{Program: program(t), Tied: true}
	}
	return w
}

func program(t *testing.T) string {
	p, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// both runs a test with each sort of device.
func both(t *testing.T, test func(w world)) {
	t.Run("userspace", func(t *testing.T) { test(newWorld(t, false)) })
	t.Run("kernel", func(t *testing.T) { test(newWorld(t, true)) })
}

// set brings one reference to want.
func (w world) set(want provision.Want) {
	w.Helper()
	if err := w.try(want); err != nil {
		w.Fatal(err)
	}
}

func (w world) try(want provision.Want) error {
	w.Helper()
	r := provision.Resource(w.devices)
	if want.Kind == PeerKind {
		r = w.peers
	}
	have, err := r.Get(w.Context(), want.Name)
	if err != nil {
		return err
	}
	attrs := want.Attrs
	if have != nil && attrs != nil {
		attrs = provision.Attrs{}
		for k, v := range want.Attrs {
			if k != AttrEndpoint {
				attrs[k] = v
			}
		}
	}
	return r.Set(w.Context(), want.Name, have, attrs)
}

// key is a private key made of one byte, and so the same in each run.
func key(n byte) Key { return Key{1: n}.Clamp() }
