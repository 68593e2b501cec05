package networkmanager

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
	"github.com/provision-net/provision/provision/facts"
)

// profile is the profile that decides about a NIC.
type profile struct {
	facts.NMProfile
	file   *keyfile.File // nil when its text is not known
	broken error         // why it is not known
}

const (
	etcProfiles = "/etc/NetworkManager/system-connections/"
	runProfiles = "/run/NetworkManager/system-connections/"
)

// profileOf finds the profile that is active on l, else the only one bound to it.
func profileOf(f *facts.Facts, l facts.Link) (profile, bool) {
	uuid := f.NM.Devices[l.Index].UUID
	i := slices.IndexFunc(f.NM.Profiles, func(p facts.NMProfile) bool { return uuid != "" && p.UUID == uuid })
	if i < 0 && uuid == "" {
		i = slices.IndexFunc(f.NM.Profiles, func(p facts.NMProfile) bool { return claim.ProfileFits(p, l) })
	}
	if i < 0 {
		return profile{NMProfile: facts.NMProfile{UUID: uuid}, broken: fmt.Errorf("it is held in memory or its file was not readable")}, uuid != ""
	}
	p := profile{NMProfile: f.NM.Profiles[i]}
	t, ok := f.Files[p.Path]
	switch {
	case !ok:
		p.broken = fmt.Errorf("%s was not readable", p.Path)
	case t.Masked:
		p.broken = fmt.Errorf("the secrets of %s were blanked in these facts, so it cannot be edited from them", p.Path)
	default:
		var err error
		if p.file, err = keyfile.Parse([]byte(t.Text)); err != nil {
			p.broken = fmt.Errorf("%s: %w", p.Path, err)
		}
	}
	return p, true
}

// editable reports whether the profile's file is one that may be edited in place: a
// keyfile of the administrator, not one that a generator or NetworkManager itself
// makes anew.
func (p profile) editable() bool { return p.file != nil && strings.HasPrefix(p.Path, etcProfiles) }

// section is the name of a family's group in a keyfile.
func section(family int) string {
	if family == 6 {
		return "ipv6"
	}
	return "ipv4"
}

// metric is the profile's own route-metric of a family; -1 and absence mean that the
// defaults of NetworkManager.conf count.
func (p profile) metric(family int) (value int64, line int, own bool) {
	if p.file == nil {
		return -1, 0, false
	}
	v, line, ok := p.file.Get(section(family), "route-metric")
	if !ok {
		return -1, 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 0, 64)
	if err != nil || n < 0 {
		return -1, line, false
	}
	return n, line, true
}

// method is how the profile configures a family; NetworkManager's default is auto.
func (p profile) method(family int) (value string, line int) {
	if p.file != nil {
		if v, line, ok := p.file.Get(section(family), "method"); ok {
			return strings.TrimSpace(v), line
		}
	}
	return "auto", 0
}

// kernelRA reports whether the kernel and not NetworkManager handles the router
// advertisements: a profile with method=ignore, which is also what netplan writes for a
// NIC with dhcp4 only. Of a profile that cannot be read NetworkManager's default is
// assumed; /proc is no witness, it may be read-only for the daemon.
func (p profile) kernelRA() bool {
	if p.file == nil {
		return false
	}
	m, _ := p.method(6)
	return m == "ignore"
}
