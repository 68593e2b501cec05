package wifi

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/provision/resource/wlan"
)

// netplanPath adds access points to the tree. It does not begin with the mark of files that
// provision makes anew from facts alone: to the planner of metrics it is like anybody's.
const netplanPath = "/etc/netplan/80-provision-wifi.yaml"

// netplan wants the access points in a file of their own, for the id that configures the device or
// a new one, rendered to systemd-networkd: netplan makes wpa_supplicant's file and unit.
func (p *planner) netplan() (Target, error) {
	tree := netdef.ReadTree(without(p.f, netplanPath), true)
	if err := errors.Join(tree.Errors...); err != nil {
		return Target{}, err
	}
	id, _ := tree.For(p.f, p.link)
	var b strings.Builder
	b.WriteString(Header + "network:\n  version: 2\n  wifis:\n")
	if id != nil {
		if id.Type != "wifis" {
			return Target{}, fmt.Errorf("netplan has it as one of its %s (id %s, %s), which knows no networks: give it an id under wifis there", id.Type, id.Name, id.Pos.Source())
		}
		fmt.Fprintf(&b, "    %s:\n", quote(id.Name))
	} else {
		// systemd-networkd's renderer wants a Wi-Fi device by its name.
		fmt.Fprintf(&b, "    %s:\n      renderer: networkd\n      dhcp4: true\n      dhcp6: true\n      optional: true\n", quote(p.link.Name))
	}
	b.WriteString("      access-points:\n")
	for _, n := range p.networks {
		if !Plain(n.SSID) {
			return Target{}, fmt.Errorf("netplan cannot name the network %s: it writes names as text, and this one is none", Show(n.SSID))
		}
		if id != nil {
			if ap := id.Def.Get("access-points"); ap != nil && ap.Get(n.SSID) != nil {
				return Target{}, fmt.Errorf("%s has the network %q already: change it there", ap.Get(n.SSID).Pos.Source(), n.SSID)
			}
		}
		if err := accessPoint(&b, n); err != nil {
			return Target{}, err
		}
		if n.Security == SAE && noSAE(p.f.Netplan.Version) {
			return Target{}, fmt.Errorf("netplan %s knows no WPA3, which %q is to be joined by: 0.107 and later do", p.f.Netplan.Version, n.SSID)
		}
		if strings.Contains(n.Passphrase, `"`) && strings.Contains(n.Passphrase, "#") {
			// netplan puts quotes around it as it is; wpa_supplicant takes what follows the second quote and a "#" for a comment.
			return Target{}, fmt.Errorf("netplan writes the passphrase of %q in a way that wpa_supplicant cannot read, since it has both \" and #: give the network another one", n.SSID)
		}
		if n.Priority != 0 {
			p.note("warning", "netplan has no key for the priority of a network: %q gets none", n.SSID)
		}
	}
	w := file.Secret(netplanPath, []byte(b.String()), 0o600, fmt.Sprintf("networks of %s, by provision wifi add", p.link.Name))
	p.d.Wants = append(p.d.Wants, w)
	on := []provision.Ref{w.Ref}
	p.trigger("netplan-wifi-files", on, daemon.NetplanGenerate(), "the files that netplan makes of it: for wpa_supplicant, and its unit")
	if id == nil {
		// The unit is ours as the id is: it comes and goes with it.
		p.trigger("netplan-wifi-network", on, daemon.NetworkdReload(p.link.Selector()), "systemd-networkd learns of the device")
		name, err := unitName("netplan-wpa-", p.link.Name)
		if err != nil {
			return Target{}, err
		}
		p.trigger("netplan-wifi-unit", on, unit.Action(name), "wpa_supplicant for the device, as netplan's unit starts it")
	} else {
		p.trigger("netplan-wifi-supplicant", on, wlan.Reconfigure(p.link.Name, netplanConf(p.link.Name)), "wpa_supplicant reads its networks again; what is connected stays so")
	}
	return Target{Device: p.link.Name, Manager: backends.Netplan, Keeper: "wpa_supplicant", File: netplanPath}, nil
}

// noSAE reports whether a version of netplan is known to lack sae among its ways of key management
// (0.106 refuses it); what a version in between does, netplan's own check says.
func noSAE(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor := strings.TrimRightFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if i := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = minor[:i]
	}
	n, err := strconv.Atoi(minor)
	return major == "0" && err == nil && n < 107
}

func netplanConf(device string) string { return "/run/netplan/wpa-" + device + ".conf" }

// accessPoint is one entry of access-points (netplan-yaml, properties for device type wifis).
func accessPoint(b *strings.Builder, n Network) error {
	fmt.Fprintf(b, "        %s:\n", quote(n.SSID))
	before := b.Len()
	if n.Hidden {
		b.WriteString("          hidden: true\n")
	}
	if n.BSSID != "" {
		b.WriteString("          bssid: " + quote(n.BSSID) + "\n")
	}
	switch n.Security {
	case PSK:
		key, err := n.key()
		if err != nil {
			return err
		}
		b.WriteString("          auth:\n            key-management: psk\n            password: " + quote(key) + "\n")
	case SAE:
		b.WriteString("          auth:\n            key-management: sae\n            password: " + quote(n.Passphrase) + "\n")
	}
	if b.Len() == before {
		text := strings.TrimSuffix(b.String(), "\n") + " {}\n"
		b.Reset()
		b.WriteString(text)
	}
	return nil
}

// without returns facts that have one file less.
func without(f *facts.Facts, path string) *facts.Facts {
	g := *f
	g.Files = make(map[string]facts.File, len(f.Files))
	for name, one := range f.Files {
		if name != path {
			g.Files[name] = one
		}
	}
	g.Netplan.Files = nil
	for _, name := range f.Netplan.Files {
		if name != path {
			g.Netplan.Files = append(g.Netplan.Files, name)
		}
	}
	return &g
}

// unitName is that of a service for the device.
func unitName(prefix, device string) (string, error) {
	if strings.Trim(device, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "", fmt.Errorf("no unit can be named after %q: only small letters and digits are taken", device)
	}
	return prefix + device + ".service", nil
}

func sortedFiles(f *facts.Facts) []string {
	names := make([]string, 0, len(f.Files))
	for name := range f.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
