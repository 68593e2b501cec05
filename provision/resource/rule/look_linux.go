package rule

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// world is one look at the rules.
type world struct {
	devices *netdev.Table    // read when a name selects a device
	rules   map[uint8][]live // by family, in the order in which they are asked
	at      map[ident][]int
}

// ask is one name, parsed.
type ask struct {
	name string
	ident
	missing string // selector of a device that is not there and whose name is not known
}

func look(ctx context.Context, names []string) (*world, []ask, error) {
	w := &world{rules: map[uint8][]live{}, at: map[ident][]int{}}
	asks := make([]ask, len(names))
	var errs []error
	for i, name := range names {
		k, err := Parse(name)
		if err == nil {
			asks[i], err = w.resolve(ctx, name, k)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	for _, a := range asks {
		if err := w.dump(ctx, a.family); err != nil {
			return nil, nil, err
		}
	}
	return w, asks, nil
}

func (w *world) resolve(ctx context.Context, name string, k Key) (ask, error) {
	a := ask{name: name}
	a.ident = ident{family: unix.AF_INET, priority: k.Priority, not: k.Not, from: k.From, to: k.To, mark: k.Mark, mask: k.Mask, ipproto: k.IPProto, sport: k.SPort, dport: k.DPort, uid: UIDs{0, anyUID}, target: k.Target}
	if k.Family == 6 {
		a.family = unix.AF_INET6
	}
	if !a.from.IsValid() {
		a.from = anywhere(a.family)
	}
	if !a.to.IsValid() {
		a.to = anywhere(a.family)
	}
	if k.UID != nil {
		a.uid = *k.UID
	}
	a.action = map[string]uint8{"": unix.FR_ACT_TO_TBL, Goto: unix.FR_ACT_GOTO, Unreachable: unix.FR_ACT_UNREACHABLE, Blackhole: unix.FR_ACT_BLACKHOLE, Prohibit: unix.FR_ACT_PROHIBIT}[k.Action]
	for _, d := range []struct {
		selector string
		to       *string
	}{{k.Iif, &a.iif}, {k.Oif, &a.oif}} {
		if d.selector == "" {
			continue
		}
		dev, err := w.device(ctx, d.selector)
		if err != nil {
			return a, fmt.Errorf("rule %q: %w", name, err)
		}
		if *d.to = dev; dev == "" {
			a.missing = d.selector
		}
	}
	return a, nil
}

// device is the present name of what selector selects. A name alone is one though there is no such
// device yet: the kernel waits for it.
func (w *world) device(ctx context.Context, selector string) (string, error) {
	s, err := netdev.Parse(selector)
	if err != nil {
		return "", err
	}
	if s.Name == "lo" {
		return s.Name, nil // without a dump: what this machine itself sends
	}
	if w.devices == nil {
		if w.devices, err = netdev.Read(ctx); err != nil {
			return "", err
		}
	}
	d, ok, err := w.devices.Find(selector)
	switch {
	case err != nil:
		return "", err
	case ok:
		return d.Name, nil
	case len(s.Name) >= unix.IFNAMSIZ:
		return "", nil // an alternative name
	}
	return s.Name, nil
}

// dump reads all rules of a family once.
func (w *world) dump(ctx context.Context, family uint8) error {
	if _, ok := w.rules[family]; ok {
		return nil
	}
	msgs, err := netdev.Dump(ctx, unix.RTM_GETRULE, unix.RTM_NEWRULE, &nl.RtMsg{RtMsg: unix.RtMsg{Family: family}})
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("cannot list rules: %w", err)
	}
	list := make([]live, 0, len(msgs))
	for _, m := range msgs {
		r, ok, err := decode(m)
		if err != nil {
			return fmt.Errorf("cannot list rules: %w", err)
		}
		if ok && r.family == family {
			w.at[r.ident] = append(w.at[r.ident], len(list))
			list = append(list, r)
		}
	}
	w.rules[family] = list
	return nil
}

// get is the rule of a name: ours, else the first that somebody else made.
func (w *world) get(a ask) *live {
	if a.missing != "" {
		return nil
	}
	var first *live
	for _, i := range w.at[a.ident] {
		r := &w.rules[a.family][i]
		if r.proto == Protocol {
			return r
		}
		if first == nil {
			first = r
		}
	}
	return first
}

// position of exactly this rule among those of its family, -1 when there is none.
func (w *world) position(r live) int {
	for _, i := range w.at[r.ident] {
		if w.rules[r.family][i] == r {
			return i
		}
	}
	return -1
}

// before are the rules that a request to delete r would take first.
func (w *world) before(r live) []live {
	var out []live
	for _, o := range w.rules[r.family][:max(w.position(r), 0)] {
		if o.taken(r) {
			out = append(out, o)
		}
	}
	return out
}

// set takes over what want lists. Values have to be in the form that Get gives.
func (r *live) set(name string, want provision.Attrs) error {
	for k, v := range want {
		switch k {
		case AttrSuppress:
			n, most := -1, r.from.Addr().BitLen()
			var err error
			if v != "" {
				if n, err = strconv.Atoi(v); err != nil || n < 0 || n > most || strconv.Itoa(n) != v {
					return fmt.Errorf("rule %s: suppress_prefixlength %q is no length of a prefix", name, v)
				}
				if r.action != unix.FR_ACT_TO_TBL {
					return fmt.Errorf("rule %s: suppress_prefixlength is about routes of a table, and this rule asks none", name)
				}
			}
			r.suppress = int32(n)
		case AttrProto:
			n, err := strconv.ParseUint(v, 10, 8)
			if err != nil || strconv.FormatUint(n, 10) != v {
				return fmt.Errorf("rule %s: proto %q is no protocol number", name, v)
			}
			r.proto = uint8(n)
		default:
			return fmt.Errorf("cannot set %s of rule %s: unknown attribute", k, name)
		}
	}
	return nil
}
