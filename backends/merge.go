package backends

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// NMConfPath is the one file for all NICs whose metrics NetworkManager.conf gives,
// those of the networkmanager backend and those that netplan renders to it.
const NMConfPath = "/etc/NetworkManager/conf.d/90-provision.conf"

// Merge puts together what several backends want: a reference that two of them want
// alike is wanted once, the files that are for all NICs (SysctlPath, NMConfPath) are
// the union of their parts, triggers of one name run once for all their NICs, and
// anything else that two want differently is an error.
func Merge(parts ...provision.Desired) (provision.Desired, error) {
	var out provision.Desired
	var errs []error
	at := map[provision.Ref]int{}
	for _, p := range parts {
		for _, w := range p.Wants {
			i, twice := at[w.Ref]
			if !twice {
				at[w.Ref] = len(out.Wants)
				w.Attrs = maps.Clone(w.Attrs)
				w.Via = slices.Clone(w.Via)
				out.Wants = append(out.Wants, w)
				continue
			}
			have := &out.Wants[i]
			if !maps.Equal(have.Attrs, w.Attrs) {
				joined, ok := joinFiles(*have, w)
				if !ok {
					errs = append(errs, fmt.Errorf("cannot plan: %s is wanted in two ways (%s; %s)", w.Ref, have.Why, w.Why))
					continue
				}
				have.Attrs[file.AttrContent] = joined
			}
			have.Mode = min(have.Mode, w.Mode)
			for _, v := range w.Via {
				if !slices.Contains(have.Via, v) {
					have.Via = append(have.Via, v)
				}
			}
		}
		for _, t := range p.Triggers {
			mergeTrigger(&out, t)
		}
		out.Holds = append(out.Holds, p.Holds...)
		out.Expect = append(out.Expect, p.Expect...)
		out.Notes = append(out.Notes, p.Notes...)
	}
	return out, errors.Join(errs...)
}

// mergeTrigger adds t, or widens the trigger of the same name that does the same thing
// to other devices: one restart of a daemon is enough.
func mergeTrigger(d *provision.Desired, t provision.Trigger) {
	for i := range d.Triggers {
		o := &d.Triggers[i]
		if o.Name != t.Name || o.Do.Kind != t.Do.Kind {
			continue
		}
		a, b := maps.Clone(o.Do.Args), maps.Clone(t.Do.Args)
		all := append(strings.Split(a["selectors"], ","), strings.Split(b["selectors"], ",")...)
		delete(a, "selectors")
		delete(b, "selectors")
		if !maps.Equal(a, b) {
			continue
		}
		slices.Sort(all)
		all = slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
		if _, has := t.Do.Args["selectors"]; has {
			if a == nil {
				a = map[string]string{}
			}
			a["selectors"] = strings.Join(all, ",")
		}
		o.Do.Args = a
		for _, on := range t.On {
			if !slices.Contains(o.On, on) {
				o.On = append(slices.Clone(o.On), on)
			}
		}
		if o.Gap == "" {
			o.Gap = t.Gap
		}
		return
	}
	d.Triggers = append(d.Triggers, t)
}

// joinFiles is the union of two contents of a file that is for all NICs.
func joinFiles(a, b provision.Want) (string, bool) {
	if a.Attrs == nil || b.Attrs == nil {
		return "", false
	}
	rest := func(w provision.Want) map[string]string {
		m := maps.Clone(w.Attrs)
		delete(m, file.AttrContent)
		return m
	}
	if !maps.Equal(rest(a), rest(b)) {
		return "", false
	}
	x, y := a.Attrs[file.AttrContent], b.Attrs[file.AttrContent]
	switch a.Ref {
	case file.Ref(SysctlPath):
		return joinSysctl(x, y), true
	case file.Ref(NMConfPath):
		return joinSections(x, y), true
	}
	return "", false
}

// joinSections joins two contents of NMConfPath: sections with a comment before each,
// separated by blank lines.
func joinSections(a, b string) string {
	var blocks []string
	for block := range strings.SplitSeq(strings.TrimPrefix(a, facts.Marker+"\n")+"\n\n"+strings.TrimPrefix(b, facts.Marker+"\n"), "\n\n") {
		if block = strings.Trim(block, "\n"); block != "" {
			blocks = append(blocks, block+"\n")
		}
	}
	slices.Sort(blocks)
	return facts.Marker + "\n\n" + strings.Join(slices.Compact(blocks), "\n")
}
