package unit

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// Verdict is the outcome of a match simulation.
type Verdict int

const (
	No Verdict = iota
	Yes
	Unknown // depends on something that facts do not hold (SSID, a udev property, a condition)
)

// Match is what the [Match] sections of a file and its drop-ins add up to.
type Match struct {
	names, drivers, paths, types, kinds []string
	props                               []string
	macs, permMACs                      []string
	undecided                           []string // settings that facts cannot decide
	conditions                          []condition
}

type condition struct {
	key, value string
	negate     bool
}

// ReadMatch collects [Match]; an empty assignment resets its list.
func ReadMatch(entries []Entry) Match {
	var m Match
	for _, e := range entries {
		if e.Section != "Match" {
			continue
		}
		switch e.Key {
		case "Name":
			patterns(&m.names, e.Value, false)
		case "Driver":
			patterns(&m.drivers, e.Value, true)
		case "Path":
			patterns(&m.paths, e.Value, true)
		case "Type":
			patterns(&m.types, e.Value, true)
		case "Kind":
			patterns(&m.kinds, e.Value, true)
		case "Property":
			patterns(&m.props, e.Value, true)
		case "MACAddress":
			addresses(&m.macs, e.Value)
		case "PermanentMACAddress":
			addresses(&m.permMACs, e.Value)
		case "WLANInterfaceType", "SSID", "BSSID":
			patterns(&m.undecided, e.Value, true)
		case "Host", "Virtualization", "KernelCommandLine", "KernelVersion", "Version", "Architecture", "Firmware", "Credential":
			// One condition of each sort: a later one replaces an earlier one.
			m.conditions = slices.DeleteFunc(m.conditions, func(c condition) bool { return c.key == e.Key })
			if v, negate := strings.CutPrefix(e.Value, "!"); v != "" {
				m.conditions = append(m.conditions, condition{e.Key, v, negate})
			}
		}
	}
	return m
}

// Empty reports a [Match] without any valid setting: networkd ignores such a file,
// before version 245 it fitted every link.
func (m Match) Empty() bool {
	return len(m.names)+len(m.drivers)+len(m.paths)+len(m.types)+len(m.kinds)+len(m.props)+
		len(m.macs)+len(m.permMACs)+len(m.undecided)+len(m.conditions) == 0
}

// Fits simulates net_match_config of systemd for one link.
func (m Match) Fits(f *facts.Facts, l facts.Link, version int) Verdict {
	if m.Empty() {
		if version > 0 && version < 245 {
			return Yes
		}
		return No
	}
	verdict := Yes
	unknown := func() { verdict = Unknown }
	for _, c := range m.conditions {
		switch c.holds(f) {
		case No:
			return No
		case Unknown:
			unknown()
		}
	}
	if len(m.macs) > 0 && !slices.Contains(m.macs, strings.ToLower(l.MAC)) {
		return No
	}
	// Virtual links have no permanent address (ETHTOOL_GPERMADDR), so this never fits them.
	if len(m.permMACs) > 0 && (l.Kind != "" || !slices.Contains(m.permMACs, strings.ToLower(l.PermMAC))) {
		return No
	}
	path, hasPath := l.Udev["ID_PATH"]
	if len(m.paths) > 0 && !hasPath && l.DevPath != "" && len(l.Udev) == 0 {
		unknown() // hardware without udev data: the path exists but is not known
	} else if !anyOf(m.paths, hasPath, path) {
		return No
	}
	if len(m.drivers) > 0 && l.Driver == "" && l.Kind != "" {
		// Virtual links have no driver in sysfs, but ETHTOOL_GDRVINFO names their kind.
		if !anyOf(m.drivers, true, l.Kind) {
			return No
		}
	} else if !anyOf(m.drivers, l.Driver != "", l.Driver) {
		return No
	}
	if typ, ok := linkType(l); len(m.types) > 0 && !ok {
		unknown()
	} else if !anyOf(m.types, ok, typ) {
		return No
	}
	if !anyOf(m.kinds, l.Kind != "", l.Kind) {
		return No
	}
	if !slices.ContainsFunc(append([]string{l.Name}, l.Alt...), func(n string) bool { return anyOf(m.names, true, n) }) {
		return No
	}
	for _, p := range m.props {
		pattern, invert := strings.CutPrefix(p, "!")
		key, want, _ := strings.Cut(pattern, "=")
		have, ok := l.Udev[key]
		switch {
		case !ok:
			unknown() // facts keep only some properties
		case Glob(want, have) == invert:
			return No
		}
	}
	if len(m.undecided) > 0 {
		unknown()
	}
	return verdict
}

// Specific reports whether the match can never fit a second link: an exact name or
// an address.
func (m Match) Specific() bool {
	if len(m.macs) == 1 || len(m.permMACs) == 1 {
		return true
	}
	return len(m.names) == 1 && !strings.ContainsAny(m.names[0], `*?[!\`)
}

// anyOf is net_condition_test_strv: one positive pattern must fit, no negated one
// may; without positive ones everything else fits.
func anyOf(patterns []string, known bool, s string) bool {
	fits, positive := false, false
	for _, p := range patterns {
		q, invert := strings.CutPrefix(p, "!")
		positive = positive || !invert
		if known && Glob(q, s) {
			if invert {
				return false
			}
			fits = true
		}
	}
	return fits || !positive
}

// patterns appends the words of value; a "!" before the first one negates them all.
func patterns(list *[]string, value string, quoted bool) {
	if value == "" {
		*list = nil
		return
	}
	value, invert := strings.CutPrefix(value, "!")
	for _, w := range words(value, quoted) {
		if invert {
			w = "!" + w
		}
		*list = append(*list, w)
	}
}

// words splits at blanks; where quotes are allowed they keep blanks together.
func words(s string, quoted bool) []string {
	if !quoted {
		return strings.Fields(s)
	}
	var out []string
	var word strings.Builder
	var quote byte
	in := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, in = c, true
		case strings.IndexByte(blanks, c) >= 0:
			if in {
				out = append(out, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if quote != 0 {
		return out // an open quote ends the list, as extract_first_word does
	}
	if in {
		out = append(out, word.String())
	}
	return out
}

func addresses(list *[]string, value string) {
	if value == "" {
		*list = nil
		return
	}
	for _, w := range strings.Fields(value) {
		if a, err := net.ParseMAC(w); err == nil {
			*list = append(*list, a.String())
		}
	}
}

// linkType is the value that Type= is compared with: DEVTYPE of the uevent, else the
// name of the ARPHRD type (net_get_type_string of systemd).
func linkType(l facts.Link) (string, bool) {
	if l.DevType != "" {
		return l.DevType, true
	}
	switch l.ARPHRD {
	case 1:
		return "ether", true
	case 32:
		return "infiniband", true
	case 512:
		return "ppp", true
	case 768:
		return "tunnel", true
	case 769:
		return "tunnel6", true
	case 772:
		return "loopback", true
	case 776:
		return "sit", true
	case 778:
		return "ipgre", true
	case 65534:
		return "none", true
	}
	return "", false
}

// holds evaluates a condition on the machine as far as facts tell.
func (c condition) holds(f *facts.Facts) Verdict {
	result, known := false, true
	switch c.key {
	case "Host":
		result = strings.EqualFold(c.value, f.Machine.Hostname) || Glob(strings.ToLower(c.value), strings.ToLower(f.Machine.Hostname))
		// A machine id is compared too, and facts hold only its digest.
		known = f.Machine.Hostname != "" && (result || len(c.value) != 32)
	case "Virtualization":
		container := f.Machine.Container != "" || f.Machine.WSL
		vm := f.Machine.Hypervisor != "" && f.Machine.Hypervisor != "none"
		if yes, ok := Bool(c.value); ok {
			result = yes == (container || vm)
			break
		}
		switch c.value {
		case "container":
			result = container
		case "vm":
			result = vm && !container
		default:
			names := map[string]string{"virtualbox": "oracle", "hyperv": "microsoft"}
			have := f.Machine.Hypervisor
			if n := names[have]; n != "" {
				have = n
			}
			if container {
				have = f.Machine.Container
			}
			result = c.value == have
		}
	default:
		known = false
	}
	switch {
	case !known:
		return Unknown
	case result != c.negate:
		return Yes
	}
	return No
}

func (m Match) String() string {
	return fmt.Sprintf("names %q macs %q permanent %q drivers %q", m.names, m.macs, m.permMACs, m.drivers)
}
