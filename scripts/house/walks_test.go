package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/walk"
)

// Each page of the guide that asks for commands is walked by a test, which the table of scripts/walk names: a page cannot be added
// that nobody has followed. The test reads the page, so its package's tests have the page's name in them.
func TestPagesAreWalked(t *testing.T) {
	sources := testSources(t)
	walker := map[string]string{}
	for _, w := range walk.Walkers() {
		if walker[w.Page] != "" {
			t.Errorf("%s is in the table twice", w.Page)
		}
		walker[w.Page] = w.Test
		named, reads := false, false
		for _, s := range sources {
			if strings.Contains(s, "\nfunc "+w.Test+"(") {
				named, reads = true, reads || strings.Contains(s, w.Page+`"`)
			}
		}
		if !named || !reads {
			t.Errorf("%s: a test %s is there: %v; it reads the page: %v", w.Page, w.Test, named, reads)
		}
	}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	for _, f := range append(files, "../../README.md") {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		page, err := filepath.Rel("../../docs", f)
		if err != nil {
			t.Fatal(err)
		}
		commands := append(walk.Commands(walk.Steps(string(text))), walk.Loose(string(text))...)
		switch {
		case len(commands) > 0 && walker[page] == "":
			t.Errorf("docs/%s asks for %d commands, %q first, and no test follows it: put it into scripts/lab/walks, or write one, and name it in scripts/walk", page, len(commands), commands[0])
		case len(commands) == 0 && walker[page] != "":
			t.Errorf("docs/%s has no command, and the table says that %s follows it", page, walker[page])
		}
		delete(walker, page)
	}
	for page := range walker {
		t.Errorf("the table has a page docs/%s, which is not there", page)
	}
}

// testSources are the tests of each package, by its folder.
func testSources(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		out[filepath.Dir(path)] += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
