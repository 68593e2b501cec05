package backends

import (
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// Differ lists the wants that do not hold by the facts alone, in their order: what
// detect shows as "apply would change". The engine's plan, which asks the host again,
// is what counts. Directories are left out, facts know only files.
func Differ(f *facts.Facts, d provision.Desired) []provision.Want {
	var out []provision.Want
	for _, w := range d.Wants {
		if w.Attrs[file.AttrType] == file.TypeDir {
			continue
		}
		if !Holds(f, w) {
			out = append(out, w)
		}
	}
	return out
}

// Holds reports whether a want holds by the facts: files by content and mode, route
// metrics, per-link sysctls and link state. What facts do not know does not hold,
// except where the want is conditional on something that is not there.
func Holds(f *facts.Facts, w provision.Want) bool {
	switch w.Kind {
	case file.Kind, file.SecretKind:
		return fileHolds(f, w)
	case routemetric.Kind, routemetric.DaemonKind:
		family, l, ok := metricRef(f, w.Name)
		if !ok {
			return w.Mode == provision.IfPresent
		}
		have := Metrics(f, l.Index, family)
		return have == "" && w.Mode == provision.IfPresent || have == w.Attrs[routemetric.AttrMetrics]
	case sysctl.Kind:
		parts := strings.Fields(w.Name) // "ipv6.conf SELECTOR KEY"
		if len(parts) != 3 {
			return false
		}
		l, ok := BySelector(f, parts[1])
		return ok && l.Sysctl[strings.TrimSuffix(parts[0], ".conf")+"."+parts[2]] == w.Attrs[sysctl.AttrValue]
	case link.Kind:
		l, ok := BySelector(f, w.Name)
		return ok && strconv.FormatBool(l.Up) == w.Attrs[link.AttrUp]
	}
	return false
}

func fileHolds(f *facts.Facts, w provision.Want) bool {
	have, ok := f.Files[w.Name]
	if w.Attrs == nil {
		return !ok
	}
	if w.Attrs[file.AttrType] == file.TypeDir {
		prefix := strings.TrimSuffix(w.Name, "/") + "/"
		for p := range f.Files {
			if strings.HasPrefix(p, prefix) {
				return true
			}
		}
		return false
	}
	if !ok {
		return false
	}
	if mode, has := w.Attrs[file.AttrMode]; has {
		if m, err := strconv.ParseUint(mode, 8, 32); err != nil || uint32(m) != have.Mode {
			return false
		}
	}
	if target, has := w.Attrs[file.AttrTarget]; has {
		return have.Link == target
	}
	content, has := w.Attrs[file.AttrContent]
	return !has || content == have.Text
}

// Metrics is the canonical set of metrics of a link's default routes of one family in
// the main table ("100", "100,1000"), empty without any.
func Metrics(f *facts.Facts, index, family int) string {
	var all []uint32
	for _, r := range f.Defaults(index, family) {
		all = append(all, r.Metric)
	}
	return routemetric.Format(all...)
}

// metricRef reads the name of a route-metric reference, "inet6 SELECTOR".
func metricRef(f *facts.Facts, name string) (family int, l facts.Link, ok bool) {
	fam, selector, _ := strings.Cut(name, " ")
	family = 4
	if fam == "inet6" {
		family = 6
	}
	l, ok = BySelector(f, selector)
	return family, l, ok
}

// BySelector is the link that a device selector names.
func BySelector(f *facts.Facts, selector string) (facts.Link, bool) {
	for _, l := range f.Links {
		if l.Selector() == selector {
			return l, true
		}
	}
	if name, ok := strings.CutPrefix(selector, "name:"); ok {
		return f.LinkByName(name)
	}
	return facts.Link{}, false
}
