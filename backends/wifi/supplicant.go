package wifi

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/backends/networkd"
	netunit "github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/provision/resource/wlan"
	"github.com/provision-net/provision/provision/resource/wpaconf"
)

const (
	supplicantDir = "/etc/wpa_supplicant"
	unitDir       = "/etc/systemd/system"
	unitPrefix    = unitDir + "/provision-wifi-"
	wantsDir      = unitDir + "/multi-user.target.wants"
	wantsPrefix   = wantsDir + "/provision-wifi-"
	networkPrefix = netunit.EtcDir + "/70-provision-wifi-"
)

// lines are the assignments of a network for wpa_supplicant, without ssid and id_str.
func lines(n Network) ([]string, error) {
	var out []string
	if n.Hidden {
		out = append(out, "scan_ssid=1")
	}
	if n.BSSID != "" {
		out = append(out, "bssid="+n.BSSID)
	}
	if n.Priority != 0 {
		out = append(out, "priority="+strconv.Itoa(n.Priority))
	}
	switch n.Security {
	case PSK:
		key, err := n.key()
		if err != nil {
			return nil, err
		}
		// With protected management frames where the access point has them.
		out = append(out, "key_mgmt=WPA-PSK WPA-PSK-SHA256", "ieee80211w=1", "psk="+key)
	case SAE:
		// As hexadecimal, because a quote in it would end it.
		out = append(out, "key_mgmt=SAE", "ieee80211w=2", "sae_password="+hex.EncodeToString([]byte(n.Passphrase)))
	default:
		out = append(out, "key_mgmt=NONE")
	}
	return out, nil
}

// add wants our networks in a file that is somebody else's.
func (p *planner) add(at string) ([]provision.Ref, error) {
	var on []provision.Ref
	have := p.f.Files[at]
	theirs := wpaconf.Networks(have.Text)
	for _, n := range p.networks {
		for _, k := range theirs {
			if k.SSID == n.SSID && !k.Ours {
				p.note("warning", "%s has a network %q of its own beside: wpa_supplicant takes the one with the higher priority", at, Show(n.SSID))
			}
		}
		l, err := lines(n)
		if err != nil {
			return nil, err
		}
		w := wpaconf.Network(at, n.SSID, l, why(n))
		p.d.Wants = append(p.d.Wants, w)
		on = append(on, w.Ref)
	}
	if p.country != "" {
		w := wpaconf.Country(at, p.country, "country of the Wi-Fi networks")
		p.d.Wants = append(p.d.Wants, w)
		on = append(on, w.Ref)
	}
	return on, nil
}

// own wants a file for wpa_supplicant that is ours as a whole.
func (p *planner) own(at string) (provision.Ref, error) {
	if have, exists := p.f.Files[at]; exists && !have.Ours() {
		return provision.Ref{}, fmt.Errorf("%s exists and was not written by provision: remove or rename it", at)
	}
	text := facts.Marker + "\nctrl_interface=/run/wpa_supplicant\n"
	if p.country != "" {
		text += "country=" + p.country + "\n"
	}
	for _, n := range p.networks {
		l, err := lines(n)
		if err != nil {
			return provision.Ref{}, err
		}
		text += "\n" + wpaconf.Block(wpaconf.Body(n.SSID, l))
	}
	w := file.Secret(at, []byte(text), 0o600, fmt.Sprintf("networks of %s, by provision wifi add", p.link.Name))
	p.d.Wants = append(p.d.Wants, w)
	return w.Ref, nil
}

// told finds the file in which wpa_supplicant is told the networks of the device by somebody else:
// the one that a running wpa_supplicant has, else the one that starters look for.
func (p *planner) told(fallback ...string) string {
	for _, s := range p.f.Wireless.Supplicants {
		if s.Link == p.link.Name && s.Config != "" && !p.ours(s.Config) {
			return s.Config
		}
	}
	for _, at := range append([]string{supplicantDir + "/wpa_supplicant-" + p.link.Name + ".conf"}, fallback...) {
		if _, exists := p.f.Files[at]; exists && !p.ours(at) {
			return at
		}
	}
	return ""
}

func (p *planner) ours(at string) bool { return p.f.Files[at].Ours() }

// running reports whether a wpa_supplicant runs for the device with a file.
func (p *planner) running() bool {
	for _, s := range p.f.Wireless.Supplicants {
		if s.Link == p.link.Name && s.Config != "" {
			return true
		}
	}
	return false
}

// supplicant plans for a device whose addresses m takes care of, and whose networks wpa_supplicant.
func (p *planner) supplicant(m backends.Manager) (Target, error) {
	// systemd's unit has a file for each device; dhcpcd's hook (10-wpa_supplicant) takes the common one too.
	var common []string
	if m == backends.Dhcpcd {
		common = []string{supplicantDir + "/wpa_supplicant.conf"}
	}
	if at := p.told(common...); at != "" {
		on, err := p.add(at)
		if err != nil {
			return Target{}, err
		}
		p.reconfigure(at, on)
		if m == backends.Dhcpcd && !p.running() && p.f.Dhcpcd.Running && p.f.Dhcpcd.Master {
			p.trigger("dhcpcd-wifi", on, daemon.DhcpcdRestart(p.link.Selector(), p.link.Name, 0, true), "no wpa_supplicant runs yet for the device: dhcpcd's hook starts it")
		}
		return Target{Device: p.link.Name, Manager: m, Keeper: "wpa_supplicant", File: at}, nil
	}
	at := supplicantDir + "/wpa_supplicant-" + p.link.Name + ".conf"
	ref, err := p.own(at)
	if err != nil {
		return Target{}, err
	}
	p.reconfigure(at, []provision.Ref{ref})
	if err := p.unit(at); err != nil {
		return Target{}, err
	}
	return Target{Device: p.link.Name, Manager: m, Keeper: "wpa_supplicant", File: at}, nil
}

func (p *planner) reconfigure(at string, on []provision.Ref) {
	p.trigger("wpa-supplicant-"+p.link.Name, on, wlan.Reconfigure(p.link.Name, at), "wpa_supplicant reads its networks again; what is connected stays so")
}

// unit wants a unit of ours that runs wpa_supplicant for the device, and systemd to start it.
func (p *planner) unit(conf string) error {
	name, err := unitName("provision-wifi-", p.link.Name)
	if err != nil {
		return err
	}
	text := facts.Marker + `
[Unit]
Description=Wi-Fi networks of ` + p.link.Name + ` (wpa_supplicant)
BindsTo=sys-subsystem-net-devices-` + p.link.Name + `.device
After=sys-subsystem-net-devices-` + p.link.Name + `.device
Before=network.target
Wants=network.target
Conflicts=wpa_supplicant@` + p.link.Name + `.service

[Service]
ExecStart=/sbin/wpa_supplicant -c ` + conf + ` -i ` + p.link.Name + `
Restart=on-failure

[Install]
WantedBy=multi-user.target
`
	why := "nobody else starts wpa_supplicant for " + p.link.Name
	w := file.Want(unitDir+"/"+name, []byte(text), 0o644, why)
	enabled := file.Symlink(wantsDir+"/"+name, unitDir+"/"+name, "it starts with the system")
	p.d.Wants = append(p.d.Wants, w, enabled)
	p.trigger("wpa-supplicant-unit-"+p.link.Name, []provision.Ref{w.Ref, enabled.Ref}, unit.Action(name), "systemd starts wpa_supplicant for the device, or stops it where the unit is gone")
	return nil
}

// networkd plans for a device under systemd-networkd: the networks, and DHCP where no file says how
// it gets its addresses.
func (p *planner) networkd() (Target, error) {
	t, err := p.supplicant(backends.Networkd)
	if err != nil {
		return t, err
	}
	at := networkPrefix + networkd.FileName(p.link.Name) + ".network"
	if n, _ := netunit.ReadTree(without(p.f, at), true).First(p.link); n != nil {
		return t, nil
	}
	// A roaming station loses its carrier for a moment and keeps its lease.
	text := Header + "[Match]\nName=" + netunit.Quote(p.link.Name) + "\n\n[Link]\nRequiredForOnline=no\n\n[Network]\nDHCP=yes\nIPv6AcceptRA=yes\n" +
		"IgnoreCarrierLoss=3s\n\n[DHCPv4]\nRouteMetric=600\n\n[IPv6AcceptRA]\nRouteMetric=600\n"
	w := file.Want(at, []byte(text), 0o644, "no .network file fits "+p.link.Name)
	p.d.Wants = append(p.d.Wants, w)
	p.trigger("networkd-wifi-"+p.link.Name, []provision.Ref{w.Ref}, daemon.NetworkdReload(p.link.Selector()), "systemd-networkd learns how the device gets its addresses")
	return t, nil
}

// ifupdown plans for a device that interfaces(5) configures. How wpa_supplicant is started stands
// there, and the stanza is its keeper's.
func (p *planner) ifupdown() (Target, error) {
	texts, unreadable := map[string]string{}, map[string]string{}
	for name, f := range p.f.Files {
		texts[name] = f.Text
	}
	for _, u := range p.f.Unreadable {
		unreadable[u.Source] = u.Reason
	}
	const main = "/etc/network/interfaces"
	stanzas := interfaces.Resolve(main, texts, unreadable).Of(p.link.Name)
	conf := supplicantDir + "/wpa_supplicant-" + p.link.Name + ".conf"
	for _, s := range stanzas {
		for _, key := range []string{"wpa-conf", "wpa-roam"} {
			if o, ok := s.Option(key); ok {
				if _, exists := p.f.Files[o.Value]; !exists && o.Value != conf {
					return Target{}, fmt.Errorf("%s names %s, which is not there or cannot be read", s.Place, o.Value)
				}
				return p.supplicantFile(o.Value)
			}
		}
		for _, o := range s.Options {
			if strings.HasPrefix(o.Name, "wpa-") || strings.HasPrefix(o.Name, "wireless-") {
				return Target{}, fmt.Errorf("%s names its one network itself (%s): put that network and further ones into a file, with `wpa-conf %s` in place of these lines", s.Place, o.Name, conf)
			}
		}
	}
	if at := p.told(); at != "" {
		return p.supplicantFile(at)
	}
	if len(stanzas) > 0 {
		return Target{}, fmt.Errorf("%s does not say how it joins networks: add the line `wpa-conf %s` there", stanzas[0].Place, conf)
	}
	return Target{}, fmt.Errorf("no stanza of %s names it: add `allow-hotplug %s`, `iface %s inet dhcp` and below that `wpa-conf %s`", main, p.link.Name, p.link.Name, conf)
}

// supplicantFile plans for a file that ifupdown gives to wpa_supplicant; it may be ours to make.
func (p *planner) supplicantFile(at string) (Target, error) {
	t := Target{Device: p.link.Name, Manager: backends.Ifupdown, Keeper: "wpa_supplicant", File: at}
	if _, exists := p.f.Files[at]; exists && !p.ours(at) {
		on, err := p.add(at)
		if err != nil {
			return Target{}, err
		}
		p.reconfigure(at, on)
		return t, nil
	}
	ref, err := p.own(at)
	if err != nil {
		return Target{}, err
	}
	p.reconfigure(at, []provision.Ref{ref})
	if !p.running() {
		p.trigger("ifup-"+p.link.Name, []provision.Ref{ref}, daemon.Ifup(p.link.Name), "ifup starts wpa_supplicant with it where the device is not up yet")
	}
	return t, nil
}
