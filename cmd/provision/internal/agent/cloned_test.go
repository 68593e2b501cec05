package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// State that came with a disk is told from one's own, and only there.
func TestCloned(t *testing.T) {
	for _, tt := range []struct {
		name, root, recorded, id string
		want                     bool
	}{
		{"the same machine", "/", "0123abcd\n", "0123abcd", false},
		{"another machine", "/", "0123abcd\n", "4567abcd", true},
		{"nothing recorded", "/", "", "4567abcd", false},
		{"a machine without id", "/", "0123abcd\n", "", false},
		{"an image is nobody's yet", "/mnt", "0123abcd\n", "4567abcd", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.recorded != "" {
				if err := os.WriteFile(filepath.Join(dir, machineFile), []byte(tt.recorded), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a, err := New(Options{Root: tt.root, StateDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			why := a.cloned(tt.id)
			if (why != "") != tt.want {
				t.Errorf("%q", why)
			}
			if tt.want && (!strings.Contains(why, "provision generalize") || !strings.Contains(why, dir)) {
				t.Errorf("neither the cure nor the folder is named: %s", why)
			}
		})
	}
}
