package watch

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/provision-net/provision/provision/facts"
)

// RPFilter loosens the reverse path filter of single devices where it is strict. The kernel
// works with the greater one of "all" and the device's own value (include/linux/inetdevice.h,
// IN_DEV_RPFILTER): 0 off, 1 strict, 2 loose. A device is touched only if that is 1, so one whose
// filter is off is never made stricter; "all" and "default" are never written. A device that it is
// not asked to loosen any more has its old value back; with no patterns at all that is all it does.
type RPFilter struct {
	Interfaces []string // patterns

	old     map[string]int32 // values before we came, by device
	changed bool
}

// Name is "rp-filter".
func (j *RPFilter) Name() string { return "rp-filter" }

// Needs devices, as long as there is something to do; addresses are for the reason only.
func (j *RPFilter) Needs() Needs {
	if len(j.Interfaces)+len(j.old) == 0 {
		return Needs{}
	}
	return Needs{Parts: facts.PartLinks}
}

// Look finds the devices with a strict filter, and those that were loosened and need not be.
func (j *RPFilter) Look(s *State) []Repair {
	out := j.restore(s)
	for i, l := range s.Links {
		own, all := s.Conf[i].RPFilter, s.All.RPFilter
		if own < 0 || all < 0 || max(own, all) != 1 || !fits(j.Interfaces, l) {
			continue
		}
		if _, known := j.old[l.Name]; !known {
			if j.old == nil {
				j.old = map[string]int32{}
			}
			j.old[l.Name] = own
			j.changed = true
		}
		out = append(out, Repair{
			Key:    "net.ipv4.conf." + l.Name + ".rp_filter",
			Why:    fmt.Sprintf("the reverse path filter of %s is strict (all %d, its own %d): answers that take another way would be dropped%s", l.Name, all, own, withoutAddress(s, l)),
			Sysctl: &Sysctl{"ipv4", l.Name, "rp_filter", "2"},
		})
	}
	return out
}

// withoutAddress warns where loose does not help (net/ipv4/fib_frontend.c __fib_validate_source).
func withoutAddress(s *State, l facts.Link) string {
	if slices.ContainsFunc(s.Addrs, func(a facts.Address) bool { return a.Link == l.Index && a.Prefix.Addr().Is4() }) {
		return ""
	}
	return "; without an IPv4 address on it even the loose filter drops them"
}

// restore gives devices that are loosened no longer their old values again, where they still have
// ours, and forgets the others: a device that is gone begins anew when it comes back.
func (j *RPFilter) restore(s *State) []Repair {
	var out []Repair
	for _, name := range slices.Sorted(maps.Keys(j.old)) {
		l, c, ok := s.byName(name)
		switch {
		case ok && fits(j.Interfaces, l):
		case ok && c.RPFilter == 2:
			out = append(out, Repair{Key: "net.ipv4.conf." + name + ".rp_filter", Why: "the reverse path filter of " + name + " is not to be loosened any more",
				Sysctl: &Sysctl{"ipv4", name, "rp_filter", strconv.Itoa(int(j.old[name]))}})
		default:
			delete(j.old, name)
			j.changed = true
		}
	}
	return out
}

// Loosened reports whether m remembers, of this boot, filters that a watch has loosened.
func Loosened(m Memory, boot string) bool {
	j := &RPFilter{}
	state := Remembered(m, boot, j.Name())
	return len(state) > 0 && j.Recall(state) == nil && len(j.old) > 0
}

// Remembered is what m has, of this boot, of a job; nil for nothing.
func Remembered(m Memory, boot, job string) json.RawMessage {
	e := Engine{Memory: m, Boot: boot, Log: slog.New(slog.DiscardHandler)}
	e.recall()
	return e.past[job].State
}

// Remember implements Rememberer.
func (j *RPFilter) Remember() (any, bool) {
	changed := j.changed
	j.changed = false
	return j.old, changed
}

// Recall implements Rememberer.
func (j *RPFilter) Recall(state json.RawMessage) error { return json.Unmarshal(state, &j.old) }
