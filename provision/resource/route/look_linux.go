package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// world is one look at devices and routes.
type world struct {
	devices *netdev.Table
	found   map[string]netdev.Device // by selector
	routes  map[uint8][]live         // by family, in the kernel's order
	at      map[place][]int          // positions in routes of that family
	rows    map[row][]int
}

// ask is one name, parsed.
type ask struct {
	name string
	key  Key
	place
	dev     netdev.Device
	present bool // the device is there, or none is needed
}

func look(ctx context.Context, names []string) (*world, []ask, error) {
	w := &world{found: map[string]netdev.Device{}, routes: map[uint8][]live{}, at: map[place][]int{}, rows: map[row][]int{}}
	var errs []error
	asks := make([]ask, len(names))
	for i, name := range names {
		k, err := Parse(name)
		errs = append(errs, err)
		asks[i] = ask{name: name, key: k}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	var err error
	if w.devices, err = netdev.Read(ctx); err != nil {
		return nil, nil, err
	}
	for i := range asks {
		a := &asks[i]
		errs = append(errs, w.resolve(a))
		if err := w.dump(ctx, a.family); err != nil {
			return nil, nil, err
		}
	}
	return w, asks, errors.Join(errs...)
}

func (w *world) resolve(a *ask) error {
	k := a.key
	a.row = row{family: unix.AF_INET, table: k.Table, dst: k.Dst, metric: k.Metric}
	if k.Family == 6 {
		a.family = unix.AF_INET6
	}
	a.kind = kinds()[k.Type]
	if k.Dev == "" {
		a.present = true
		return nil
	}
	d, known := w.found[k.Dev]
	if !known {
		var ok bool
		var err error
		if d, ok, err = w.devices.Find(k.Dev); err != nil {
			return fmt.Errorf("route %q: %w", a.name, err)
		}
		if !ok {
			d = netdev.Device{}
		}
		w.found[k.Dev] = d
	}
	a.dev, a.index, a.present = d, d.Index, d.Index != 0
	return nil
}

func kinds() map[string]uint8 {
	return map[string]uint8{"": unix.RTN_UNICAST, Unreachable: unix.RTN_UNREACHABLE, Blackhole: unix.RTN_BLACKHOLE, Prohibit: unix.RTN_PROHIBIT, Throw: unix.RTN_THROW}
}

// dump reads all routes of a family once.
func (w *world) dump(ctx context.Context, family uint8) error {
	if _, ok := w.routes[family]; ok {
		return nil
	}
	msgs, err := netdev.Dump(ctx, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, &nl.RtMsg{RtMsg: unix.RtMsg{Family: family}})
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("cannot list routes: %w", err)
	}
	list := make([]live, 0, len(msgs))
	for _, m := range msgs {
		if list, err = decode(m, list); err != nil {
			return fmt.Errorf("cannot list routes: %w", err)
		}
	}
	for i, r := range list {
		w.at[r.place] = append(w.at[r.place], i)
		w.rows[r.row] = append(w.rows[r.row], i)
	}
	w.routes[family] = list
	return nil
}

// get is the route of a name: ours, else the first that somebody else has there.
func (w *world) get(a ask) *live {
	if !a.present {
		return nil
	}
	var first *live
	for _, i := range w.at[a.place] {
		r := &w.routes[a.family][i]
		if r.proto == Protocol {
			return r
		}
		if first == nil && (r.index != 0 || r.kind != unix.RTN_UNICAST) {
			first = r
		}
	}
	return first
}

// row are all routes that share what decides which of them is used.
func (w *world) row(r row) []live {
	var out []live
	for _, i := range w.rows[r] {
		out = append(out, w.routes[r.family][i])
	}
	return out
}

// onMachine reports whether addr is on this machine and may be used as a source.
func onMachine(ctx context.Context, addr netip.Addr) (bool, error) {
	family := uint8(unix.AF_INET6)
	if addr.Is4() {
		family = unix.AF_INET
	}
	msgs, err := netdev.Dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(int(family)))
	if err != nil {
		return false, fmt.Errorf("cannot list addresses: %w", err)
	}
	for _, m := range msgs {
		if len(m) < unix.SizeofIfAddrmsg {
			return false, errMessage
		}
		list, err := netdev.ParseAttrs(m[unix.SizeofIfAddrmsg:])
		if err != nil {
			return false, errMessage
		}
		// Of a point-to-point address IFA_ADDRESS is the peer and IFA_LOCAL the own one.
		var own netip.Addr
		flags := uint32(m[2])
		for _, a := range list {
			switch {
			case a.Kind == unix.IFA_LOCAL, a.Kind == unix.IFA_ADDRESS && !own.IsValid():
				own, _ = netip.AddrFromSlice(a.Data)
			case a.Kind == unix.IFA_FLAGS && len(a.Data) == 4:
				flags = native.Uint32(a.Data)
			}
		}
		if own == addr && flags&unix.IFA_F_TENTATIVE == 0 {
			return true, nil
		}
	}
	return false, nil
}
