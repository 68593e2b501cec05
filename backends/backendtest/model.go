package backendtest

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// Clone is a deep copy of f by its own JSON form, so the suite also shows that a
// backend needs nothing that a printed fixture would lose.
func Clone(f *facts.Facts) (*facts.Facts, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	var out facts.Facts
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, err
	}
	if out.Files == nil {
		out.Files = map[string]facts.File{}
	}
	return &out, nil
}

// model is a machine on which a Desired can be carried out.
type model struct {
	f    *facts.Facts
	dirs map[string]bool // made by us
}

// apply does what the wants of d that do not hold ask for, and returns their
// references. Default routes of a daemon get the metric that is wanted of them when a
// trigger ran; without one nobody has told the daemon.
func (m *model) apply(d provision.Desired) (changed []provision.Ref, ran []provision.Trigger, err error) {
	for _, w := range d.Wants {
		if m.holds(w) {
			continue
		}
		changed = append(changed, w.Ref)
		if err := m.set(w); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range d.Triggers {
		if slices.ContainsFunc(t.On, func(r provision.Ref) bool { return slices.Contains(changed, r) }) {
			ran = append(ran, t)
		}
	}
	for _, w := range d.Expect {
		if len(ran) > 0 && (w.Kind == routemetric.Kind || w.Kind == routemetric.DaemonKind) {
			if err := m.set(w); err != nil {
				return nil, nil, err
			}
		}
	}
	return changed, ran, nil
}

func (m *model) holds(w provision.Want) bool {
	if w.Attrs[file.AttrType] == file.TypeDir {
		return m.dirs[w.Name] || dirKnown(m.f, w.Name)
	}
	return backends.Holds(m.f, w)
}

// dirKnown reports whether the directory exists on every system that has the manager,
// or holds a file that was read.
func dirKnown(f *facts.Facts, dir string) bool {
	if slices.Contains([]string{"/", "/etc", "/run", "/run/systemd", "/var/lib"}, dir) {
		return true
	}
	for p := range f.Files {
		if strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/") {
			return true
		}
	}
	return false
}

func (m *model) set(w provision.Want) error {
	switch w.Kind {
	case file.Kind, file.SecretKind:
		switch {
		case w.Attrs == nil:
			delete(m.f.Files, w.Name)
		case w.Attrs[file.AttrType] == file.TypeDir:
			m.dirs[w.Name] = true
		default:
			if dir := path.Dir(w.Name); !m.dirs[dir] && !dirKnown(m.f, dir) {
				return fmt.Errorf("%s is written but its directory is neither there nor wanted", w.Name)
			}
			have := m.f.Files[w.Name]
			have.Text = w.Attrs[file.AttrContent]
			if mode := w.Attrs[file.AttrMode]; mode != "" {
				bits, err := strconv.ParseUint(mode, 8, 32)
				if err != nil {
					return fmt.Errorf("%s: mode %q", w.Name, mode)
				}
				have.Mode = uint32(bits)
			}
			m.f.Files[w.Name] = have
		}
	case routemetric.Kind, routemetric.DaemonKind:
		family, selector := 4, ""
		if fam, s, ok := strings.Cut(w.Name, " "); ok {
			selector = s
			if fam == "inet6" {
				family = 6
			}
		}
		l, ok := backends.BySelector(m.f, selector)
		if !ok {
			return fmt.Errorf("%s names no device", w.Ref)
		}
		metric, err := strconv.ParseUint(w.Attrs[routemetric.AttrMetrics], 10, 32)
		if err != nil {
			return fmt.Errorf("%s: metrics %q", w.Ref, w.Attrs[routemetric.AttrMetrics])
		}
		_, after, _ := backends.Predict(m.f, nil, provision.Desired{Wants: []provision.Want{w}})
		m.f.Routes = after
		if got := backends.Metrics(m.f, l.Index, family); got != "" && got != strconv.FormatUint(metric, 10) {
			return fmt.Errorf("%s: moved to %s", w.Ref, got)
		}
	case sysctl.Kind:
		parts := strings.Fields(w.Name)
		if len(parts) != 3 {
			return fmt.Errorf("%s is no per-link key", w.Ref)
		}
		l, ok := backends.BySelector(m.f, parts[1])
		if !ok {
			return fmt.Errorf("%s names no device", w.Ref)
		}
		for i := range m.f.Links {
			if m.f.Links[i].Index == l.Index {
				m.f.Links[i].Sysctl[strings.TrimSuffix(parts[0], ".conf")+"."+parts[2]] = w.Attrs[sysctl.AttrValue]
			}
		}
	case link.Kind:
		for i := range m.f.Links {
			if m.f.Links[i].Selector() == w.Name {
				m.f.Links[i].Up = w.Attrs[link.AttrUp] == "true"
			}
		}
	default:
		return fmt.Errorf("%s: a backend wants a kind that the suite does not know", w.Ref)
	}
	return nil
}
