package vagrant

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The script runs with the line ends of a checkout on Windows as it does with its own, under every sh that is here.
func TestScriptDoesNotMindLineEnds(t *testing.T) {
	if strings.Contains(Script, "\r") {
		t.Error("the script that is printed has carriage returns")
	}
	if runtime.GOOS == "windows" {
		t.Skip("skipped: there is no sh to run it")
	}
	ran := 0
	for _, sh := range [][]string{{"dash"}, {"bash"}, {"busybox", "sh"}, {"sh"}} {
		if _, err := exec.LookPath(sh[0]); err != nil {
			continue
		}
		for _, end := range []string{"\n", "\r\n"} {
			file := filepath.Join(t.TempDir(), "provision.sh")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(Script, "\n", end)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct {
				args []string
				want string
			}{
				{nil, "provision: give the folder with provision-linux-ARCH that was uploaded\n"},
				{[]string{filepath.Join(t.TempDir(), "none")}, "provision: "}, // not root, or nothing uploaded
			} {
				if _, err := os.Stat("/usr/local/bin/provision"); err == nil && tt.args != nil && os.Geteuid() == 0 {
					continue // it would be run
				}
				out, err := exec.Command(sh[0], append(append(sh[1:], file), tt.args...)...).CombinedOutput()
				if err == nil || !strings.HasPrefix(string(out), tt.want) || strings.Contains(string(out), "not found") || strings.Contains(string(out), "\r") {
					t.Errorf("%v with %q, %v: %v: %q", sh, end, tt.args, err, out)
				}
				ran++
			}
		}
	}
	if ran == 0 {
		t.Error("no sh ran it")
	}
}
