package netdef

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision/facts"
)

// Renderers.
const (
	RendererNetworkd = "networkd"
	RendererNM       = "NetworkManager"
)

// searchDirs by falling precedence; /usr/lib is /lib on merged-/usr systems.
func searchDirs() []string {
	return []string{"/run/netplan", EtcDir, "/lib/netplan", "/usr/lib/netplan"}
}

// EtcDir is where our file lies.
const EtcDir = "/etc/netplan"

// Reads reports whether netplan reads a file of that path.
func Reads(p string) bool {
	return path.Ext(p) == ".yaml" && slices.Contains(searchDirs(), path.Dir(p))
}

// ID is one device definition, merged over all files.
type ID struct {
	Name string
	Type string // ethernets, wifis, bridges ...
	Pos  Position
	// Files that say something about it, in reading order.
	Files []string
	// Renderer as it comes out: the id's own, that of its type in the file that first
	// names it, the global one, networkd.
	Renderer    string
	RendererPos Position // zero for the default
	Def         *Value   // a mapping
	// named: a file defines the id while no match is known. netplan then matches by
	// the id as name, also when a later file brings a match without a name.
	named bool
}

// Tree is what netplan is given.
type Tree struct {
	Files    []string          // in reading order
	Shadowed map[string]string // hidden file to the file that hides it
	Renderer *Value            // network.renderer, nil when not set
	IDs      []*ID             // in order of first appearance
	Errors   []error           // what netplan would refuse, as far as it is read here
	Ours     []string          // files that provision wrote
}

// ReadTree reads the YAML files of facts. With base set, files that provision wrote
// are left out: the tree as it would be without us.
func ReadTree(f *facts.Facts, base bool) *Tree {
	t := &Tree{Shadowed: map[string]string{}}
	byName := map[string]string{}
	for _, dir := range searchDirs() {
		for p, file := range f.Files {
			if path.Dir(p) != dir || !Reads(p) {
				continue
			}
			if file.Ours() {
				t.Ours = append(t.Ours, p)
				if base {
					continue
				}
			}
			name := path.Base(p)
			if winner := byName[name]; winner == "" {
				byName[name] = p
			} else if winner != strings.TrimPrefix(p, "/usr") {
				t.Shadowed[p] = winner
			}
		}
	}
	for _, p := range byName {
		t.Files = append(t.Files, p)
	}
	sort.Slice(t.Files, func(i, j int) bool { return path.Base(t.Files[i]) < path.Base(t.Files[j]) })
	slices.Sort(t.Ours)
	m := &merger{}
	types := map[*ID]*Value{}
	for _, p := range t.Files {
		if f.Files[p].Masked {
			m.errs = append(m.errs, fmt.Errorf("%s: cannot be planned with: its secrets were blanked for printing", p))
		}
		doc, err := decode(p, f.Files[p].Text)
		if err != nil {
			m.errs = append(m.errs, err)
			continue
		}
		if doc != nil {
			t.add(m, p, doc, types)
		}
	}
	t.resolve(types)
	t.Errors = m.errs
	return t
}

// add merges one file.
func (t *Tree) add(m *merger, file string, doc *yaml.Node, types map[*ID]*Value) {
	m.pairs(file, doc, "document", 0, func(key, network *yaml.Node) {
		if key.Value != "network" {
			return
		}
		m.pairs(file, network, "network", 1, func(key, value *yaml.Node) {
			switch {
			case key.Value == "renderer":
				t.Renderer = m.merge(file, t.Renderer, value, 2)
			case value.Kind == yaml.MappingNode && device(key.Value):
				var typed *Value // a renderer for the ids that follow in this mapping
				m.pairs(file, value, key.Value, 2, func(id, def *yaml.Node) {
					if id.Value == "renderer" {
						typed = m.merge(file, nil, def, 3)
						return
					}
					t.define(m, file, key.Value, id, def, typed, types)
				})
			}
		})
	})
}

// device reports whether a key of network: holds definitions by id.
func device(key string) bool {
	switch key {
	case "version", "renderer", "openvswitch":
		return false
	}
	return !strings.HasPrefix(key, "x-")
}

func (t *Tree) define(m *merger, file, typ string, id, def *yaml.Node, typed *Value, types map[*ID]*Value) {
	d := t.Find(id.Value)
	if d == nil {
		d = &ID{Name: id.Value, Type: typ, Pos: Position{file, id.Line, id.Column},
			Def: &Value{Kind: Mapping, Items: map[string]*Value{}, KeyPos: map[string]Position{}}}
		t.IDs = append(t.IDs, d)
		if typed != nil {
			types[d] = typed
		}
	}
	if d.Type != typ {
		m.fail(file, id, "updated definition %q changes device type from %s at %s", id.Value, d.Type, d.Pos)
		return
	}
	if def.Kind != yaml.MappingNode {
		m.fail(file, def, "expected mapping (definition of %q)", id.Value)
		return
	}
	if !slices.Contains(d.Files, file) {
		d.Files = append(d.Files, file)
	}
	forgetDriver(def, d.Def)
	d.Def = m.merge(file, d.Def, def, 3)
	d.named = d.named || d.Def.Get("match") == nil
}

// forgetDriver handles the one sequence that overrides: match.driver is a single
// string inside netplan, so a later list takes the place of an earlier one.
func forgetDriver(def *yaml.Node, old *Value) {
	match := old.Get("match")
	if match.Get("driver") == nil || def == nil || child(child(def, "match"), "driver") == nil {
		return
	}
	delete(match.Items, "driver")
	match.Keys = slices.DeleteFunc(match.Keys, func(k string) bool { return k == "driver" })
}

// child is the value of a key, one alias followed.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			continue
		}
		if v := n.Content[i+1]; v.Kind == yaml.AliasNode {
			return v.Alias
		} else {
			return v
		}
	}
	return nil
}

func (t *Tree) resolve(types map[*ID]*Value) {
	for _, d := range t.IDs {
		d.Renderer = RendererNetworkd
		for _, v := range []*Value{d.Def.Get("renderer"), types[d], t.Renderer} {
			if v.String() != "" {
				d.Renderer, d.RendererPos = v.String(), v.Pos
				break
			}
		}
	}
}

// Find returns the definition of that name.
func (t *Tree) Find(name string) *ID {
	for _, d := range t.IDs {
		if d.Name == name {
			return d
		}
	}
	return nil
}
