package dhcpcd

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/provision/facts"
)

// Explain names the lines of dhcpcd.conf that decide for a NIC. Keys: "owner",
// "metric", "dhcp4", "dhcp6", or the name of any option.
func (Backend) Explain(f *facts.Facts, link facts.Link, key string) []backends.Reason {
	c, err := read(f)
	if err != nil {
		return []backends.Reason{{Key: key, Source: confFile, Note: err.Error()}}
	}
	at := func(l conf.Line) string { return fmt.Sprintf("%s:%d", confFile, l.Number) }
	switch key {
	case "owner":
		if l, denied := c.Denied(link.Name); denied {
			return []backends.Reason{{Key: key, Value: "no", Source: at(l), Note: l.Option + " " + l.Value}}
		}
		return []backends.Reason{{Key: key, Value: "yes", Source: confFile, Note: "dhcpcd takes every NIC that no denyinterfaces or allowinterfaces line keeps from it"}}
	case "dhcp4", "dhcp6":
		off := map[string][]string{"dhcp4": {"nodhcp", "noipv4", "ipv6only"}, "dhcp6": {"nodhcp6", "noipv6", "ipv4only"}}[key]
		for _, option := range off {
			if l, ok := c.Last(link.Name, option); ok {
				return []backends.Reason{{Key: key, Value: "false", Source: at(l), Note: option}}
			}
		}
		return []backends.Reason{{Key: key, Value: "true", Source: confFile, Note: "dhcpcd's default"}}
	}
	var out []backends.Reason
	for _, l := range c.Active(link.Name) {
		if l.Option != key {
			continue
		}
		where := "for every interface"
		if l.Block != "" {
			where = "in the block of " + l.Of
		}
		if n := len(out); n > 0 {
			out[n-1].Note += "; overridden by line " + fmt.Sprint(l.Number)
		}
		out = append(out, backends.Reason{Key: key, Value: l.Value, Source: at(l), Note: where})
	}
	if len(out) == 0 && key == "metric" {
		value, note := 1000+link.Index, "dhcpcd's default: 1000 + interface index"
		if old(f.Dhcpcd.Version) {
			value, note = 200+link.Index, "dhcpcd's default before 9.4: 200 + interface index"
		}
		if link.DevType == "wlan" {
			note += ", more for Wi-Fi"
		}
		out = append(out, backends.Reason{Key: key, Value: fmt.Sprint(value), Source: confFile, Note: note})
	}
	return out
}

// old reports whether the version is before 9.4.
func old(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(strings.ReplaceAll(version, ":", " "), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 9 || major == 9 && minor < 4
}
