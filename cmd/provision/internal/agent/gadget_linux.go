package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/linkname"
	"github.com/provision-net/provision/provision/resource/usbgadget"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

// gadgetResources registers the sorts of state that the wing of the USB side plans.
func (a *Agent) gadgetResources(e *provision.Engine, root *host.Root) {
	for kind, r := range usbgadget.Resources(root, "") {
		if u, ok := r.(*usbgadget.Resource); ok {
			u.Log = kernelLog
		}
		e.Resources[kind] = r
	}
	e.Resources[address.Kind] = address.Resource{}
	e.Resources[bridge.Kind] = bridge.Resource{}
	e.Resources[bridge.PortKind] = bridge.Ports{}
	e.Resources[linkname.Kind] = linkname.Resource{}
	e.Actors[serveReload] = serveActor{}
}

// serveActor has a running server read anew what it serves; one that does not run reads it when it
// starts.
type serveActor struct{ socket string }

// Aloof implements provision.Aloof: the server has sockets and leases, and no state of the machine.
func (serveActor) Aloof() bool { return true }

// lookOnce has the kinds share what one reading asks the kernel.
func lookOnce(ctx context.Context) context.Context { return wireguard.Share(netdev.Share(ctx)) }

// Do implements provision.Actor.
func (s serveActor) Do(ctx context.Context, _ provision.Action) error {
	socket := s.socket
	if socket == "" {
		socket = control.DefaultSocket
	}
	err := control.Client{Socket: socket}.Post(ctx, control.PathReload, nil, nil)
	if err == nil || errors.Is(err, control.ErrNotRunning) {
		return nil
	}
	return fmt.Errorf("the server does not take over the gadget's links: %w", err)
}

// gadgetKernel has configfs mounted and libcomposite loaded, so that there is a place to make
// gadgets in. Where nothing is to be changed it only finds out whether that would go.
func (a *Agent) gadgetKernel(ctx context.Context, f *facts.Facts) error {
	u := &f.USB
	if a.offline() || u.ConfigFS == usbgadget.Mount && u.LibComposite {
		return nil
	}
	if !a.load || os.Geteuid() != 0 {
		if modular(f.Machine.Kernel, "libcomposite") {
			u.ConfigFS, u.LibComposite = usbgadget.Mount, true
		}
		return nil // the planner says what is missing
	}
	if !u.LibComposite {
		if err := a.modprobe(ctx, "libcomposite"); err != nil {
			return err
		}
	}
	if err := mountConfigFS(); err != nil {
		return err
	}
	if _, err := os.Stat(usbgadget.Mount + "/usb_gadget"); err != nil {
		return fmt.Errorf("%w: the kernel has no USB gadgets, although libcomposite is loaded: %w", ErrMissing, err)
	}
	u.ConfigFS, u.LibComposite = usbgadget.Mount, true
	return nil
}

// mountConfigFS mounts it where it always is; the kernel makes the directory (fs/configfs/mount.c).
func mountConfigFS() error {
	var s unix.Statfs_t
	if err := unix.Statfs(usbgadget.Mount, &s); err == nil && s.Type == configfsMagic {
		return nil
	}
	if err := unix.Mount("configfs", usbgadget.Mount, "configfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: cannot mount configfs on %s: %w", ErrMissing, usbgadget.Mount, err)
	}
	return nil
}

// configfsMagic is CONFIGFS_MAGIC of fs/configfs/mount.c.
const configfsMagic = 0x62656570

// modprobe loads a module with all that it needs. No alias leads to libcomposite, so the kernel does
// not ask for it by itself.
func (a *Agent) modprobe(ctx context.Context, module string) error {
	c := host.Command{Argv: []string{"modprobe", module}}
	out, err := a.runner.Run(ctx, c)
	if err == nil && out.Code == 0 {
		return nil
	}
	why := fmt.Sprintf("ended with status %d", out.Code)
	if err != nil {
		why = "cannot be run: " + err.Error()
	} else if said := strings.Join(strings.Fields(string(out.Stderr)), " "); said != "" {
		why = "says: " + strings.TrimSuffix(said, ".")
	}
	return fmt.Errorf("%w: this kernel cannot be a USB device: `%s` %s. Install a kernel with CONFIG_USB_LIBCOMPOSITE, or its full set of modules", ErrMissing, c, why)
}

// modular reports whether a module is there to be loaded.
func modular(release, module string) bool {
	for _, file := range []string{"modules.dep", "modules.builtin"} {
		text, err := readBounded(filepath.Join("/lib/modules", release, file), 16<<20)
		if err == nil && strings.Contains(string(text), "/"+module+".ko") {
			return true
		}
	}
	return false
}
