package networkd

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
)

// Names of the drop-ins that provision writes: the second one where a foreign drop-in
// comes after the first and would win.
const (
	dropinName     = "90-provision.conf"
	lateDropinName = "zz-provision.conf"
)

// Edit is what should be said about one link beyond what its file says.
type Edit struct {
	Metric4, Metric6 *uint32 // nil: say nothing
	// NoDefaultDNS keeps systemd-resolved from asking this link's name servers for
	// names that no link claims: DNSDefaultRoute=no. The servers stay known and stay
	// in use for the link's own domains, which UseDNS=no would end.
	NoDefaultDNS bool
}

// Empty reports that nothing is to be said.
func (e Edit) Empty() bool { return e.Metric4 == nil && e.Metric6 == nil && !e.NoDefaultDNS }

// ErrOneMetric is returned for two different metrics where networkd knows only one.
var ErrOneMetric = errors.New("this systemd-networkd has one metric for DHCPv4 and router advertisements")

// Sections renders the edit for a version of networkd (0 is taken as current).
func (e Edit) Sections(version int) (string, error) {
	var b strings.Builder
	section := func(name, key string, value any) {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[%s]\n%s=%v\n", name, key, value)
	}
	if e.NoDefaultDNS {
		section("Network", "DNSDefaultRoute", "no")
	}
	ra := "IPv6AcceptRA"
	switch {
	case version > 0 && version <= 245:
		m := e.Metric4
		if m == nil {
			m = e.Metric6
		}
		if m == nil {
			return b.String(), nil
		}
		if e.Metric6 != nil && *e.Metric6 != *m {
			return "", fmt.Errorf("cannot give metric %d to IPv4 and %d to IPv6: %w", *m, *e.Metric6, ErrOneMetric)
		}
		// The last of these wins there, whichever section it stands in.
		section("DHCP", "RouteMetric", *m)
		section("DHCPv4", "RouteMetric", *m)
		return b.String(), nil
	case version >= 246 && version <= 248:
		ra = "DHCPv6" // where these versions keep the metric of RA routes
		if e.Metric4 != nil && e.Metric6 != nil && *e.Metric4 == *e.Metric6 {
			section("DHCP", "RouteMetric", *e.Metric4) // the form that was tried, on 247
		}
	}
	if e.Metric4 != nil {
		section("DHCPv4", "RouteMetric", *e.Metric4)
	}
	if e.Metric6 != nil {
		section(ra, "RouteMetric", *e.Metric6)
	}
	return b.String(), nil
}

// Dropin is the text of a drop-in.
func (e Edit) Dropin(version int) (string, error) {
	sections, err := e.Sections(version)
	return facts.Marker + "\n" + sections, err
}

// DropinPath is where a drop-in for n has to lie in dir so that it is read last.
func DropinPath(n *unit.Network, dir string) string {
	name := dropinName
	if len(n.Later(name)) > 0 {
		name = lateDropinName
	}
	return path.Join(dir, n.Base+".d", name)
}

// matchSection fits exactly l: by permanent MAC for hardware, else by name. Names
// in [Match] are patterns, so what is special there is quoted.
func matchSection(l facts.Link, version int) string {
	if strings.HasPrefix(l.Selector(), "mac:") {
		key := "PermanentMACAddress"
		if version > 0 && version < 245 {
			key = "MACAddress"
		}
		return fmt.Sprintf("[Match]\n%s=%s\n", key, strings.ToLower(l.PermMAC))
	}
	return fmt.Sprintf("[Match]\nName=%s\n", unit.Quote(l.Name))
}

// copyFor is the text of a file that does for l alone what n does, with edit added.
func copyFor(n *unit.Network, l facts.Link, edit Edit, version int) (string, error) {
	sections, err := edit.Sections(version)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n# what %s says, for %s alone\n%s", facts.Marker, n.Path, l.Name, matchSection(l, version))
	b.WriteString(unit.Render(withoutMatch(n.Entries)))
	b.WriteString("\n")
	b.WriteString(sections)
	return b.String(), nil
}

func withoutMatch(entries []unit.Entry) []unit.Entry {
	var out []unit.Entry
	for _, e := range entries {
		if e.Section != "Match" {
			out = append(out, e)
		}
	}
	return out
}

// fileBefore names a .network file for l that networkd tries before base; ok is
// false when no name can.
func fileBefore(base, ifname string) (name string, ok bool) {
	for _, prefix := range []string{"10-provision-", "05-provision-", "00-provision-", "00-0-provision-", "+provision-"} {
		if name := prefix + FileName(ifname) + ".network"; name < base {
			return name, true
		}
	}
	return "", false
}

// NewFile is the path of the file for a link that had no configuration.
func NewFile(ifname string) string {
	return path.Join(unit.EtcDir, "90-provision-"+FileName(ifname)+".network")
}

// FileName makes an interface name fit for a file name.
func FileName(ifname string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r == 0x7f {
			return '_'
		}
		return r
	}, ifname)
}
