package netplan

import (
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/provision/facts"
)

// delta is the text of our YAML file, built id by id.
type delta struct {
	types map[string]map[string]*yaml.Node
}

func (d *delta) empty() bool { return len(d.types) == 0 }

// id returns the mapping of one definition, made on first use.
func (d *delta) id(typ, name string) *yaml.Node {
	if d.types == nil {
		d.types = map[string]map[string]*yaml.Node{}
	}
	if d.types[typ] == nil {
		d.types[typ] = map[string]*yaml.Node{}
	}
	n := d.types[typ][name]
	if n == nil {
		n = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		d.types[typ][name] = n
	}
	return n
}

// text renders the file: sorted, block style, the marker on top.
func (d *delta) text() (string, error) {
	network := mapping("version", number(2))
	for _, typ := range sorted(d.types) {
		ids := mapping()
		for _, name := range sorted(d.types[typ]) {
			set(ids, name, d.types[typ][name])
		}
		set(network, typ, ids)
	}
	var b strings.Builder
	b.WriteString(facts.Marker + "\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(mapping("network", network)); err != nil {
		return "", err
	}
	return b.String(), enc.Close()
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i+1 < len(pairs); i += 2 {
		set(n, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return n
}

// set assigns key, replacing an earlier value.
func set(n *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, str(key), value)
}

// str is a string; what YAML 1.1 would read as something else gets quotes.
func str(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	n.Style = 0
	if needsQuotes(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// needsQuotes keeps plain only what can be nothing but a word.
func needsQuotes(s string) bool {
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return true
	}
	if c := s[0]; c < 'A' || c > 'z' || c == '_' {
		return true
	}
	switch strings.ToLower(s) {
	case "y", "yes", "n", "no", "on", "off", "true", "false", "null":
		return true
	}
	return false
}

func boolean(b bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}
	if b {
		n.Value = "true"
	}
	return n
}

//go:noinline
func number(m uint32) *yaml.Node {
	n := &yaml.Node{}
	_ = n.Encode(m) // a number always encodes
	return n
}

// overrides writes the metric for both families: systemd-networkd's renderer refuses
// a tree in which they differ while dhcp4 and dhcp6 are on, now or later.
func overrides(n *yaml.Node, metric4, metric6 uint32) {
	merge(n, "dhcp4-overrides", "route-metric", number(metric4))
	merge(n, "dhcp6-overrides", "route-metric", number(metric6))
}

func merge(n *yaml.Node, outer, inner string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == outer && n.Content[i+1].Kind == yaml.MappingNode {
			set(n.Content[i+1], inner, value)
			return
		}
	}
	set(n, outer, mapping(inner, value))
}

// copyOf writes a merged value out again.
func copyOf(v *netdef.Value) *yaml.Node {
	switch v.Kind {
	case netdef.Mapping:
		n := mapping()
		for _, key := range v.Keys {
			set(n, key, copyOf(v.Items[key]))
		}
		return n
	case netdef.Sequence:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range v.List {
			n.Content = append(n.Content, copyOf(item))
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: v.Tag, Value: v.Text}
	if v.Quoted || strings.ContainsAny(v.Text, ":\n") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// match fits exactly l: by address for hardware, else by name.
func match(l facts.Link) *yaml.Node {
	if strings.HasPrefix(l.Selector(), "mac:") {
		mac := str(strings.ToLower(l.PermMAC))
		mac.Style = yaml.DoubleQuotedStyle
		return mapping("macaddress", mac)
	}
	return mapping("name", str(l.Name))
}

// fileName is the name of our file: it has to be read after every other one, or a
// scalar of ours would be overridden and two overrides might come to differ, which
// makes netplan refuse everything.
func fileName(t *netdef.Tree) string {
	last := ""
	for _, p := range t.Files {
		last = max(last, path.Base(p))
	}
	for _, name := range []string{"90-provision.yaml", "99-provision.yaml", "zz-provision.yaml"} {
		if name > last {
			return name
		}
	}
	return strings.TrimSuffix(last, ".yaml") + "~provision.yaml" // "~" sorts after "."
}

// idBefore is a free name for a definition that systemd-networkd takes before d's.
func idBefore(t *netdef.Tree, d *netdef.ID, ifname string) (string, bool) {
	for _, prefix := range []string{"a-provision-", "0-provision-", "+provision-"} {
		name := prefix + networkd.FileName(ifname)
		if netdef.NetworkFile(name) < netdef.NetworkFile(d.Name) && t.Find(name) == nil {
			return name, true
		}
	}
	return "", false
}

// freeID is the name of a definition for a NIC that had none.
func freeID(t *netdef.Tree, ifname string) string {
	name := networkd.FileName(ifname)
	if name == "renderer" { // means something else there
		name = "provision-" + name
	}
	for t.Find(name) != nil {
		name = "provision-" + name
	}
	return name
}
