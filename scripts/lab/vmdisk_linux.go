package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ReadFile reads a file of the running virtual machine.
func (v *VM) ReadFile(path string) (string, error) {
	out, msg, exit := v.Run(context.Background(), "cat", path)
	if exit != 0 {
		return "", errors.New(strings.TrimSpace(msg))
	}
	return out, nil
}

// WriteFile writes a file of the running virtual machine, and makes the directories above it.
func (v *VM) WriteFile(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	f, err := os.CreateTemp(v.share, "in-")
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	v.MustRun(t, "install", "-D", "-m", fmt.Sprintf("%o", mode.Perm()), "/run/lab/"+filepath.Base(f.Name()), path)
}

// TreeDigest reads everything below dir as the virtual machine sees it, like Machine.TreeDigest; it knows nothing of extended attributes.
func (v *VM) TreeDigest(t testing.TB, dir string) Tree {
	t.Helper()
	fields := func(script string) []string {
		return strings.Split(strings.TrimSuffix(v.MustRun(t, "sh", "-c", script, dir), "\x00"), "\x00")
	}
	sums := map[string]string{}
	for _, line := range fields(`find "$0" -ignore_readdir_race -type f -print0 | xargs -0r sha256sum -z || :`) { // as there: what goes away is not there
		if sum, path, ok := strings.Cut(line, "  "); ok {
			sums[path] = sum
		}
	}
	tree := Tree{}
	nodes := fields(`find "$0" -ignore_readdir_race -printf '%y %m %U %G %s\0%l\0%p\0'`)
	for ; len(nodes) >= 3; nodes = nodes[3:] {
		e, path, kind, size := Entry{Target: nodes[1]}, nodes[2], "", int64(0)
		// The set-id bits stay where chmod(2) has them: entries are compared with their like only.
		if _, err := fmt.Sscanf(nodes[0], "%s %o %d %d %d", &kind, &e.Mode, &e.UID, &e.GID, &size); err != nil {
			t.Fatalf("lab: cannot read what %s of the virtual machine is: %q: %v", path, nodes[0], err)
		}
		switch kind {
		case "f":
			if e.Size, e.Sum = size, sums[path]; e.Sum == "" && len(sums) > 0 {
				continue
			}
		case "d":
			e.Mode |= fs.ModeDir
		case "l":
			e.Mode |= fs.ModeSymlink
		default:
			e.Mode |= fs.ModeIrregular
		}
		if e.Mode.IsRegular() && e.Sum == "" {
			t.Fatalf("lab: the virtual machine cannot sum up %s", path)
		}
		tree[path] = e
	}
	if len(tree) == 0 || len(nodes) > 0 {
		t.Fatalf("lab: cannot read %s of the virtual machine: %d entries, and %q", dir, len(tree), nodes)
	}
	return tree
}
