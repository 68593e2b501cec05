package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	busName = "org.freedesktop.resolve1"
	path    = dbus.ObjectPath("/org/freedesktop/resolve1")
	manager = busName + ".Manager"
	link    = busName + ".Link"

	// A systemd-resolved that is stuck must not hold up everything else; the bus itself may be so.
	limit = time.Second
)

// address and domain are (iay) and (sb) of the interface.
type address struct {
	Family int32
	Bytes  []byte
}

type domain struct {
	Name      string
	RouteOnly bool
}

// SystemBus connects to systemd-resolved over the system bus; nil, nil when it does not run. It is never
// started.
func SystemBus(ctx context.Context) (Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type opened struct {
		conn *dbus.Conn
		err  error
	}
	got := make(chan opened, 1)
	go func() {
		c, err := dbus.ConnectSystemBus() // ends by Close
		got <- opened{c, err}
	}()
	var o opened
	select {
	case o = <-got:
	case <-ctx.Done():
		go func() {
			if late := <-got; late.err == nil {
				late.conn.Close()
			}
		}()
		return nil, fmt.Errorf("the message bus does not answer: %w", ctx.Err())
	}
	if errors.Is(o.err, unix.ENOENT) || errors.Is(o.err, unix.ECONNREFUSED) {
		return nil, nil
	}
	if o.err != nil {
		return nil, o.err
	}
	var runs bool
	err := o.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, busName).Store(&runs)
	if err != nil || !runs {
		o.conn.Close()
		return nil, err
	}
	return &bus{o.conn}, nil
}

type bus struct{ conn *dbus.Conn }

func (b *bus) Close() { b.conn.Close() }

func (b *bus) call(ctx context.Context, method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return b.conn.Object(busName, path).CallWithContext(ctx, manager+"."+method, dbus.FlagNoAutoStart, args...)
}

// Link implements Bus.
func (b *bus) Link(ctx context.Context, index int) (Link, error) {
	var object dbus.ObjectPath
	if err := b.call(ctx, "GetLink", int32(index)).Store(&object); err != nil {
		return Link{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var all map[string]dbus.Variant
	if err := b.conn.Object(busName, object).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", dbus.FlagNoAutoStart, link).Store(&all); err != nil {
		return Link{}, err
	}
	var out Link
	var servers []address
	var domains []domain
	if err := errors.Join(all["DNS"].Store(&servers), all["Domains"].Store(&domains)); err != nil {
		return out, err
	}
	_ = all["DefaultRoute"].Store(&out.Default) // since version 240
	for _, s := range servers {
		if a, ok := netip.AddrFromSlice(s.Bytes); ok {
			out.Servers = append(out.Servers, a)
		}
	}
	for _, d := range domains {
		name := d.Name
		if d.RouteOnly {
			name = "~" + name
		}
		out.Domains = append(out.Domains, name)
	}
	return out, nil
}

// SetLink implements Bus.
func (b *bus) SetLink(ctx context.Context, index int, l Link) error {
	servers, domains := make([]address, 0, len(l.Servers)), make([]domain, 0, len(l.Domains))
	for _, a := range l.Servers {
		family := int32(unix.AF_INET6)
		if a.Is4() {
			family = unix.AF_INET
		}
		servers = append(servers, address{family, a.AsSlice()})
	}
	for _, d := range l.Domains {
		name, routeOnly := strings.CutPrefix(d, "~")
		domains = append(domains, domain{name, routeOnly})
	}
	// Domains first: with servers alone a link would get questions that are not for it.
	if err := b.call(ctx, "SetLinkDomains", int32(index), domains).Err; err != nil {
		return err
	}
	err := b.call(ctx, "SetLinkDefaultRoute", int32(index), l.Default).Err
	var unknown dbus.Error
	if err != nil && !(errors.As(err, &unknown) && unknown.Name == "org.freedesktop.DBus.Error.UnknownMethod") {
		return err
	}
	return b.call(ctx, "SetLinkDNS", int32(index), servers).Err
}

// Revert implements Bus.
func (b *bus) Revert(ctx context.Context, index int) error {
	return b.call(ctx, "RevertLink", int32(index)).Err
}
