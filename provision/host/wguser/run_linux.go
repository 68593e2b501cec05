package wguser

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// Run is the device until ctx ends or somebody removes it, which is no error. It sets the umask of
// the process.
func Run(ctx context.Context, name string, o Options) error {
	if o.Sockets == "" {
		o.Sockets = Sockets
	}
	t, err := open(name)
	if err != nil {
		return err
	}
	l, err := listen(o.Sockets, name)
	if err != nil {
		t.Close()
		return err
	}
	d := device.NewDevice(follow(t, name), conn.NewDefaultBind(), logger(o.Log.With("device", name)))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go d.IpcHandle(c)
		}
	}()
	if o.Ready != nil {
		o.Ready()
	}
	select {
	case <-ctx.Done():
	case <-d.Wait():
	}
	err = l.Close() // removes the socket
	d.Close()
	return err
}

// logger says what goes wrong, and more than that only to who wants to hear it: some of it is said for
// each packet.
func logger(log *slog.Logger) *device.Logger {
	l := &device.Logger{Verbosef: device.DiscardLogf, Errorf: func(format string, args ...any) { log.Warn(fmt.Sprintf(format, args...)) }}
	if log.Enabled(context.Background(), slog.LevelDebug) {
		l.Verbosef = func(format string, args ...any) { log.Debug(fmt.Sprintf(format, args...)) }
	}
	return l
}

// open makes the TUN device.
func open(name string) (tun.Device, error) {
	t, err := tun.CreateTUN(name, device.DefaultMTU)
	switch _, missing := os.Stat("/dev/net/tun"); {
	case err == nil:
	case missing != nil, errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("cannot make the device %s: this kernel has no tun device (/dev/net/tun); load it with `modprobe tun`: %w", name, err)
	case errors.Is(err, unix.EBUSY):
		return nil, fmt.Errorf("cannot make the device %s: there is one of this name: %w", name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("cannot make the device %s: run as root: %w", name, err)
	default:
		return nil, fmt.Errorf("cannot make the device %s: %w", name, err)
	}
	// The kernel replaces %d in a name.
	if now, err := t.Name(); err != nil || now != name {
		t.Close()
		return nil, fmt.Errorf("cannot make the device %s: it would be called %s", name, now)
	}
	return t, nil
}

// listen opens the socket, for nobody but root. A file that a killed process left is in the way, for
// the device of this name is ours by now.
func listen(dir, name string) (*net.UnixListener, error) {
	unix.Umask(0o077)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of WireGuard's sockets: %w", err)
	}
	path := filepath.Join(dir, name+".sock")
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("cannot listen on %s: another process does", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return l, nil
}
