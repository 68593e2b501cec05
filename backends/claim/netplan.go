package claim

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision/facts"
)

// Netplan is what the effective netplan files say, merged in their reading order.
type Netplan struct {
	Renderer string // network.renderer; empty: networkd
	IDs      []NetplanID
}

// NetplanID is one device definition.
type NetplanID struct {
	ID       string
	Type     string // ethernets, wifis, bridges ...
	Renderer string // as inherited: the id's own, its type's, the global one, networkd
	Match    *NetplanMatch
	SetName  string
	DHCP4    bool
	DHCP6    bool
	Static   bool // has addresses
	Files    []string
	File     string // file and line of the last piece
	Line     int

	ownRenderer string
}

// NetplanMatch is a match mapping; an empty one fits every device of the type.
type NetplanMatch struct {
	Name    string
	MAC     string
	Drivers []string
}

// physical are the types whose definitions match existing hardware; every other type
// creates a device called like its id (netplan-yaml, "Properties for physical device types").
func physical(typ string) bool { return typ == "ethernets" || typ == "wifis" || typ == "modems" }

// ReadNetplan merges f.Netplan.Files. Files that were not readable are skipped (they
// are in f.Unreadable); each that does not parse is one error.
func ReadNetplan(f *facts.Facts) (Netplan, error) {
	var n Netplan
	var errs []error
	types := map[string]string{}
	for _, name := range f.Netplan.Files {
		t, ok := text(f, name)
		if !ok || strings.TrimSpace(t) == "" {
			continue
		}
		if err := n.add(name, t, types); err != nil {
			errs = append(errs, err)
		}
	}
	for i := range n.IDs {
		id := &n.IDs[i]
		for _, r := range []string{id.ownRenderer, types[id.Type], n.Renderer, "networkd"} {
			if r != "" {
				id.Renderer = r
				break
			}
		}
	}
	return n, errors.Join(errs...)
}

func (n *Netplan) add(name, t string, types map[string]string) error {
	var doc yaml.Node
	if err := yaml.NewDecoder(strings.NewReader(t)).Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return &Error{File: name, Err: fmt.Errorf("cannot parse netplan YAML: %w", err)}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	network := child(doc.Content[0], "network")
	if network == nil || network.Kind != yaml.MappingNode {
		return nil
	}
	each(network, func(key, value *yaml.Node) {
		switch {
		case key.Value == "renderer":
			n.Renderer = value.Value
		case value.Kind != yaml.MappingNode || strings.HasPrefix(key.Value, "x-"):
		default:
			each(value, func(id, def *yaml.Node) {
				if id.Value == "renderer" && def.Kind == yaml.ScalarNode {
					types[key.Value] = def.Value
					return
				}
				if def.Kind == yaml.MappingNode || def.Tag == "!!null" {
					n.merge(name, key.Value, id, def)
				}
			})
		}
	})
	return nil
}

func (n *Netplan) merge(file, typ string, key, def *yaml.Node) {
	i := slices.IndexFunc(n.IDs, func(d NetplanID) bool { return d.ID == key.Value })
	if i < 0 {
		n.IDs = append(n.IDs, NetplanID{ID: key.Value, Type: typ})
		i = len(n.IDs) - 1
	}
	id := &n.IDs[i]
	id.File, id.Line = file, key.Line
	id.Files = append(id.Files, file)
	each(def, func(k, v *yaml.Node) {
		switch k.Value {
		case "renderer":
			id.ownRenderer = v.Value
		case "set-name":
			id.SetName = v.Value
		case "dhcp4":
			id.DHCP4 = truth(v.Value)
		case "dhcp6":
			id.DHCP6 = truth(v.Value)
		case "addresses":
			id.Static = id.Static || len(v.Content) > 0
		case "match":
			if id.Match == nil {
				id.Match = &NetplanMatch{}
			}
			id.Match.merge(v)
		}
	})
}

func (m *NetplanMatch) merge(v *yaml.Node) {
	each(v, func(k, v *yaml.Node) {
		switch k.Value {
		case "name":
			m.Name = v.Value
		case "macaddress":
			m.MAC = v.Value
		case "driver":
			if v.Kind == yaml.ScalarNode {
				m.Drivers = append(m.Drivers, strings.Fields(v.Value)...)
			}
			for _, d := range v.Content {
				m.Drivers = append(m.Drivers, d.Value)
			}
		}
	})
}

// Fits reports whether the definition is about l, as its renderer would see it: a
// renamed device by its new name too, a MAC by the permanent one.
func (id NetplanID) Fits(l facts.Link) bool {
	if !physical(id.Type) {
		return slices.Contains(names(l), id.ID)
	}
	if (id.Type == "wifis") != Wlan(l) || l.Kind != "" && l.Kind != "veth" {
		return false
	}
	m := id.Match
	if m == nil {
		return slices.Contains(names(l), id.ID)
	}
	// NetworkManager's own profiles written back as YAML carry an empty match; the
	// profile says which device it is for.
	if m.Name == "" && m.MAC == "" && len(m.Drivers) == 0 {
		return !strings.HasPrefix(id.ID, "NM-") && (Ethernet(l) || Wlan(l))
	}
	if m.Name != "" && !globAny(m.Name, l) && (id.SetName == "" || id.SetName != l.Name) {
		return false
	}
	if m.MAC != "" && !sameMAC(m.MAC, l.PermMAC) && !sameMAC(m.MAC, l.MAC) {
		return false
	}
	if len(m.Drivers) > 0 && !slices.ContainsFunc(m.Drivers, func(d string) bool { return glob(d, l.Driver) }) {
		return false
	}
	return true
}

// Exact reports whether the match can only ever mean one device.
func (id NetplanID) Exact() bool {
	if id.Match == nil {
		return true
	}
	return id.Match.MAC != "" || id.Match.Name != "" && !strings.ContainsAny(id.Match.Name, "*?[")
}

// For lists the ids that fit l, in the order in which networkd would read their
// generated files (10-netplan-ID.network, sorted by name): the first one decides.
func (n Netplan) For(l facts.Link) []Claim {
	var out []Claim
	for _, id := range n.IDs {
		if !id.Fits(l) {
			continue
		}
		c := Claim{ID: id.ID, Renderer: id.Renderer, File: id.File, Line: id.Line,
			Text: fmt.Sprintf("netplan id %q (%s, renderer %s) fits", id.ID, id.Type, id.Renderer)}
		switch {
		case id.DHCP4 || id.DHCP6:
			c.Method = "dhcp"
		case id.Static:
			c.Method = "static"
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b Claim) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// truth is netplan's reading of a boolean (YAML 1.1).
func truth(s string) bool {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y", "1":
		return true
	}
	return false
}

// each calls fn for every pair of a mapping; aliases are resolved by one step, which
// is as far as hand-written files go, so a chain of them cannot blow up.
func each(n *yaml.Node, fn func(key, value *yaml.Node)) {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := n.Content[i+1]
		if v.Kind == yaml.AliasNode && v.Alias != nil {
			v = v.Alias
		}
		fn(n.Content[i], v)
	}
}

func child(n *yaml.Node, key string) *yaml.Node {
	var out *yaml.Node
	each(n, func(k, v *yaml.Node) {
		if k.Value == key {
			out = v
		}
	})
	return out
}
