package wifi

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/wpaconf"
)

// A card that has not run yet has no managers to ask. These are the files of a network
// for a system whose kind is known, device wlan0 or whichever is named.

// Profile is where NetworkManager has the network, and its text.
func Profile(n Network, device string) (path, text string, err error) {
	if err := n.Check(); err != nil {
		return "", "", err
	}
	text, err = profile(n, device)
	return profilePrefix + Name(n.SSID) + ".nmconnection", text, err
}

// Supplicant is the one file that dhcpcd's hook gives to wpa_supplicant, on systems
// without a manager of networks, and its text.
func Supplicant(n Network) (path, text string, err error) {
	if err := n.Check(); err != nil {
		return "", "", err
	}
	l, err := lines(n)
	if err != nil {
		return "", "", err
	}
	text = facts.Marker + "\nctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\n"
	if n.Country != "" {
		text += "country=" + n.Country + "\n"
	}
	return supplicantDir + "/wpa_supplicant.conf", text + "\n" + wpaconf.Block(wpaconf.Body(n.SSID, l)), nil
}

// NetworkConfig is the network as cloud-init reads it (network-config, version 2, which
// is netplan's form).
func NetworkConfig(n Network, device, head string) (string, error) {
	if err := n.Check(); err != nil {
		return "", err
	}
	if !Plain(n.SSID) {
		return "", fmt.Errorf("cloud-init cannot name the network %s: it writes names as text, and this one is none", Show(n.SSID))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nversion: 2\nwifis:\n  %s:\n    dhcp4: true\n    optional: true\n", head, device)
	if n.Country != "" {
		fmt.Fprintf(&b, "    regulatory-domain: %s\n", quote(n.Country)) // NO is no boolean
	}
	b.WriteString("    access-points:\n")
	var points strings.Builder
	if err := accessPoint(&points, n); err != nil {
		return "", err
	}
	for line := range strings.Lines(points.String()) {
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	return b.String(), nil
}
