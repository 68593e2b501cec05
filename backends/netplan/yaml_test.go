package netplan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func treeOf(files ...string) *facts.Facts {
	f := &facts.Facts{Files: map[string]facts.File{}}
	for i := 0; i+1 < len(files); i += 2 {
		f.Files[files[i]] = facts.File{Mode: 0o600, Text: files[i+1]}
	}
	return f
}

func TestReadTree(t *testing.T) {
	f := treeOf(
		"/lib/netplan/00-a.yaml", "network: {version: 2, renderer: NetworkManager}\n",
		"/usr/lib/netplan/00-a.yaml", "network: {version: 2, renderer: NetworkManager}\n",
		"/etc/netplan/50-b.yaml", "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: false\n      addresses: [10.0.0.1/24]\n",
		"/run/netplan/50-b.yaml", "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: false\n      addresses: [10.0.0.2/24]\n      match: {driver: [a, b]}\n",
		"/etc/netplan/60-c.yaml", "network:\n  ethernets:\n    renderer: networkd\n    eth0:\n      dhcp4: yes\n      addresses: [10.0.0.3/24]\n      match: {name: \"e*\", driver: c}\n    eth1: {dhcp6: on}\n    eth2: {}\n",
		"/etc/netplan/70-d.yml", "network: {ethernets: {eth9: {}}}\n",
		"/etc/netplan/90-provision.yaml", facts.Marker+"\nnetwork: {ethernets: {eth0: {dhcp4-overrides: {route-metric: 7}}}}\n",
	)
	tree := ReadTree(f, true)
	if len(tree.Errors) > 0 {
		t.Fatal(tree.Errors)
	}
	if got, want := fmt.Sprint(tree.Files), "[/lib/netplan/00-a.yaml /run/netplan/50-b.yaml /etc/netplan/60-c.yaml]"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	if tree.Shadowed["/etc/netplan/50-b.yaml"] != "/run/netplan/50-b.yaml" || len(tree.Shadowed) != 1 {
		t.Errorf("shadowed %v", tree.Shadowed)
	}
	eth0 := tree.Find("eth0")
	if eth0 == nil || eth0.Renderer != RendererNM || eth0.Pos.Source() != "/run/netplan/50-b.yaml:4" {
		t.Fatalf("eth0: %+v", eth0)
	}
	dhcp4 := eth0.Def.Get("dhcp4")
	if v, ok := dhcp4.Bool(); !v || !ok || dhcp4.Pos.String() != "/etc/netplan/60-c.yaml:5:14" || len(dhcp4.Overridden) != 1 || dhcp4.Overridden[0].Pos.Line != 5 {
		t.Errorf("dhcp4: %+v", dhcp4)
	}
	if got := len(eth0.Def.Get("addresses").List); got != 2 {
		t.Errorf("%d addresses: sequences append", got)
	}
	if got := fmt.Sprint(eth0.Def.Get("match").drivers()); got != "[c]" {
		t.Errorf("drivers %s: a later one takes the place of an earlier list", got)
	}
	if eth1 := tree.Find("eth1"); eth1.Renderer != RendererNetworkd || eth1.RendererPos.Line != 3 {
		t.Errorf("eth1: %+v", eth1)
	}
	if tree.Find("eth9") != nil || tree.Find("eth2") == nil {
		t.Error("wrong ids")
	}
	full := ReadTree(f, false)
	if m, ok := full.Find("eth0").Def.Get("dhcp4-overrides", "route-metric").Uint(); !ok || m != 7 {
		t.Error("our own file is not read")
	}
	if got := tree.fileName(); got != "90-provision.yaml" {
		t.Errorf("file name %s", got)
	}
	for last, want := range map[string]string{"90-NM-1.yaml": "90-provision.yaml", "95-x.yaml": "99-provision.yaml", "99-x.yaml": "zz-provision.yaml", "zzz.yaml": "zzz~provision.yaml"} {
		got := (&Tree{Files: []string{"/etc/netplan/10-a.yaml", "/etc/netplan/" + last}}).fileName()
		if got != want || got <= last {
			t.Errorf("file name after %s: %s, want %s", last, got, want)
		}
	}
}

// bomb doubles itself n times.
func bomb(n int) string {
	var b strings.Builder
	b.WriteString("network:\n  ethernets:\n    x0: &a0 {a: b}\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "    x%d: &a%d {l: [*a%d, *a%d]}\n", i, i, i-1, i-1)
	}
	return b.String()
}

func TestHostileYAML(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"bomb":         {bomb(30), "too many values"},
		"itself":       {"network:\n  ethernets:\n    x: &a {y: *a}\n", "nested more than"},
		"deep":         {strings.Repeat("{a: ", 200) + "b" + strings.Repeat("}", 200), ""},
		"deep network": {"network: {ethernets: {x: " + strings.Repeat("{a: ", 200) + "b" + strings.Repeat("}", 200) + "}}", "nested more than 32 deep"},
		"tab":          {"network:\n\tversion: 2\n", "/etc/netplan/x.yaml:2: cannot parse YAML"},
		"nul":          {"network:\x00", "/etc/netplan/x.yaml: cannot parse YAML: control characters are not allowed"},
		"list":         {"- a\n", "/etc/netplan/x.yaml:1:1: expected mapping (document)"},
		"scalar id":    {"network:\n  ethernets:\n    eth0: 5\n", "/etc/netplan/x.yaml:3:11: expected mapping (definition of \"eth0\")"},
		"two types":    {"network:\n  ethernets: {a: {}}\n  bridges: {a: {}}\n", "/etc/netplan/x.yaml:3:13: updated definition \"a\" changes device type from ethernets at /etc/netplan/x.yaml:2:15"},
		"key":          {"network:\n  ethernets:\n    ? [a]\n    : {}\n", "expected scalar as key"},
		"duplicate":    {"network:\n  ethernets:\n    a: {dhcp4: true, dhcp4: false}\n", ""},
		"big":          {strings.Repeat("#", maxFile+1), "are more than"},
		"empty":        {"", ""},
		"comment":      {"# nothing\n", ""},
		"null":         {"network:\n", "/etc/netplan/x.yaml:1:9: expected mapping (network)"},
		"not utf-8":    {"network: \xff\xfe\n", "cannot parse YAML"},
		"open alias":   {"network: *x\n", "unknown anchor"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := ReadTree(treeOf("/etc/netplan/x.yaml", c.text), true)
			if c.want == "" {
				if len(tree.Errors) > 0 {
					t.Fatal(tree.Errors)
				}
				return
			}
			if len(tree.Errors) == 0 || !strings.Contains(tree.Errors[0].Error(), c.want) {
				t.Fatalf("errors %v, want %q", tree.Errors, c.want)
			}
		})
	}
}

func FuzzReadTree(f *testing.F) {
	f.Add("network: {ethernets: {eth0: {dhcp4: yes, match: {driver: [a]}}}}", "network: {ethernets: {eth0: {dhcp4-overrides: {route-metric: 5}}}}")
	f.Add(bomb(12), "network:\n  ethernets:\n    a: &x {b: *x}\n")
	f.Add("network:\n\tx", "a: b\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		facts1 := treeOf("/etc/netplan/a.yaml", a, "/run/netplan/b.yaml", b)
		facts1.Links = []facts.Link{{Index: 1, Name: "eth0", MAC: "02:00:00:00:00:01", PermMAC: "02:00:00:00:00:01", ARPHRD: 1}}
		tree := ReadTree(facts1, false)
		tree.For(facts1, facts1.Links[0])
		d := &delta{}
		for _, id := range tree.IDs {
			id.Settings()
			n := d.id(id.Type, id.Name)
			for _, key := range id.Def.Keys {
				set(n, key, copyOf(id.Def.Items[key]))
			}
		}
		if len(tree.Errors) > 0 || len(tree.IDs) == 0 {
			return
		}
		// What is written out again must say the same.
		text, err := d.text()
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		again := ReadTree(treeOf("/etc/netplan/a.yaml", "#\n"+text), true)
		if len(again.Errors) > 0 {
			t.Fatalf("cannot read what was written: %v\n%s", again.Errors, text)
		}
		for _, id := range tree.IDs {
			if id.Name == "renderer" {
				continue
			}
			other := again.Find(id.Name)
			if other == nil || show(other.Def) != show(id.Def) {
				t.Fatalf("%q came back different:\n%s\n%s", id.Name, show(id.Def), text)
			}
		}
	})
}

// show is a value without its places.
func show(v *Value) string {
	switch v.Kind {
	case Mapping:
		var b strings.Builder
		for _, k := range v.Keys {
			fmt.Fprintf(&b, "%q:%s,", k, show(v.Items[k]))
		}
		return "{" + b.String() + "}"
	case Sequence:
		var b strings.Builder
		for _, item := range v.List {
			b.WriteString(show(item) + ",")
		}
		return "[" + b.String() + "]"
	}
	return fmt.Sprintf("%q", v.Text)
}
