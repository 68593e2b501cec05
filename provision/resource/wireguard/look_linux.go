package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

// links is one look at the devices that are, or may be, WireGuard.
type links struct {
	conn    conn
	sockets string
	table   *netdev.Table
	seen    map[string]*Device // by socket
}

// Share returns a context in which each device is read once: its dump has all its peers, and the device and its peers are
// asked for one after the other. Who has it changes no device, and uses it on one thread (see netdev.Share).
func Share(ctx context.Context) context.Context {
	return context.WithValue(ctx, sharing{}, map[string]*Device{})
}

type sharing struct{}

func look(ctx context.Context, sockets string) (*links, error) {
	if sockets == "" {
		sockets = Sockets
	}
	t, err := netdev.Read(ctx)
	if err != nil {
		return nil, err
	}
	seen, _ := ctx.Value(sharing{}).(map[string]*Device)
	if seen == nil {
		seen = map[string]*Device{}
	}
	return &links{sockets: sockets, table: t, seen: seen}, nil
}

func (l *links) close() { l.conn.close() }

// find is the device of this name, nil when there is none; other is the kind of one that is no
// WireGuard.
func (l *links) find(ctx context.Context, name string) (d *Device, other string, err error) {
	at := filepath.Join(l.sockets, name)
	if d, ok := l.seen[at]; ok {
		return d, "", nil
	}
	for _, n := range l.table.Devices {
		if n.Name != name {
			continue
		}
		d = &Device{Name: name, Index: n.Index, Up: n.Up, Alias: n.Alias}
		switch n.Kind {
		case "wireguard":
			err = l.conn.kernelRead(ctx, d)
		case "tun":
			d.Userspace = true
			if err = userRead(ctx, l.sockets, d); nobody(err) {
				return nil, "tun device without a WireGuard process", nil
			}
		default:
			if n.Kind == "" {
				return nil, "network card", nil
			}
			return nil, n.Kind + " device", nil
		}
		if errors.Is(err, unix.ENODEV) {
			return nil, "", nil // it has just gone away
		}
		if err != nil {
			return nil, "", err
		}
		l.seen[at] = d
		return d, "", nil
	}
	return nil, "", nil
}

// nobody reports whether an error of dialling means that nobody listens on a socket; its file alone is what a killed
// process leaves.
func nobody(err error) bool { return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) }

// answers reports whether somebody listens on the socket.
func answers(sockets, name string) bool {
	s, err := net.Dial("unix", filepath.Join(sockets, name+".sock"))
	if err != nil {
		return !nobody(err)
	}
	s.Close()
	return true
}

// Read is the device as it is, nil when there is none. sockets is the directory of userspace devices'
// sockets, empty for Sockets.
func Read(ctx context.Context, sockets, name string) (*Device, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	l, err := look(ctx, sockets)
	if err != nil {
		return nil, err
	}
	defer l.close()
	d, _, err := l.find(ctx, name)
	return d, err
}

// Names are the WireGuard devices there are, in the kernel's order; one that is somebody else's too.
func Names(ctx context.Context, sockets string) ([]string, error) {
	l, err := look(ctx, sockets)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range l.table.Devices {
		if d.Kind == "wireguard" || d.Kind == "tun" && answers(l.sockets, d.Name) {
			out = append(out, d.Name)
		}
	}
	return out, nil
}

// SetEndpoint says where a peer is, which overrides where it was heard last. It does nothing to a peer
// that does not exist.
func SetEndpoint(ctx context.Context, sockets, name string, public Key, endpoint string) error {
	e, err := parseEndpoint(endpoint)
	if err != nil {
		return err
	}
	l, err := look(ctx, sockets)
	if err != nil {
		return err
	}
	defer l.close()
	d, _, err := l.find(ctx, name)
	switch {
	case err != nil:
		return err
	case d == nil:
		return fmt.Errorf("there is no WireGuard device %s: %w", name, unix.ENODEV)
	}
	return l.conn.tell(ctx, l.sockets, d, change{peers: []peerChange{{publicKey: public, updateOnly: true, endpoint: e}}})
}
