package claim

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// networkDirs are networkd's directories, the first one winning for equal file names
// (systemd.network(5)).
func networkDirs() []string {
	return []string{"/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network"}
}

// Networkd returns the .network file that networkd would take for l, if any: the
// first by file name whose [Match] fits.
func Networkd(f *facts.Facts, l facts.Link) (Claim, bool) {
	effective := map[string]string{} // file name to path
	var order []string
	for _, dir := range networkDirs() {
		for p := range f.Files {
			base := path.Base(p)
			if path.Dir(p) != dir || !strings.HasSuffix(base, ".network") {
				continue
			}
			if _, shadowed := effective[base]; !shadowed {
				effective[base] = p
				order = append(order, base)
			}
		}
	}
	slices.Sort(order)
	for _, base := range order {
		p := effective[base]
		if f.Files[p].Link == "/dev/null" {
			continue // masked
		}
		t, ok := text(f, p)
		if !ok {
			continue
		}
		if line, method, fits := matchNetwork(t, f, l); fits {
			return Claim{ID: base, File: p, Line: line, Method: method, Text: "its [Match] fits"}, true
		}
	}
	return Claim{}, false
}

// matchNetwork evaluates [Match] of one .network file. A file without a [Match]
// section or with a condition that facts cannot decide fits nothing.
func matchNetwork(t string, f *facts.Facts, l facts.Link) (line int, method string, fits bool) {
	section, conditions := "", 0
	fits = true
	for i, raw := range strings.Split(t, "\n") {
		s := strings.TrimSpace(raw)
		if s == "" || s[0] == '#' || s[0] == ';' {
			continue
		}
		if s[0] == '[' {
			section = s
			if s == "[Match]" && line == 0 {
				line = i + 1
			}
			continue
		}
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			continue
		}
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		switch section {
		case "[Match]":
			if v == "" {
				continue
			}
			conditions++
			fits = fits && condition(k, v, f, l)
		case "[Network]":
			switch {
			case k == "DHCP" && v != "no" && v != "none" && v != "false":
				method = "dhcp"
			case k == "Address" && method == "":
				method = "static"
			}
		}
	}
	return line, method, fits && conditions > 0
}

func condition(key, value string, f *facts.Facts, l facts.Link) bool {
	switch key {
	case "Name":
		return words(value, names(l)...)
	case "OriginalName":
		return words(value, l.Name)
	case "MACAddress":
		return slices.ContainsFunc(strings.Fields(value), func(m string) bool { return sameMAC(m, l.MAC) })
	case "PermanentMACAddress":
		return slices.ContainsFunc(strings.Fields(value), func(m string) bool { return sameMAC(m, l.PermMAC) })
	case "Driver":
		return l.Driver != "" && words(value, l.Driver)
	case "Path":
		return words(value, l.Udev["ID_PATH"])
	case "Kind":
		return words(value, l.Kind)
	case "Type":
		return words(value, networkdTypes(l)...)
	case "Virtualization":
		return virtualization(value, f)
	}
	return false // SSID, Host, KernelVersion, Credential ...: not to be decided from facts
}

// words evaluates a list of shell patterns; a leading "!" negates the whole list.
func words(list string, have ...string) bool {
	negate := strings.HasPrefix(list, "!")
	list = strings.TrimPrefix(list, "!")
	for _, pattern := range strings.Fields(list) {
		for _, h := range have {
			if glob(strings.Trim(pattern, `"`), h) {
				return !negate
			}
		}
	}
	return negate
}

// networkdTypes are the values of Type= that fit l: DEVTYPE of the uevent, else the
// name of the ARPHRD type (net_get_type_string of systemd's udev-util).
func networkdTypes(l facts.Link) []string {
	if l.DevType != "" {
		return []string{l.DevType}
	}
	switch l.ARPHRD {
	case 1:
		return []string{"ether"}
	case 772:
		return []string{"loopback"}
	case 65534:
		return []string{"none"}
	}
	return []string{fmt.Sprint(l.ARPHRD)}
}

func virtualization(value string, f *facts.Facts) bool {
	negate := strings.HasPrefix(value, "!")
	value = strings.TrimPrefix(value, "!")
	m := f.Machine
	vm := m.Container == "" && m.Hypervisor != "" && m.Hypervisor != "none"
	var fits bool
	switch value {
	case "container":
		fits = m.Container != ""
	case "vm":
		fits = vm
	case "yes", "true", "1", "on":
		fits = m.Container != "" || vm
	case "no", "false", "0", "off":
		fits = m.Container == "" && !vm
	default:
		fits = value == m.Container || vm && value == m.Hypervisor
	}
	return fits != negate
}
