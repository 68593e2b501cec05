package bed

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed byhand.sh
var byHand string

// ByHandFile writes the script by which people make a gadget by hand and returns its name.
func ByHandFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "byhand.sh")
	if err := os.WriteFile(file, []byte(byHand), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// ByHand makes a gadget of those functions by the script, and takes it away when the test ends.
func ByHand(t testing.TB, functions ...string) {
	t.Helper()
	file := ByHandFile(t)
	t.Cleanup(func() { // also of what could be made only in part
		if out, err := exec.Command(file, "down").CombinedOutput(); err != nil {
			t.Errorf("byhand.sh down: %v\n%s", err, out)
		}
	})
	if out, err := exec.Command(file, append([]string{"up"}, functions...)...).CombinedOutput(); err != nil {
		t.Fatalf("byhand.sh up %s: %v\n%s", strings.Join(functions, " "), err, out)
	}
}
