package networkmanager

import (
	"fmt"
	"strconv"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts"
)

// Explain names the profile and configuration lines that decide a key: "metric",
// "owner", "dhcp4", "dhcp6".
func (b Backend) Explain(f *facts.Facts, l facts.Link, key string) []backends.Reason {
	c := readConf(f, nil)
	p, found := profileOf(f, l)
	switch key {
	case "metric":
		return explainMetric(f, l, c, p)
	case "owner":
		return explainOwner(f, l, c, p, found)
	case "dhcp4", "dhcp6":
		family := 4
		if key == "dhcp6" {
			family = 6
		}
		if p.file == nil {
			return []backends.Reason{{Key: key, Value: "unknown", Source: "NetworkManager", Note: fmt.Sprint(p.broken)}}
		}
		m, line := p.method(family)
		r := backends.Reason{Key: key, Value: strconv.FormatBool(m == "auto" || m == "dhcp"), Source: p.Path, Note: "method=" + m}
		if line > 0 {
			r.Source = fmt.Sprintf("%s:%d", p.Path, line)
		}
		return []backends.Reason{r}
	}
	return nil
}

func explainMetric(f *facts.Facts, l facts.Link, c conf, p profile) []backends.Reason {
	var out []backends.Reason
	for _, family := range []int{4, 6} {
		key := fmt.Sprintf("metric%d", family)
		if family == 6 && p.kernelRA() {
			out = append(out, backends.Reason{Key: key, Value: l.Sysctl["ipv6.ra_defrtr_metric"], Source: "net.ipv6.conf." + l.Name + ".ra_defrtr_metric",
				Note: "the profile's method=ignore leaves router advertisements to the kernel"})
			continue
		}
		decided := ""
		add := func(value, source, note string) {
			if decided != "" {
				note = "shadowed by " + decided
			} else {
				decided = source
			}
			out = append(out, backends.Reason{Key: key, Value: value, Source: source, Note: note})
		}
		if v, line, own := p.metric(family); own {
			add(strconv.FormatInt(v, 10), fmt.Sprintf("%s:%d", p.Path, line), "the profile's own route-metric")
		} else if p.broken != nil && p.UUID != "" {
			out = append(out, backends.Reason{Key: key, Value: "unknown", Source: "profile " + p.UUID, Note: p.broken.Error()})
		}
		for _, s := range c.connectionDefault(l, section(family)+".route-metric") {
			if s.value != "-1" {
				add(s.value, s.source(), "default for connections on this device")
			}
		}
		if decided == "" {
			add("100", "NetworkManager", "the default for Ethernet; a second device gets 101, Wi-Fi 600")
		}
		if backends.Penalised(f, l, backends.Ownership{Owner: backends.NetworkManager}, family) {
			out = append(out, backends.Reason{Key: key, Value: "+" + strconv.Itoa(penalty), Source: "NetworkManager", Note: "its connectivity check fails on this device"})
		}
	}
	return out
}

func explainOwner(f *facts.Facts, l facts.Link, c conf, p profile, found bool) []backends.Reason {
	dev, known := f.NM.Devices[l.Index]
	state := fmt.Sprintf("/run/NetworkManager/devices/%d", l.Index)
	switch {
	case !known:
		return []backends.Reason{{Key: "owner", Value: "unknown", Source: state, Note: "NetworkManager says nothing about it"}}
	case dev.Managed == "unmanaged":
		if s, ok := c.unmanaged(f, l); ok {
			return []backends.Reason{{Key: "owner", Value: "unmanaged", Source: s.source(), Note: s.value}}
		}
		return []backends.Reason{{Key: "owner", Value: "unmanaged", Source: state, Note: "a udev rule, or the kind of device"}}
	case dev.External:
		return []backends.Reason{{Key: "owner", Value: "external", Source: state, Note: "NetworkManager only watches what somebody else configured"}}
	}
	r := backends.Reason{Key: "owner", Value: string(backends.NetworkManager), Source: state, Note: "no profile is active"}
	if found && p.Path != "" {
		r.Note = fmt.Sprintf("profile %q, %s", p.ID, p.Path)
	} else if dev.UUID != "" {
		r.Note = "profile " + dev.UUID
	}
	return []backends.Reason{r}
}
