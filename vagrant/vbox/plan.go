package vbox

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Step is one call of VBoxManage, and the one that takes it back.
type Step struct{ Do, Undo []string }

// Plan is what brings about what somebody wants; without steps there is nothing to do.
type Plan struct {
	VM      string
	Steps   []Step
	Already []string // what is there
	Notes   []string // what somebody should know

	nics   []NIC     // as they shall be
	number int       // of the NIC whose rules are changed, else 0
	rules  []Forward // that shall be there
	gone   []string  // rules that shall not
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// NICs are those that the plan is about, as they shall be; with their addresses where m has them so.
func (p Plan) NICs(m Machine) []NIC {
	var out []NIC
	for _, n := range p.nics {
		if have := m.nic(n.Number); have != nil && have.Attachment == n.Attachment && have.To == n.To {
			n = *have
		}
		out = append(out, n)
	}
	return out
}

// Rules are the ones that the plan adds, and the names of those it takes away.
func (p Plan) Rules() (added []Forward, gone []string) { return p.rules, p.gone }

// Commands are the argument lists of VBoxManage that do it, and those that take it back.
func (p Plan) Commands() (do, undo [][]string) {
	for _, s := range p.Steps {
		do = append(do, s.Do)
	}
	for _, s := range slices.Backward(p.Steps) {
		undo = append(undo, s.Undo)
	}
	return do, undo
}

// want is an attachment that a NIC shall have.
type want struct{ attachment, to string }

// option names the argument that says what a NIC is attached to.
func option(attachment string) string {
	switch attachment {
	case Bridged:
		return "--bridgeadapter"
	case HostOnly:
		return "--hostonlyadapter"
	}
	return "--nat-network"
}

// attach gives each want a NIC: the one that is attached so already, else the free ones from first on. first 0 is 2: NIC
// 1 is the NAT NIC that Vagrant and Multipass come in by.
func attach(m Machine, wants []want, first int) (Plan, error) {
	p := Plan{VM: m.Name}
	limit := MaxNICs(m.Chipset)
	explicit := first != 0
	if !explicit {
		first = 2
	}
	switch {
	case first == 1:
		return Plan{}, fault(ErrUsage, "NIC 1 is the NAT NIC that `vagrant ssh` and `multipass shell` come in by, and stays: take NIC 2 to %d", limit)
	case first < 1 || first > limit:
		return Plan{}, tooMany(m, first)
	}
	do, undo := []string{"modifyvm", m.Name}, []string{"modifyvm", m.Name}
	next := first
	for _, w := range wants {
		if i := slices.IndexFunc(m.NICs, func(n NIC) bool { return n.Attachment == w.attachment && n.To == w.to }); i >= 0 {
			p.Already = append(p.Already, fmt.Sprintf("NIC %d is attached to %s", m.NICs[i].Number, m.NICs[i]))
			p.nics = append(p.nics, m.NICs[i])
			continue
		}
		if explicit && len(p.nics) == 0 {
			if n := m.nic(next); n != nil && n.Attachment != None {
				return Plan{}, fault(ErrTaken, "NIC %d of %q is attached to %s: take another one, or detach it (VBoxManage modifyvm VM --nic%d none)", next, m.Name, n, next)
			}
		}
		for ; next <= limit; next++ {
			if n := m.nic(next); n == nil || n.Attachment == None {
				break
			}
		}
		if next > limit {
			return Plan{}, tooMany(m, next)
		}
		n := strconv.Itoa(next)
		do = append(do, "--nic"+n, w.attachment, option(w.attachment)+n, w.to)
		undo = append(undo, "--nic"+n, None)
		p.nics = append(p.nics, NIC{Number: next, Attachment: w.attachment, To: w.to, Guest: GuestName(m.Chipset, next)})
		next++
	}
	if len(do) == 2 {
		return p, nil
	}
	// A NIC can be enabled in these states alone (NetworkAdapter::setEnabled wants a mutable machine).
	if m.State != "poweroff" && m.State != "aborted" {
		stop := "VBoxManage controlvm " + word(m.Name) + " acpipowerbutton"
		if m.Multipass() {
			stop = "multipass stop " + word(m.Name)
		}
		if m.State == "saved" || m.State == "aborted-saved" {
			stop = "start it and shut it down"
		}
		return Plan{}, fault(ErrState, "%q is %s, and NICs are added to a stopped VM only: %s", m.Name, m.State, stop)
	}
	p.Steps = []Step{{do, undo}}
	return p, nil
}

// PlanBridge attaches host adapters to a VM, in this order.
func PlanBridge(m Machine, adapters []Adapter, names []string, first int) (Plan, error) {
	var wants []want
	var picked []Adapter
	for _, name := range names {
		a, err := pick(adapters, name, "adapter that can be bridged")
		if err != nil {
			return Plan{}, err
		}
		if slices.ContainsFunc(picked, func(o Adapter) bool { return o.Name == a.Name }) {
			return Plan{}, fault(ErrUsage, "%q is named twice", a.Name)
		}
		picked = append(picked, a)
		wants = append(wants, want{Bridged, a.Name})
	}
	p, err := attach(m, wants, first)
	if err != nil {
		return Plan{}, err
	}
	for _, a := range picked {
		switch {
		case a.Wireless:
			p.note("%s is wireless: most access points know one MAC address only, so VirtualBox rewrites the guest's, and IPv6 may fail", a.Name)
		case a.Status == "down":
			p.note("%s is down: the guest's NIC has no network until it is up", a.Name)
		}
	}
	return p, nil
}

// PlanHostOnly attaches a host-only interface; without a name the only one there is.
func PlanHostOnly(m Machine, adapters []Adapter, name string, first int) (Plan, error) {
	if len(adapters) == 0 {
		return Plan{}, fault(ErrMissing, "there is no host-only interface: `VBoxManage hostonlyif create` makes one")
	}
	if name == "" {
		if len(adapters) > 1 {
			return Plan{}, fault(ErrUsage, "there are several host-only interfaces: name one of %s", adapterNames(adapters))
		}
		name = adapters[0].Name
	}
	a, err := pick(adapters, name, "host-only interface")
	if err != nil {
		return Plan{}, err
	}
	return attach(m, []want{{HostOnly, a.Name}}, first)
}

// natOwn are the networks of VirtualBox' plain NAT, 10.0.2.0/24 for NIC 1, 10.0.3.0/24 for NIC 2 ... (VBoxManage.html,
// --nat-netN): a NAT network with the same addresses would leave the guest with two NICs in one network.
var natOwn = netip.MustParsePrefix("10.0.0.0/16")

// PlanNATNetwork attaches a NAT network, which is made where it is not there.
func PlanNATNetwork(m Machine, networks []Network, name string, prefix netip.Prefix, first int) (Plan, error) {
	if name == "" || strings.TrimSpace(name) != name || strings.HasPrefix(name, "-") || strings.ContainsAny(name, "\x00\r\n") {
		return Plan{}, fault(ErrUsage, "%q cannot be the name of a NAT network", name)
	}
	var before []Step
	i := slices.IndexFunc(networks, func(n Network) bool { return n.Name == name })
	switch {
	case i >= 0 && prefix.IsValid() && networks[i].Prefix != prefix.Masked():
		return Plan{}, fault(ErrTaken, "NAT network %q is there and has %s, not %s", name, networks[i].Prefix, prefix.Masked())
	case i >= 0:
	case !prefix.IsValid():
		return Plan{}, fault(ErrMissing, "there is no NAT network %q: say which addresses it shall have (--network 192.0.2.0/24)", name)
	case !prefix.Addr().Is4() || prefix.Bits() < 8 || prefix.Bits() > 29:
		return Plan{}, fault(ErrUsage, "%s cannot be a NAT network: it has to be IPv4, from /8 to /29", prefix)
	case prefix.Overlaps(natOwn):
		return Plan{}, fault(ErrUsage, "%s overlaps %s, from which VirtualBox' own NAT takes 10.0.2.0/24 for NIC 1 and so on: take another one", prefix, natOwn)
	default:
		for _, n := range networks {
			if n.Prefix.Overlaps(prefix) {
				return Plan{}, fault(ErrTaken, "%s overlaps NAT network %q, which has %s", prefix, n.Name, n.Prefix)
			}
		}
		before = []Step{{
			Do:   []string{"natnetwork", "add", "--netname", name, "--network", prefix.Masked().String(), "--enable", "--dhcp", "on"},
			Undo: []string{"natnetwork", "remove", "--netname", name},
		}}
	}
	p, err := attach(m, []want{{NATNetwork, name}}, first)
	if err != nil {
		return Plan{}, err
	}
	p.Steps = append(before, p.Steps...)
	if i >= 0 && !networks[i].DHCP {
		p.note("NAT network %s has no DHCP server: the guest's NIC gets no address (VBoxManage natnetwork modify --netname NAME --dhcp on)", name)
	}
	return p, nil
}

// pick finds the adapter of this name: exactly, else the only one that begins so, whatever the case. VBoxManage on
// Windows may write names in the code page of the system; a byte that is no UTF-8 stands for any letter, and the name
// is handed on as it was given.
func pick(adapters []Adapter, name, what string) (Adapter, error) {
	var found []Adapter
	for _, a := range adapters {
		if a.Name == name {
			return a, nil
		}
		if !utf8.ValidString(a.Name) && alike(a.Name, name) {
			a.Name = name
			return a, nil
		}
		if name != "" && strings.HasPrefix(strings.ToLower(a.Name), strings.ToLower(name)) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		if len(adapters) == 0 {
			return Adapter{}, fault(ErrMissing, "this host has no %s", what)
		}
		return Adapter{}, fault(ErrMissing, "there is no %s %q; there are %s", what, name, adapterNames(adapters))
	}
	return Adapter{}, fault(ErrUsage, "%q is the beginning of several: %s", name, adapterNames(found))
}

func adapterNames(adapters []Adapter) string {
	names := make([]string, len(adapters))
	for i, a := range adapters {
		names[i] = strconv.Quote(a.Name)
	}
	return strings.Join(names, ", ")
}

// alike compares letter by letter; a byte of raw that is no UTF-8 is like any letter.
func alike(raw, name string) bool {
	for raw != "" && name != "" {
		r, size := utf8.DecodeRuneInString(raw)
		s, width := utf8.DecodeRuneInString(name)
		if r != s && (r != utf8.RuneError || size != 1) {
			return false
		}
		raw, name = raw[size:], name[width:]
	}
	return raw == name
}
