package wifi

import (
	"crypto/sha1"
	"fmt"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

const (
	profileDir    = "/etc/NetworkManager/system-connections"
	profilePrefix = profileDir + "/provision-wifi-"
)

// networkManager wants one profile for each network. NetworkManager joins the best one that is in
// reach whenever the device has none; it leaves one that works only when told.
func (p *planner) networkManager(m backends.Manager) (Target, error) {
	if d := p.f.NM.Devices[p.link.Index]; d.Managed == "unmanaged" {
		return Target{}, fmt.Errorf("NetworkManager leaves it alone (unmanaged): `nmcli device set %s managed yes` changes that until the next boot, the line that says so is shown by `provision explain %s`", p.link.Name, p.link.Name)
	}
	var on []provision.Ref
	for _, n := range p.networks {
		at := profilePrefix + Name(n.SSID) + ".nmconnection"
		if have, exists := p.f.Files[at]; exists && !have.Ours() {
			return Target{}, fmt.Errorf("%s exists and was not written by provision: remove or rename it", at)
		}
		text, err := profile(n, p.link.Name)
		if err != nil {
			return Target{}, err
		}
		p.d.Wants = append(p.d.Wants, file.Secret(at, []byte(text), 0o600, why(n)))
		on = append(on, file.SecretRef(at))
	}
	p.trigger("networkmanager-wifi-"+p.link.Name, on, daemon.NMReloadConnections(p.link.Selector()),
		"NetworkManager reads the profiles again and activates the device if it lies idle; what is connected stays so")
	return Target{Device: p.link.Name, Manager: m, Keeper: "NetworkManager", File: profileDir}, nil
}

// profile is a keyfile (nm-settings-keyfile(5)).
func profile(n Network, device string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n[connection]\nid=provision-wifi-%s\nuuid=%s\ntype=wifi\ninterface-name=%s\n", facts.Marker, Name(n.SSID), uuid(device, n.SSID), device)
	if n.Priority != 0 {
		fmt.Fprintf(&b, "autoconnect-priority=%d\n", n.Priority)
	}
	b.WriteString("\n[wifi]\nmode=infrastructure\nssid=" + keyfileSSID(n.SSID) + "\n")
	if n.Hidden {
		b.WriteString("hidden=true\n")
	}
	if n.BSSID != "" {
		b.WriteString("bssid=" + strings.ToUpper(n.BSSID) + "\n")
	}
	switch n.Security {
	case PSK:
		key, err := n.key()
		if err != nil {
			return "", err
		}
		b.WriteString("\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=" + key + "\n")
	case SAE:
		b.WriteString("\n[wifi-security]\nkey-mgmt=sae\npsk=" + keyfileText(n.Passphrase) + "\n")
	}
	b.WriteString("\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n")
	return b.String(), nil
}

// keyfileSSID writes an SSID as its bytes, which nothing in a keyfile can be mistaken for.
func keyfileSSID(ssid string) string {
	var b strings.Builder
	for i := range len(ssid) {
		fmt.Fprintf(&b, "%d;", ssid[i])
	}
	return b.String()
}

// keyfileText escapes a value as GKeyFile reads it: the backslash, and a blank at the beginning.
func keyfileText(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	if strings.HasPrefix(s, " ") {
		s = `\s` + s[1:]
	}
	return s
}

// namespace is the UUID under which those of the profiles are made (RFC 9562, version 5).
var namespace = [16]byte{0x0c, 0x9a, 0x51, 0xe6, 0x3d, 0x74, 0x4f, 0x1b, 0xa2, 0x66, 0x5f, 0x8d, 0x21, 0x94, 0xb7, 0xe0}

func uuid(device, ssid string) string {
	sum := sha1.Sum(append(namespace[:], device+"\x00"+ssid...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
