package netplan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/provision/facts"
)

// Explain names the id, the file and line that decides the key, files and values that
// no longer count, ids that would fit too, and what the generated file says.
func (b Backend) Explain(f *facts.Facts, link facts.Link, key string) []backends.Reason {
	t := netdef.ReadTree(f, false)
	asked := func(k string) bool { return key == "" || key == k }
	var out []backends.Reason
	add := func(key, value, source, note string) {
		out = append(out, backends.Reason{Key: key, Value: value, Source: source, Note: note})
	}
	for _, err := range t.Errors {
		add(networkd.KeyOwner, "error", "netplan", err.Error())
	}
	if asked(networkd.KeyOwner) {
		for _, p := range sorted(t.Shadowed) {
			add(networkd.KeyOwner, "file", p, "shadowed by "+t.Shadowed[p])
		}
	}
	id, fits := t.For(f, link)
	if id == nil {
		add(networkd.KeyOwner, "no id fits", strings.Join(t.Files, ", "), "")
		return out
	}
	if asked(networkd.KeyOwner) {
		note := ""
		if others := t.Sharers(f, id, link); len(others) > 0 {
			note = "also configures " + strings.Join(others, ", ")
		}
		add(networkd.KeyOwner, "id "+id.Name, id.Pos.Source(), note)
		renderer, source := id.Renderer, "netplan default"
		if id.RendererPos.Line > 0 {
			source = id.RendererPos.Source()
		}
		add("renderer", renderer, source, "")
		for _, other := range fits[1:] {
			add(networkd.KeyOwner, "id "+other.Name, other.Pos.Source(), fmt.Sprintf("fits too, but %s swallows it: its generated file sorts first", id.Name))
		}
	}
	s := id.Settings()
	scalar := func(key, missing string, v *netdef.Value) {
		if v == nil {
			add(key, missing, id.Pos.Source(), "not set for id "+id.Name+": netplan's default holds")
			return
		}
		add(key, v.Text, v.Pos.Source(), overridden(v))
	}
	if asked(networkd.KeyDHCP4) {
		scalar(networkd.KeyDHCP4, "false", s.DHCP4Pos)
	}
	if asked(networkd.KeyDHCP6) {
		scalar(networkd.KeyDHCP6, "false", s.DHCP6Pos)
		scalar("accept-ra", "as the renderer does", s.RAPos)
	}
	if asked(networkd.KeyMetric) {
		scalar("dhcp4-overrides.route-metric", "unset", s.Over4)
		scalar("dhcp6-overrides.route-metric", "unset", s.Over6)
		for _, r := range s.Static {
			add(fmt.Sprintf("metric%d", r.Family), r.Metric, r.Pos.Source(), "static default route via "+r.Gateway)
		}
		if metric, written, agree := s.Networkd(); id.Renderer == netdef.RendererNetworkd {
			switch {
			case !agree:
				add(networkd.KeyMetric, "none", "netplan", "the overrides of both families differ while dhcp4 and dhcp6 are on: netplan refuses the whole tree")
			case written:
				add(networkd.KeyMetric, strconv.FormatUint(uint64(metric), 10), netdef.NetworkFile(id.Name), "rendered into [DHCP], which counts for DHCPv4 and router advertisements alike")
			default:
				add(networkd.KeyMetric, "unset", netdef.NetworkFile(id.Name), "netplan writes no metric without dhcp4 or dhcp6")
			}
		}
	}
	switch {
	case id.Renderer == netdef.RendererNetworkd:
		out = append(out, networkd.ExplainLink(f, link, key)...)
	case id.Renderer == netdef.RendererNM && b.nm != nil:
		out = append(out, b.nm.Explain(f, link, key)...)
	}
	return out
}

func overridden(v *netdef.Value) string {
	var out []string
	for _, o := range v.Overridden {
		out = append(out, fmt.Sprintf("overrides %q of %s", o.Text, o.Pos.Source()))
	}
	return strings.Join(out, "; ")
}
