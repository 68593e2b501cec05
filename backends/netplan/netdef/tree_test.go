package netdef

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
	if got := fmt.Sprint(eth0.Def.Get("match").Drivers()); got != "[c]" {
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
	f.Fuzz(func(_ *testing.T, a, b string) {
		f := treeOf("/etc/netplan/a.yaml", a, "/run/netplan/b.yaml", b)
		f.Links = []facts.Link{{Index: 1, Name: "eth0", MAC: "02:00:00:00:00:01", PermMAC: "02:00:00:00:00:01", ARPHRD: 1}}
		tree := ReadTree(f, false)
		tree.For(f, f.Links[0])
		for _, id := range tree.IDs {
			id.Settings()
			tree.Users(id)
		}
	})
}
