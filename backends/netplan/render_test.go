package netplan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/provision/facts"
)

func treeOf(files ...string) *facts.Facts {
	f := &facts.Facts{Files: map[string]facts.File{}}
	for i := 0; i+1 < len(files); i += 2 {
		f.Files[files[i]] = facts.File{Mode: 0o600, Text: files[i+1]}
	}
	return f
}

func TestOurFileIsReadLast(t *testing.T) {
	for last, want := range map[string]string{"50-cloud-init.yaml": "90-provision.yaml", "90-NM-1.yaml": "90-provision.yaml", "95-x.yaml": "99-provision.yaml", "99-x.yaml": "zz-provision.yaml", "zzz.yaml": "zzz~provision.yaml"} {
		got := fileName(&netdef.Tree{Files: []string{"/etc/netplan/10-a.yaml", "/etc/netplan/" + last}})
		if got != want || got <= last {
			t.Errorf("file name after %s: %s, want %s", last, got, want)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("network: {ethernets: {eth0: {dhcp4: yes, match: {driver: [a]}}}}", "network: {ethernets: {eth0: {dhcp4-overrides: {route-metric: 5}}}}")
	f.Add("network:\n\tx", "a: b\x00")
	f.Fuzz(func(t *testing.T, a, b string) {
		tree := netdef.ReadTree(treeOf("/etc/netplan/a.yaml", a, "/run/netplan/b.yaml", b), false)
		d := &delta{}
		for _, id := range tree.IDs {
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
		again := netdef.ReadTree(treeOf("/etc/netplan/a.yaml", "#\n"+text), true)
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
func show(v *netdef.Value) string {
	switch v.Kind {
	case netdef.Mapping:
		var b strings.Builder
		for _, k := range v.Keys {
			fmt.Fprintf(&b, "%q:%s,", k, show(v.Items[k]))
		}
		return "{" + b.String() + "}"
	case netdef.Sequence:
		var b strings.Builder
		for _, item := range v.List {
			b.WriteString(show(item) + ",")
		}
		return "[" + b.String() + "]"
	}
	return fmt.Sprintf("%q", v.Text)
}
