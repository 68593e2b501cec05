package wifi

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/wlan"
	"github.com/provision-net/provision/provision/resource/wpaconf"
)

// Target is the Wi-Fi device and who has to know its networks.
type Target struct {
	Device  string           `json:"device"`
	Manager backends.Manager `json:"manager"`
	// Keeper is the program that joins the networks and the file in which it is told ours.
	Keeper string `json:"keeper"`
	File   string `json:"file"`
}

// ErrNoDevice is returned (wrapped) where there is no Wi-Fi device.
var ErrNoDevice = errors.New("there is no Wi-Fi device")

// Find returns the device called name, or the only one. On an image that is not running, and for a
// name of which a network says that it is its device, a device is assumed that is not there now.
func Find(f *facts.Facts, name string) (facts.Link, error) {
	var all []facts.Link
	var names []string
	for _, l := range f.Links {
		if claim.Wlan(l) {
			all, names = append(all, l), append(names, l.Name)
		}
	}
	if name != "" {
		if l, ok := f.LinkByName(name); ok && !claim.Wlan(l) {
			return facts.Link{}, fmt.Errorf("%s is no Wi-Fi device%s", name, among(names))
		} else if ok {
			return l, nil
		}
		return facts.Link{Name: name, ARPHRD: 1, DevType: "wlan"}, nil
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return facts.Link{}, fmt.Errorf("there are several Wi-Fi devices, %s: say which with --device", strings.Join(names, " and "))
	case f.Machine.Offline:
		return facts.Link{Name: "wlan0", ARPHRD: 1, DevType: "wlan"}, nil
	}
	return facts.Link{}, fmt.Errorf("%w: a driver or its firmware may be missing (`dmesg` tells), or the adapter is not plugged in", ErrNoDevice)
}

func among(names []string) string {
	if len(names) == 0 {
		return ", and there is none"
	}
	return ": take " + strings.Join(names, " or ")
}

// Blocked says what switches Wi-Fi off, and how to switch it on; empty when nothing does.
func Blocked(f *facts.Facts) string {
	for _, s := range f.Wireless.Switches {
		switch {
		case s.Hard:
			return fmt.Sprintf("the radio %s is switched off by a switch or key of the machine: switch it on there", s.Name)
		case s.Soft:
			return fmt.Sprintf("the radio %s is switched off by software (rfkill): run `rfkill unblock wifi`", s.Name)
		}
	}
	return ""
}

// Plan returns what should exist so that the devices know the networks, and who is told. Without
// networks nothing is wanted.
func Plan(f *facts.Facts, networks []Network) (provision.Desired, []Target, error) {
	var d provision.Desired
	var targets []Target
	if len(networks) == 0 {
		return d, nil, nil
	}
	country, err := checkAll(networks)
	if err != nil {
		return d, nil, err
	}
	byDevice := map[string][]Network{}
	for _, n := range networks {
		byDevice[n.Device] = append(byDevice[n.Device], n)
	}
	names := make([]string, 0, len(byDevice))
	for name := range byDevice {
		names = append(names, name)
	}
	slices.Sort(names)
	var errs []error
	seen := map[string]string{}
	for _, name := range names {
		l, err := Find(f, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if other, twice := seen[l.Name]; twice {
			errs = append(errs, fmt.Errorf("networks name the device %q and %q, which are one: add them anew with --device %s", other, name, l.Name))
			continue
		}
		seen[l.Name] = name
		list := byDevice[name]
		sort.Slice(list, func(i, j int) bool { return list[i].SSID < list[j].SSID })
		p := &planner{f: with(f, l), link: l, networks: list, country: country}
		t, err := p.plan()
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot tell %s its networks: %w", l.Name, err))
			continue
		}
		targets = append(targets, t)
		d.Append(p.d)
	}
	if err := errors.Join(errs...); err != nil {
		return provision.Desired{}, nil, err
	}
	if country != "" {
		d.Append(regulatory(f, country))
	}
	return d, targets, nil
}

// checkAll judges the networks one by one and together, and returns their country.
func checkAll(networks []Network) (country string, err error) {
	var errs []error
	seen := map[string]bool{}
	for _, n := range networks {
		if err := n.Check(); err != nil {
			errs = append(errs, fmt.Errorf("network %q: %w", Show(n.SSID), err))
		}
		if seen[n.Device+"\x00"+n.SSID] {
			errs = append(errs, fmt.Errorf("network %q is there twice: remove one of its files in %s", Show(n.SSID), FolderPath))
		}
		seen[n.Device+"\x00"+n.SSID] = true
		switch {
		case n.Country == "":
		case country == "" || country == n.Country:
			country = n.Country
		default:
			errs = append(errs, fmt.Errorf("networks name two countries, %s and %s: a machine is in one", country, n.Country))
		}
	}
	return country, errors.Join(errs...)
}

// with returns facts that have the link, for one that is not there now.
func with(f *facts.Facts, l facts.Link) *facts.Facts {
	if _, ok := f.LinkByName(l.Name); ok {
		return f
	}
	g := *f
	g.Links = append(slices.Clone(f.Links), l)
	return &g
}

// planner plans for one device.
type planner struct {
	f        *facts.Facts
	link     facts.Link
	networks []Network
	country  string
	d        provision.Desired
}

func (p *planner) plan() (Target, error) {
	owners := backends.Owners(p.f)
	owner := backends.Ownership{Owner: backends.None}
	for _, o := range owners {
		if o.Link == p.link.Name {
			owner = o
		}
	}
	if owner.Conflict() {
		return Target{}, fmt.Errorf("%s and %s both take it for theirs: `provision explain %s` shows the evidence", owner.Owner, owner.Rivals[0], p.link.Name)
	}
	why := ""
	if owner.Owner == backends.None {
		owner, why = backends.AssignNew(p.f, owners)
		if owner.Owner == backends.None && !managed(owners) {
			owner, why = backends.AssignEnabled(p.f)
		}
	}
	switch {
	case owner.Owner == backends.NetworkManager, owner.Owner == backends.Netplan && owner.Renderer == backends.NetworkManager:
		return p.networkManager(owner.Owner)
	case p.f.Wireless.IWD:
		return Target{}, fmt.Errorf("iwd takes care of Wi-Fi here and keeps its networks itself: `iwctl station %s connect NETWORK`", p.link.Name)
	case !p.f.Wireless.Supplicant:
		return Target{}, errors.New("wpa_supplicant is not installed, and nothing else here joins networks: install the package wpasupplicant")
	}
	switch owner.Owner {
	case backends.Netplan:
		return p.netplan()
	case backends.Networkd:
		return p.networkd()
	case backends.Dhcpcd:
		return p.supplicant(owner.Owner)
	case backends.Ifupdown:
		return p.ifupdown()
	case backends.Foreign:
		return Target{}, fmt.Errorf("a DHCP client runs on it that no known manager started: stop it first (`provision explain %s` names it)", p.link.Name)
	}
	return Target{}, fmt.Errorf("no network manager takes care of it, and %s", why)
}

//go:noinline
func (p *planner) note(level, format string, args ...any) {
	p.d.Notes = append(p.d.Notes, provision.Note{Level: level, Subject: p.link.Name, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) trigger(name string, on []provision.Ref, do provision.Action, why string) {
	if p.f.Machine.Offline || len(on) == 0 {
		return
	}
	p.d.Triggers = append(p.d.Triggers, provision.Trigger{Name: name, On: on, Do: do, Why: why})
}

// why is the reason of a want for one network.
func why(n Network) string { return fmt.Sprintf("network %q, by provision wifi add", Show(n.SSID)) }

// regulatoryPath makes the kernel's module begin with the country (cfg80211's parameter
// ieee80211_regdom), before anybody tells it.
const regulatoryPath = "/etc/modprobe.d/provision-wifi.conf"

func regulatory(f *facts.Facts, country string) provision.Desired {
	w := file.Want(regulatoryPath, []byte(facts.Marker+"\noptions cfg80211 ieee80211_regdom="+country+"\n"), 0o644, "country "+country+" of the Wi-Fi networks")
	d := provision.Desired{Wants: []provision.Want{w}}
	if !f.Machine.Offline {
		d.Triggers = []provision.Trigger{{Name: "wifi-country", On: []provision.Ref{w.Ref}, Do: wlan.Country(country), Why: "the kernel learns in which country it is"}}
	}
	return d
}

// Owns reports whether a piece of state is one of those that Plan wants: they can be applied and
// given up without everything else. Their directories come with the managers' packages and are
// nobody's.
func Owns(r provision.Ref) bool {
	switch r.Kind {
	case wpaconf.Kind:
		return true
	case file.Kind, file.SecretKind:
		for _, prefix := range []string{profilePrefix, supplicantDir + "/", unitPrefix, wantsPrefix, networkPrefix} {
			if strings.HasPrefix(r.Name, prefix) {
				return true
			}
		}
		return r.Name == netplanPath || r.Name == regulatoryPath
	}
	return false
}

// managed reports whether any NIC has a manager: then what starts with the system says nothing new.
func managed(owners []backends.Ownership) bool {
	for _, o := range owners {
		if o.Owner != backends.None {
			return true
		}
	}
	return false
}
