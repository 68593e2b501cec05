package facts

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMaskedMachines(t *testing.T) {
	masked := 0
	for _, dir := range machines(t) {
		f, _ := gatherCaptured(t, dir)
		g := f.Masked()
		for p, file := range g.Files {
			for _, s := range []string{"correct horse", "3f5e0f3bd1b4a1e7", "raspberry\""} {
				if strings.Contains(file.Text, s) {
					t.Errorf("%s: %q survives in %s", filepath.Base(dir), s, p)
				}
			}
			if file.Masked {
				masked++
				if file.Text == f.Files[p].Text || strings.Count(file.Text, "\n") != strings.Count(f.Files[p].Text, "\n") {
					t.Errorf("%s: %s says that it is masked:\n%s", filepath.Base(dir), p, file.Text)
				}
				continue
			}
			if file.Text != f.Files[p].Text {
				t.Errorf("%s: %s changed and does not say so", filepath.Base(dir), p)
			}
		}
	}
	// Home.nmconnection, preconfigured.nmconnection and the image's 90-NM-*.yaml; more
	// would mean that harmless files are blanked.
	if masked != 3 {
		t.Errorf("%d files are masked, want 3", masked)
	}
}
