package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/vishvananda/netlink"

	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/dhcpprobe"
)

const ifstate = "/run/network/ifstate"

func variant(v any) dbus.Variant { return dbus.MakeVariant(v) }

// ifup decides from what ifupdown says is up and from whether our file is there.
func (x *Actor) ifup(ctx context.Context, r request) error {
	state, err := readBounded(x.path(ifstate))
	if errors.Is(err, fs.ErrNotExist) {
		x.log().Info("ifupdown has no state, nothing to do", "file", ifstate)
		return nil
	}
	if err != nil {
		return err
	}
	up := listed(state, r.ifname)
	saved := filepath.Join(x.state(), "ifup", filepath.Base(IfupFile(r.ifname)))

	definition, err := readBounded(x.path(IfupFile(r.ifname)))
	if errors.Is(err, fs.ErrNotExist) {
		return x.ifdown(ctx, r.ifname, saved, up)
	}
	if err != nil || up {
		return err
	}
	l, err := netlink.LinkByName(r.ifname)
	if err != nil {
		return fmt.Errorf("%s: %w", r.ifname, err)
	}
	if l.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("cannot set %s up: %w", r.ifname, err)
		}
	}
	// ifup would wait a minute for a lease that nobody gives and then fail; a NIC
	// without cable or server is left for the next boot, which does not wait for it.
	if wantsDHCP(definition) {
		err := x.probe(ctx, l.Attrs().Index)
		if errors.Is(err, dhcpprobe.ErrSilent) {
			x.log().Warn("not brought up now: no DHCP server answers; it comes up at the next boot or by ifup", "link", r.ifname)
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := writeDurable(saved, definition); err != nil {
		return err
	}
	if hotplug(definition, r.ifname) {
		if c, unit := x.hotplugUnit(ctx, r.ifname); c != nil {
			defer c.Close()
			return x.restart(ctx, c, unit)
		}
	}
	return x.run(ctx, "ifup", r.ifname)
}

// ifdown takes down what was brought up, by the definition that it was brought up by.
func (x *Actor) ifdown(ctx context.Context, ifname, saved string, up bool) error {
	_, err := os.Stat(saved)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // not ours
	}
	if err != nil {
		return err
	}
	if up {
		if err := x.run(ctx, "ifdown", "--force", "-i", saved, ifname); err != nil {
			return err
		}
	}
	x.forget(ctx, ifname)
	return os.Remove(saved)
}

func (x *Actor) run(ctx context.Context, argv ...string) error {
	if x.Runner == nil {
		return fmt.Errorf("nothing to run %s with", argv[0])
	}
	limit := 60 * time.Second
	out, err := x.Runner.Run(ctx, host.Command{Argv: argv, Timeout: limit})
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), out.Code, bytes.TrimSpace(out.Stderr))
	}
	return nil
}

// listed reports whether ifstate has "IFNAME=LOGICAL" (or "IFNAME", older).
func listed(state []byte, ifname string) bool {
	for line := range bytes.Lines(state) {
		name, _, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		if name == ifname {
			return true
		}
	}
	return false
}

// wantsDHCP finds "iface NAME inet dhcp".
func wantsDHCP(definition []byte) bool {
	for line := range bytes.Lines(definition) {
		w := strings.Fields(string(line))
		if len(w) >= 4 && w[0] == "iface" && w[2] == "inet" && w[3] == "dhcp" {
			return true
		}
	}
	return false
}

// writeDurable writes a small file of ours, mode 0600, in one step.
func writeDurable(path string, b []byte) error {
	dir := filepath.Dir(path)
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
