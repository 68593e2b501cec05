package claim

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// NM lists the NetworkManager profiles that are bound to l by name or MAC.
func NM(f *facts.Facts, l facts.Link) []Claim {
	var out []Claim
	for _, p := range f.NM.Profiles {
		if !ProfileFits(p, l) {
			continue
		}
		out = append(out, Claim{ID: p.ID, File: p.Path, Files: []string{p.Path}, Text: fmt.Sprintf("profile %q is bound to it", p.ID)})
	}
	return out
}

// ProfileFits reports whether a profile names l by interface name or MAC; a profile
// bound to nothing could be activated anywhere and is nobody's.
func ProfileFits(p facts.NMProfile, l facts.Link) bool {
	switch p.Type {
	case "802-3-ethernet", "ethernet", "":
		if !Ethernet(l) {
			return false
		}
	case "802-11-wireless", "wifi":
		if !Wlan(l) {
			return false
		}
	}
	if p.Interface == "" && p.MAC == "" {
		return false
	}
	if p.Interface != "" && p.Interface != l.Name {
		return false
	}
	return p.MAC == "" || strings.EqualFold(p.MAC, l.PermMAC)
}

// NetplanProfile reports whether a profile was made by netplan's generator.
func NetplanProfile(p facts.NMProfile) bool {
	return strings.HasPrefix(p.Path, "/run/NetworkManager/system-connections/netplan-")
}
