// Package networkmanager is the backend for NICs that NetworkManager owns without
// netplan above it.
//
// It never puts a second profile beside the first, and leaves the profiles alone where
// it can: a section of conf.d gives the metrics to every profile that has none of its
// own, which covers auto-made ("Wired connection 1"), initrd and /run profiles. Only a
// profile that carries a metric itself is edited, byte for byte. What the daemon is
// told depends on its version (pathFor).
package networkmanager

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// ConfPath is our file; 90 leaves room for the administrator's own to win.
const ConfPath = backends.NMConfPath

// penalty is added by NetworkManager while its connectivity check fails.
const penalty = 20000

// dnsLast is the dns-priority of NICs whose name servers are asked last; the default
// of profiles that are no VPN is 100, lower is better.
const dnsLast = 1000

// Backend serves NICs whose owner is NetworkManager.
type Backend struct{}

// New returns the backend.
func New() Backend { return Backend{} }

var _ backends.Backend = Backend{}

// Manager is NetworkManager.
func (Backend) Manager() backends.Manager { return backends.NetworkManager }

// plan collects what is wanted while the NICs are walked through.
type plan struct {
	f        *facts.Facts
	conf     conf
	want     provision.Desired
	files    []provision.Want // keyfiles
	sections []string         // of our conf.d file
	checks   []check
	kernel   []backends.NIC // NICs whose IPv6 routes are the kernel's
	prune    []provision.Want
	expect   []provision.Want
	// Selectors of NICs that the daemon must act on, by what for.
	idle []string // gets a profile of its own and has to be activated
	act  []string // has other metrics
	lazy bool
	// edited are existing profiles whose file changes, made are new ones of ours, own all
	// of ours.
	edited, made, own []provision.Ref
	errs              []error
}

// check is a key of our file that must be the one that counts.
type check struct {
	link facts.Link
	key  string
	want string
}

// Desire returns what should exist so that nics hold.
func (b Backend) Desire(f *facts.Facts, nics []backends.NIC) (provision.Desired, error) {
	p := &plan{f: f, conf: readConf(f, nil)}
	for _, problem := range p.conf.problems {
		p.note("warning", "NetworkManager", "NetworkManager ignores %s", problem)
	}
	for _, n := range nics {
		p.nic(n)
	}
	p.confFile()
	if err := errors.Join(p.errs...); err != nil {
		return provision.Desired{}, err
	}
	p.triggers()
	ra := backends.KernelRA(f, p.kernel)
	p.want.Append(ra)
	p.want.Wants = append(p.want.Wants, p.prune...)
	p.want.Expect = append(p.want.Expect, p.expect...)
	return p.want, nil
}

//go:noinline
func (p *plan) note(level, subject, format string, args ...any) {
	p.want.Notes = append(p.want.Notes, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// live reports whether there is a daemon to act on.
func (p *plan) live() bool { return p.f.NM.Running && !p.f.Machine.Offline }

func (p *plan) nic(n backends.NIC) {
	dev := p.f.NM.Devices[n.Link.Index]
	if dev.Managed == "unmanaged" {
		if s, ok := p.conf.unmanaged(p.f, n.Link); ok {
			p.note("warning", n.Link.Name, "NetworkManager leaves it unmanaged because of %s (%s): nothing is changed", s.value, s.source())
		} else {
			p.note("warning", n.Link.Name, "NetworkManager leaves it unmanaged (a udev rule or the device's kind): nothing is changed; nmcli device set %s managed yes takes it over", n.Link.Name)
		}
		return
	}
	p.lazy = p.lazy || n.Lazy
	if p.ownProfile(n) {
		return
	}
	prof, found := profileOf(p.f, n.Link)
	if !found {
		p.note("info", n.Link.Name, "it has no profile: NetworkManager makes one by itself once there is a carrier, and takes the metrics from %s", ConfPath)
	}
	if found && prof.broken != nil {
		p.note("info", n.Link.Name, "its profile is not known (%v): should it set metrics itself, they win over %s", prof.broken, ConfPath)
	}
	if n.Metric6 != nil && prof.kernelRA() {
		p.kernel = append(p.kernel, n)
		n.Metric6 = nil
	} else if m, line := prof.method(6); prof.file != nil && n.Metric6 != nil && (m == "disabled" || m == "link-local") {
		p.note("info", n.Link.Name, "its profile switches IPv6 off (method=%s, %s:%d): only IPv4 is moved", m, prof.Path, line)
		n.Metric6 = nil
	}
	p.metrics(n, prof)
}

// metrics puts each family's metric where this profile takes it from.
func (p *plan) metrics(n backends.NIC, prof profile) {
	edit := map[int]int64{}
	section := map[int]uint32{}
	shared := p.shared(n.Link, prof)
	for _, x := range []struct {
		family int
		want   *uint32
	}{{4, n.Metric4}, {6, n.Metric6}} {
		if x.want == nil {
			continue
		}
		own, line, explicit := prof.metric(x.family)
		// A group that is there without a method is refused by NetworkManager ("property is
		// missing"), so a metric only joins a method.
		_, at := prof.method(x.family)
		byProfile := pathFor(p.f.NM.Version).path == reapplyProfile && prof.editable() && at > 0 && !n.Lazy && shared == ""
		switch {
		case explicit && !prof.editable():
			p.note("warning", n.Link.Name, "its profile %s sets IPv%d route-metric %d itself (line %d) and is made anew by whoever wrote it: IPv%d stays as it is",
				prof.Path, x.family, own, line, x.family)
			continue
		case (explicit || p.wasShared(prof, x.family)) && shared != "":
			// One profile cannot give two NICs different metrics, the configuration can.
			p.note("info", n.Link.Name, "its profile %s is active on %s too: the metric of its own becomes -1, and %s gives each NIC one", prof.Path, shared, ConfPath)
			edit[x.family], section[x.family] = -1, *x.want
		case explicit, byProfile: // also where it is so already: wanted still, so nobody takes it away
			edit[x.family] = int64(*x.want)
		default:
			section[x.family] = *x.want
		}
		p.watch(n, x.family, *x.want)
	}
	p.edit(n, prof, edit)
	p.section(n, section)
}

// watch verifies one family, and deletes the routes that a restart leaves behind.
func (p *plan) watch(n backends.NIC, family int, metric uint32) {
	if !p.live() {
		return
	}
	why := "NetworkManager brings it: " + n.Why
	if backends.Penalised(p.f, n.Link, n.Owner, family) {
		p.note("warning", n.Link.Name, "NetworkManager's connectivity check fails on it, so its IPv%d metric is %d more than configured: %d", family, penalty, metric+penalty)
		e := routemetric.Expect(family, n.Link.Selector(), metric+penalty, why)
		e.Mode = provision.Report
		p.expect = append(p.expect, e)
		return
	}
	e := routemetric.Expect(family, n.Link.Selector(), metric, why)
	if n.Lazy {
		e.Mode = provision.Report
		p.expect = append(p.expect, e)
		return
	}
	p.expect = append(p.expect, e)
	p.prune = append(p.prune, routemetric.Prune(family, n.Link.Selector(), metric, why))
}

// edit changes route-metric in the profile's own file, where it stands already.
func (p *plan) edit(n backends.NIC, prof profile, metrics map[int]int64) {
	if len(metrics) == 0 {
		return
	}
	out := prof.file
	for _, family := range []int{4, 6} {
		m, ok := metrics[family]
		if !ok {
			continue
		}
		data, err := out.Set(section(family), "route-metric", strconv.FormatInt(m, 10))
		if err == nil {
			out, err = parse(data)
		}
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("cannot edit %s for %s: %w", prof.Path, n.Link.Name, err))
			return
		}
	}
	// Profiles hold Wi-Fi and 802.1X secrets: the content is compared by digest.
	w := provision.Want{Ref: file.SecretRef(prof.Path), Why: "the profile of " + n.Link.Name + " sets a metric itself: " + n.Why,
		Attrs: provision.Attrs{file.AttrType: file.TypeFile, file.AttrContent: string(out.Bytes())}}
	p.act = append(p.act, n.Link.Selector())
	if i := slices.IndexFunc(p.files, func(o provision.Want) bool { return o.Ref == w.Ref }); i >= 0 {
		if p.files[i].Attrs[file.AttrContent] != w.Attrs[file.AttrContent] {
			p.errs = append(p.errs, fmt.Errorf("cannot edit %s for %s: another NIC needs it otherwise (%s)", prof.Path, n.Link.Name, p.files[i].Why))
		}
		return
	}
	p.files = append(p.files, w)
	p.edited = append(p.edited, w.Ref)
}

// shared names another device on which the profile is active too (multi-connect), or
// is empty.
func (p *plan) shared(l facts.Link, prof profile) string {
	for _, o := range p.f.Links {
		if d := p.f.NM.Devices[o.Index]; o.Index != l.Index && prof.UUID != "" && d.UUID == prof.UUID && !d.External {
			return o.Name
		}
	}
	return ""
}

// wasShared recognises a profile whose metric we set to -1 before: it must stay wanted.
func (p *plan) wasShared(prof profile, family int) bool {
	if !prof.editable() {
		return false
	}
	v, _, ok := prof.file.Get(section(family), "route-metric")
	return ok && strings.TrimSpace(v) == "-1"
}

// section adds the NIC to our conf.d file.
func (p *plan) section(n backends.NIC, metrics map[int]uint32) {
	var keys []string
	set := func(key, value string) {
		keys = append(keys, key+"="+value)
		p.checks = append(p.checks, check{n.Link, key, value})
	}
	for _, family := range []int{4, 6} {
		if m, ok := metrics[family]; ok {
			set(section(family)+".route-metric", strconv.FormatUint(uint64(m), 10))
		}
	}
	if n.DemoteDNS {
		set("ipv4.dns-priority", strconv.Itoa(dnsLast))
		set("ipv6.dns-priority", strconv.Itoa(dnsLast))
	}
	if len(keys) == 0 {
		return
	}
	spec, err := deviceSpec(n.Link)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.sections = append(p.sections, fmt.Sprintf("# %s\n[connection-provision-%s]\nmatch-device=%s\n%s\n",
		oneLine(n.Why), sectionName(n.Link.Name), spec, strings.Join(keys, "\n")))
	p.act = append(p.act, n.Link.Selector())
}

// deviceSpec names one device in match-device. The name is what means this device and
// nothing else: a VLAN on top of it has the same MAC. Names with the characters that
// separate entries are matched by MAC.
func deviceSpec(l facts.Link) (string, error) {
	if !strings.ContainsAny(l.Name, ",;\\ \t\n") {
		return "interface-name:=" + l.Name, nil
	}
	if l.PermMAC == "" {
		return "", fmt.Errorf("cannot configure %q: NetworkManager.conf cannot name a device called like that, and it has no permanent MAC", l.Name)
	}
	return "mac:" + l.PermMAC, nil
}

// oneLine keeps text inside a comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// sectionName makes an interface name fit for a group name.
func sectionName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '[' || r == ']' || r <= 0x20 || r == 0x7f {
			return '_'
		}
		return r
	}, name)
}

// confFile wants our file and refuses where a later file would win over it.
func (p *plan) confFile() {
	if len(p.sections) == 0 {
		return
	}
	slices.Sort(p.sections)
	text := facts.Marker + "\n\n" + strings.Join(p.sections, "\n")
	after := readConf(p.f, map[string]string{ConfPath: text})
	for _, c := range p.checks {
		found := after.connectionDefault(c.link, c.key)
		switch {
		case len(found) > 0 && found[0].file == ConfPath && found[0].value == c.want:
		case len(found) > 0:
			p.errs = append(p.errs, fmt.Errorf("cannot set %s for %s: %s says %s and is read after %s: remove that line, or rename its file to sort before",
				c.key, c.link.Name, found[0].source(), found[0].value, ConfPath))
		default:
			p.errs = append(p.errs, fmt.Errorf("cannot set %s for %s: a stop-match in a file read after %s keeps it from counting", c.key, c.link.Name, ConfPath))
		}
	}
	p.want.Wants = append(p.want.Wants, file.Dir(path.Dir(ConfPath), "holds "+path.Base(ConfPath)),
		file.Want(ConfPath, []byte(text), 0o644, "metrics for the profiles that have none of their own"))
}

// triggers tells the daemon, by its version, and orders the wants.
func (p *plan) triggers() {
	p.want.Wants = append(p.want.Wants, p.files...)
	if !p.live() {
		return
	}
	var on []provision.Ref
	if len(p.sections) > 0 {
		on = append(on, file.Ref(ConfPath))
	}
	add := func(name string, on []provision.Ref, do provision.Action, why string) {
		if len(on) > 0 {
			p.want.Triggers = append(p.want.Triggers, provision.Trigger{Name: name, On: on, Do: do, Why: why})
		}
	}
	w := pathFor(p.f.NM.Version)
	all := p.active()
	profiles := slices.Concat(p.edited, p.made)
	slices.Sort(p.act)
	p.act = slices.Compact(p.act)
	switch {
	case p.lazy:
		add("networkmanager-connections", profiles, daemon.NMReloadConnections(p.idle...), "NetworkManager reads the profiles again; the device keeps what it has until its next renewal or activation")
		add("networkmanager-reload", on, daemon.NMReload(), "NetworkManager "+p.f.NM.Version+" takes the new metrics at the next DHCP renewal and router advertisement")
	case w.path == restart && len(on)+len(p.edited) > 0:
		// On the way back NetworkManager has to hear that a profile of ours is gone before it
		// is restarted: what it finds configured then it would leave so.
		add("networkmanager-connections", p.own, daemon.NMReloadConnections(p.idle...), "a new profile is read and activated")
		add("networkmanager-restart", slices.Concat(on, p.edited), daemon.NMRestart(all...), w.why)
	default:
		add("networkmanager-connections", profiles, daemon.NMReloadConnections(p.idle...), "NetworkManager reads the changed profiles; idle devices with a new one are activated")
		add("networkmanager-reapply", slices.Concat(on, p.edited), daemon.NMReapply(p.act...), w.why)
	}
	for i := range p.prune {
		p.prune[i].Via = p.via()
	}
	for i := range p.expect {
		p.expect[i].Via = p.via()
	}
}

// active lists every device that NetworkManager has up: a restart is about all of them.
func (p *plan) active() []string {
	out := slices.Clone(p.act)
	for _, l := range p.f.Links {
		if d := p.f.NM.Devices[l.Index]; d.Managed == "managed" && d.UUID != "" && !d.External {
			out = append(out, l.Selector())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// via names the triggers that make the daemon bring a metric about.
func (p *plan) via() []string {
	var out []string
	for _, t := range p.want.Triggers {
		out = append(out, t.Name)
	}
	return out
}
