package host

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A process that is killed while it replaces a file leaves the old one or the new
// one, and at most the temporary name, which the next write takes away.
func TestWriteKilled(t *testing.T) {
	old, next := bytes.Repeat([]byte("old\n"), 5000), bytes.Repeat([]byte("next\n"), 9000)
	if dir := os.Getenv("PROVISION_HOST_KILL"); dir != "" {
		r := open(t, dir)
		r.named = strings.HasSuffix(dir, "named")
		os.Stdout.WriteString("ready\n")
		for i := 0; ; i++ {
			_, v := mustLoad(t, r, "/a")
			must(t, r.Write("/a", plain(string([][]byte{old, next}[i%2]), 0o600), v))
		}
	}
	for _, way := range []string{"nameless", "named"} {
		t.Run(way, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), way)
			must(t, os.Mkdir(dir, 0o755))
			seen := map[string]int{}
			for range 25 {
				cmd := exec.Command(os.Args[0], "-test.run=^TestWriteKilled$", "-test.timeout=30s")
				cmd.Env = append(os.Environ(), "PROVISION_HOST_KILL="+dir)
				out, err := cmd.StdoutPipe()
				must(t, err)
				must(t, cmd.Start())
				_, err = bufio.NewReader(out).ReadString('\n')
				must(t, err)
				// Any moment will do; the writer goes round in less than a millisecond.
				for end := time.Now().Add(time.Duration(rand.IntN(2000)) * time.Microsecond); time.Now().Before(end); {
					continue
				}
				must(t, cmd.Process.Kill())
				_ = cmd.Wait()
				data, err := os.ReadFile(filepath.Join(dir, "a"))
				switch {
				case os.IsNotExist(err):
					seen["nothing"]++
				case bytes.Equal(data, old):
					seen["old"]++
				case bytes.Equal(data, next):
					seen["next"]++
				default:
					t.Fatalf("%d bytes that are neither: %v", len(data), err)
				}
				if got := names(t, dir); got != "" && got != "a" {
					if got != tempName("a") && got != tempName("a")+" a" {
						t.Fatalf("left behind: %s", got)
					}
					seen["temporary name"]++
				}
			}
			r := open(t, dir)
			r.named = way == "named"
			_, v := mustLoad(t, r, "/a")
			must(t, r.Write("/a", plain("last", 0o600), v))
			if got := names(t, dir); got != "a" {
				t.Errorf("left behind after the next write: %s", got)
			}
			t.Logf("found after a kill: %v", seen)
		})
	}
}
