package enginetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type mutation struct{ name, file, old, new string }

// mutations break the engine on purpose. Each replaces one piece of its source; the
// suite has to notice.
var mutations = []mutation{
	{"the snapshot has no values", "begin.go",
		"Value: wireAttrs(have[it.ref]), Delete", "Value: nil, Delete"},
	{"the snapshot is not synced", "store.go",
		"if err := s.files.Sync(tmp); err != nil {", "if err := error(nil); err != nil {"},
	{"the names are not synced before the first effect", "journal.go",
		"if err := s.replaceBytes(name, data); err != nil {\n\t\treturn nil, err\n\t}\n\tif err := s.syncDir(); err != nil {",
		"if err := s.replaceBytes(name, data); err != nil {\n\t\treturn nil, err\n\t}\n\tif err := error(nil); err != nil {"},
	{"triggers are not journalled", "walk.go",
		"return w.note(record{Dirty: owed}, true)", "return nil"},
	{"triggers run in one direction only", "back.go",
		"w := e.newWalk(backItems(j.snap), fromWireHolds(j.snap.Holds), fromWireTriggers(j.snap.Triggers), &sub)",
		"w := e.newWalk(backItems(j.snap), fromWireHolds(j.snap.Holds), nil, &sub)"},
	{"a trigger runs after the first change", "order.go",
		"if w.touches(o, t, touching) {\n\t\t\t\tat = n", "if w.touches(o, t, touching) && at < 0 {\n\t\t\t\tat = n"},
	{"creation in the wrong order", "read.go",
		"for _, s := range steps {\n\t\tif s.want != nil {\n\t\t\tout = append(out, s)",
		"for i := range steps {\n\t\tif s := steps[len(steps)-1-i]; s.want != nil {\n\t\t\tout = append(out, s)"},
	{"one pass is enough", "walk.go",
		"if !waits {\n\t\t\t\tcontinue", "if !waits {\n\t\t\t\treturn nil"},
	{"nothing is held", "pass.go",
		"err = p.hold(ctx, w.holds[o.i])", "err = nil"},
	{"a run is not marked", "journal.go",
		"if err := s.mark(); err != nil {", "if err := error(nil); err != nil {"},
	{"a rollback is not marked", "back.go",
		"if err := e.Store.mark(); err != nil {", "if err := error(nil); err != nil {"},
	{"an interrupted run counts as committed", "store.go",
		"case prefix == rollingPrefix || num > seq:", "case prefix == rollingPrefix || num > seq+1:"},
	{"first-seen values are seen again", "goal.go",
		"r, ok := last[w.Ref]\n\t\tnow := have[w.Ref]\n\t\tif !ok {", "r, ok := last[w.Ref]\n\t\tnow := have[w.Ref]\n\t\tif true || !ok {"},
	{"what is removed by a failed run comes back bare", "back.go",
		"case en.Delete:\n\t\t\tit.want = value", "case en.Delete:\n\t\t\tit.want = Attrs{}"},
	{"pruning is forgotten", "goal.go",
		"g.items = weave(items, pruned, l)", "g.items = items"},
}

// TestMutations breaks the engine on purpose and runs the suite on each broken one.
func TestMutations(t *testing.T) {
	list := mutations
	if os.Getenv("PROVISION_SOAK") == "" {
		list = []mutation{mutations[0], mutations[3], mutations[7]}
		t.Logf("%d of %d mutations; PROVISION_SOAK=pairs tries all", len(list), len(mutations))
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command to build broken engines: ", err)
	}
	for _, m := range list {
		t.Run(strings.ReplaceAll(m.name, " ", "-"), func(t *testing.T) {
			file, err := filepath.Abs(filepath.Join("..", m.file))
			if err != nil {
				t.Fatal(err)
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Skip("needs the source of the engine: ", err)
			}
			if n := bytes.Count(src, []byte(m.old)); n != 1 {
				t.Fatalf("%s has the piece to be broken %d times", m.file, n)
			}
			dir := t.TempDir()
			broken := filepath.Join(dir, m.file)
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: broken}})
			if err != nil {
				t.Fatal(err)
			}
			for name, b := range map[string][]byte{broken: bytes.Replace(src, []byte(m.old), []byte(m.new), 1), filepath.Join(dir, "overlay"): overlay} {
				if err := os.WriteFile(name, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			bin := filepath.Join(dir, "suite")
			if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", filepath.Join(dir, "overlay"), "-o", bin, ".").CombinedOutput(); err != nil {
				t.Fatalf("the broken engine does not build: %v\n%s", err, out)
			}
			cmd := exec.CommandContext(ctx, bin, "-test.run=^(TestSoak|TestPowerCut)$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), "PROVISION_SOAK=200")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the suite does not notice:\n%s", out)
			}
			if !bytes.Contains(out, []byte("--- FAIL")) {
				t.Fatalf("the suite did not judge: %v\n%s", err, out)
			}
		})
	}
}
