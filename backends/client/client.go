// Package client plans for a NIC on whose other end somebody shares a connection with this machine:
// the network function of a USB gadget whose host is the router (Windows' Internet Connection
// Sharing, 192.168.137.0/24; macOS' Internet Sharing, 192.168.2.0/24; NetworkManager's "shared",
// 10.42.x.0/24). The machine's own network manager takes the NIC as a DHCP client, with a metric
// that loses against every other way out and is there when no other is.
//
// The NIC need not be there yet: what is wanted are files, so that the manager knows what to do
// when it appears. They are wanted before the gadget itself.
package client

import (
	"errors"
	"fmt"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// Link is one such NIC.
type Link struct {
	Name string // as it will be called
	MAC  string // as it will have it, lower case with colons; empty is not looked at
	// Metric of its default routes; 0 is what loses against the manager's own defaults for Wi-Fi.
	Metric uint32
}

// Metrics that lose: NetworkManager and netplan give Wi-Fi 600; networkd gives it 1024, and up to
// 2048 to a router that says it is a poor one; the kernel 1024; dhcpcd 3000 and the interface's index.
const (
	MetricNM       = 700
	MetricNetworkd = 2100
	MetricIfupdown = 2100
	MetricDhcpcd   = 4000
)

const (
	nmConf        = "/etc/NetworkManager/conf.d/90-provision-client.conf"
	profilePrefix = "/etc/NetworkManager/system-connections/provision-client-"
	networkPrefix = unit.EtcDir + "/70-provision-client-"
	dhcpcdConf    = "/etc/dhcpcd.conf"
)

// Owns reports whether a piece of state is one that Plan wants for one of the links. dhcpcd's file is
// everybody's and not meant.
func Owns(r provision.Ref, links []Link) bool {
	if r.Kind != file.Kind && r.Kind != file.SecretKind {
		return false
	}
	if r.Name == nmConf || strings.HasPrefix(r.Name, profilePrefix) || strings.HasPrefix(r.Name, networkPrefix) {
		return true
	}
	for _, l := range links {
		if r.Name == daemon.IfupFile(l.Name) {
			return true
		}
	}
	return false
}

// Plan returns what should exist so that the links are DHCP clients.
func Plan(f *facts.Facts, links []Link) (provision.Desired, error) {
	p := &planner{f: f, dhcpcdWant: -1}
	var errs []error
	owners := backends.Owners(f)
	for _, l := range links {
		if err := p.link(l, owners); err != nil {
			errs = append(errs, fmt.Errorf("cannot make %s a client of its host: %w", l.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return provision.Desired{}, err
	}
	p.finish()
	return p.d, nil
}

type planner struct {
	f        *facts.Facts
	d        provision.Desired
	sections []string // of NetworkManager's conf.d
	// dhcpcdWant is where dhcpcd.conf is among the wants; -1 nowhere.
	dhcpcdWant int
}

func (p *planner) link(l Link, owners []backends.Ownership) error {
	owner := backends.Ownership{Owner: backends.None}
	for _, o := range owners {
		if o.Link == l.Name {
			owner = o
		}
	}
	why := ""
	if owner.Owner == backends.None {
		owner, why = backends.AssignNew(p.f, owners)
		if owner.Owner == backends.None && !managed(owners) {
			owner, why = backends.AssignEnabled(p.f)
		}
	}
	// A NIC that only comes with the gadget has no place in netplan's tree: its renderer takes it.
	m := owner.Owner
	if m == backends.Netplan {
		m = owner.Renderer
	}
	switch m {
	case backends.NetworkManager:
		p.networkManager(l)
		return nil
	case backends.Networkd:
		return p.networkd(l)
	case backends.Ifupdown:
		return p.ifupdown(l)
	case backends.Dhcpcd:
		return p.dhcpcd(l)
	case backends.Foreign:
		return errors.New("a DHCP client runs on it that no known manager started")
	}
	p.note("warning", l.Name, "no network manager is there that could make it a client of its host (%s): start a DHCP client on it", why)
	return nil
}

func (l Link) metric(otherwise uint32) uint32 {
	if l.Metric != 0 {
		return l.Metric
	}
	return otherwise
}

//go:noinline
func (p *planner) note(level, subject, format string, args ...any) {
	p.d.Notes = append(p.d.Notes, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) trigger(name string, on provision.Ref, do provision.Action, why string) {
	if !p.f.Machine.Offline {
		p.d.Triggers = append(p.d.Triggers, provision.Trigger{Name: name, On: []provision.Ref{on}, Do: do, Why: why})
	}
}

func selector(l Link) string { return "name:" + l.Name }

// why is the reason of every want.
func why(l Link) string {
	return "the host of the USB link shares its connection: " + l.Name + " is its client"
}

// networkManager wants a profile, and the NIC managed: udev's rule for gadgets (85-nm-unmanaged.rules)
// says it is not, and the configuration goes before udev (NetworkManager.conf(5), device.managed).
func (p *planner) networkManager(l Link) {
	m := l.metric(MetricNM)
	p.sections = append(p.sections, fmt.Sprintf("[device-provision-client-%s]\nmatch-device=interface-name:=%s\nmanaged=1\n", l.Name, l.Name))
	text := fmt.Sprintf("%s\n[connection]\nid=provision-client-%s\nuuid=%s\ntype=ethernet\ninterface-name=%s\n\n"+
		"[ipv4]\nmethod=auto\nroute-metric=%d\n\n[ipv6]\nmethod=auto\nroute-metric=%d\n", facts.Marker, l.Name, uuid(l.Name), l.Name, m, m)
	w := file.Secret(profilePrefix+l.Name+".nmconnection", []byte(text), 0o600, why(l))
	p.d.Wants = append(p.d.Wants, w)
	p.trigger("networkmanager-client-"+l.Name, w.Ref, daemon.NMManaged(daemon.NMReloadConnections(selector(l)), nmConf), "NetworkManager reads the profile; it activates it when the NIC is there and has a carrier")
}

// finish wants NetworkManager's configuration before the profiles.
func (p *planner) finish() {
	if len(p.sections) == 0 {
		return
	}
	w := file.Want(nmConf, []byte(facts.Marker+"\n"+strings.Join(p.sections, "")), 0o644, "udev's rule says that NetworkManager leaves USB gadgets alone; these it does not")
	p.d.Wants = append([]provision.Want{w}, p.d.Wants...)
	if !p.f.Machine.Offline {
		t := provision.Trigger{Name: "networkmanager-client", On: []provision.Ref{w.Ref}, Do: daemon.NMReload(), Why: "NetworkManager reads which devices are its own"}
		p.d.Triggers = append([]provision.Trigger{t}, p.d.Triggers...)
	}
}

// networkd wants a .network file that fits the NIC by name and address, so that another machine's
// phone that took the name is not meant.
func (p *planner) networkd(l Link) error {
	m := l.metric(MetricNetworkd)
	sections, err := networkd.Edit{Metric4: &m, Metric6: &m}.Sections(unit.Version(p.f))
	if err != nil {
		return err
	}
	text := facts.Marker + "\n[Match]\nName=" + unit.Quote(l.Name) + "\n"
	if l.MAC != "" {
		text += "MACAddress=" + l.MAC + "\n"
	}
	text += "\n[Link]\nRequiredForOnline=no\n\n[Network]\nDHCP=yes\nLinkLocalAddressing=ipv6\nIPv6AcceptRA=yes\n\n" + sections
	w := file.Want(networkPrefix+networkd.FileName(l.Name)+".network", []byte(text), 0o644, why(l))
	p.d.Wants = append(p.d.Wants, w)
	p.trigger("networkd-client-"+l.Name, w.Ref, daemon.NetworkdReload(selector(l)), "systemd-networkd reads the file of the NIC; links whose files did not change are not touched")
	return nil
}

// ifupdown wants a file of interfaces.d. udev brings the NIC up when it appears (allow-hotplug).
func (p *planner) ifupdown(l Link) error {
	const main = "/etc/network/interfaces"
	texts, unreadable := map[string]string{}, map[string]string{}
	for name, f := range p.f.Files {
		texts[name] = f.Text
	}
	for _, u := range p.f.Unreadable {
		unreadable[u.Source] = u.Reason
	}
	at := daemon.IfupFile(l.Name)
	c := interfaces.Resolve(main, texts, unreadable)
	for _, s := range c.Written(l.Name) {
		if s.Place.File != at {
			return fmt.Errorf("%s configures it already: take that stanza away, or set its metric to %d there and router to another word than client", s.Place, l.metric(MetricIfupdown))
		}
	}
	if len(c.Covering(at)) == 0 {
		return fmt.Errorf("no source line of %s covers %s: add the line \"source /etc/network/interfaces.d/*\" to it", main, at)
	}
	if have, exists := p.f.Files[at]; exists && !have.Ours() {
		return fmt.Errorf("%s exists and was not written by provision: remove or rename it", at)
	}
	m := l.metric(MetricIfupdown)
	text := fmt.Sprintf("%s\nallow-hotplug %s\niface %s inet dhcp\n    metric %d\n", facts.Marker, l.Name, l.Name, m)
	switch p.f.Ifupdown.Client {
	case "dhcpcd": // it takes router advertisements too, and gives them the same metric
	case "udhcpc":
		p.note("warning", l.Name, "udhcpc puts a default route without a metric beside the wanted one at each renewal, which then wins over Wi-Fi: install dhcpcd-base or isc-dhcp-client")
		fallthrough
	default:
		text += fmt.Sprintf("iface %s inet6 auto\n    accept_ra 2\n    pre-up echo %d > /proc/sys/net/ipv6/conf/%s/ra_defrtr_metric || true\n", l.Name, m, l.Name)
	}
	w := file.Want(at, []byte(text), 0o644, why(l))
	p.d.Wants = append(p.d.Wants, w)
	// Without a host there is nobody to answer, and ifup would wait for a minute.
	if have, ok := p.f.LinkByName(l.Name); ok && have.Carrier {
		p.trigger("ifup-client-"+l.Name, w.Ref, daemon.Ifup(l.Name), "ifup brings the NIC up, which is there and has a carrier; on the way back ifdown takes it down")
	}
	return nil
}

// dhcpcd takes every NIC by itself, and prefers Ethernet to Wi-Fi: it is told the metric.
func (p *planner) dhcpcd(l Link) error {
	have, there := p.f.Files[dhcpcdConf]
	if !there || have.Masked {
		return fmt.Errorf("%s was not read", dhcpcdConf)
	}
	c, err := conf.Parse(dhcpcdConf, p.text(have.Text))
	if err != nil {
		return err
	}
	m := l.metric(MetricDhcpcd)
	text, err := c.SetMetric(l.Name, m)
	if err != nil {
		return err
	}
	w := file.Content(dhcpcdConf, []byte(text), why(l))
	if p.dhcpcdWant >= 0 {
		p.d.Wants[p.dhcpcdWant].Attrs = w.Attrs
		return nil
	}
	p.dhcpcdWant = len(p.d.Wants)
	p.d.Wants = append(p.d.Wants, w)
	if p.f.Dhcpcd.Running && p.f.Dhcpcd.Master {
		p.trigger("dhcpcd-client", w.Ref, daemon.DhcpcdRestart(selector(l), l.Name, m, true), "dhcpcd reads its file when it starts; what it has configured stays meanwhile (persistent)")
	}
	return nil
}

// text is dhcpcd.conf as it is wanted so far.
func (p *planner) text(have string) string {
	if p.dhcpcdWant >= 0 {
		return p.d.Wants[p.dhcpcdWant].Attrs[file.AttrContent]
	}
	return have
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
