package watch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/provision-net/provision/provision/facts"
)

// RPFilter loosens the reverse path filter of single devices where it is strict. The kernel
// works with the greater one of "all" and the device's own value (include/linux/inetdevice.h,
// IN_DEV_RPFILTER): 0 off, 1 strict, 2 loose. A device is touched only if that is 1, so one whose
// filter is off is never made stricter; "all" and "default" are never written.
type RPFilter struct {
	Interfaces []string // patterns

	old     map[string]int32 // values before we came, by device
	changed bool
}

// Name is "rp-filter".
func (j *RPFilter) Name() string { return "rp-filter" }

// Needs devices; addresses are for the reason only.
func (j *RPFilter) Needs() Needs { return Needs{Parts: facts.PartLinks} }

// Look finds the devices with a strict filter.
func (j *RPFilter) Look(s *State) []Repair {
	var out []Repair
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

// Restore gives the devices their old values again, where they still have ours.
func (j *RPFilter) Restore(s *State) []Repair {
	var out []Repair
	for _, name := range slices.Sorted(maps.Keys(j.old)) {
		if _, c, ok := s.byName(name); ok && c.RPFilter == 2 {
			out = append(out, Repair{Key: "net.ipv4.conf." + name + ".rp_filter", Why: "as it was before the watch",
				Sysctl: &Sysctl{"ipv4", name, "rp_filter", strconv.Itoa(int(j.old[name]))}})
		}
	}
	return out
}

// Remember implements Rememberer.
func (j *RPFilter) Remember() (any, bool) {
	changed := j.changed
	j.changed = false
	return j.old, changed
}

// Recall implements Rememberer.
func (j *RPFilter) Recall(state json.RawMessage) error { return json.Unmarshal(state, &j.old) }
