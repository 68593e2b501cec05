package killswitch

import "fmt"

// untrusted says why a way out is not trusted; empty when it is. A Wi-Fi without encryption is
// never trusted, whatever its name: anybody can give an access point any name.
func (c Config) untrusted(u Uplink) string {
	if u.Wifi && u.SSID == "" {
		return fmt.Sprintf("the Wi-Fi of %s is not known", u.Name)
	}
	for _, t := range c.Trusted {
		if t.Interface != "" && !fits(t.Interface, u.Name) {
			continue
		}
		switch {
		case t.SSID == "" && t.Interface != "" && !u.Wifi:
			return ""
		case t.SSID == "" || !u.Wifi || t.SSID != u.SSID:
		case !u.Encrypted:
			return fmt.Sprintf("the Wi-Fi %q of %s has a trusted name but no encryption", u.SSID, u.Name)
		default:
			return ""
		}
	}
	switch {
	case u.Wifi && !u.Encrypted:
		return fmt.Sprintf("the Wi-Fi %q of %s is open", u.SSID, u.Name)
	case u.Wifi:
		return fmt.Sprintf("the Wi-Fi %q of %s is not in the list", u.SSID, u.Name)
	}
	return u.Name + " is not in the list"
}

// trusts reports whether every way out is trusted, and why not. No way out at all is no reason
// to open anything.
func (c Config) trusts(ups []Uplink) (bool, string) {
	if c.Arm != "untrusted" {
		return false, ""
	}
	if len(ups) == 0 {
		return false, "there is no way out"
	}
	for _, u := range ups {
		if why := c.untrusted(u); why != "" {
			return false, why
		}
	}
	return true, ""
}
