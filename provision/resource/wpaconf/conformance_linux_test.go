package wpaconf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
)

func TestConformance(t *testing.T) {
	for thing, values := range map[string][]string{
		"network 41": {Body("A", []string{"key_mgmt=NONE"}), Body("A", []string{"key_mgmt=NONE", "priority=7"})},
		"country":    {"DE", "US"},
	} {
		t.Run(thing, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				dir := t.TempDir()
				if err := os.WriteFile(filepath.Join(dir, "w.conf"), []byte(theirs), 0o640); err != nil {
					t.Fatal(err)
				}
				root, err := host.OpenRoot(dir)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { root.Close() })
				c := enginetest.ResourceCase{Resource: &Resource{FS: root}, Name: "/w.conf " + thing}
				for _, v := range values {
					c.Values = append(c.Values, provision.Attrs{AttrText: v})
				}
				return c
			})
		})
	}
}
