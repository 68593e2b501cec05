// Package blockuse says what a path is that is to be lent out as a disk, and whether this machine
// uses it itself: mounted, swapped to, behind a loop device, part of a RAID or a mapped device. Two
// systems that use one disk destroy what is on it.
package blockuse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Kinds of paths.
const (
	File      = "file"
	Block     = "block"
	Directory = "directory"
	Other     = "device or socket"
)

// Info is what a path is.
type Info struct {
	// Path is where it really is, without symlinks.
	Path string
	Kind string // "" when nothing is there
	Use  string // "mounted at /boot/firmware"; empty: nothing is known that uses it
}

// Look looks at path below root, which is "" for the running machine. What cannot be found out is an
// error: then it must not be lent out.
func Look(root, name string) (Info, error) {
	real, err := filepath.EvalSymlinks(filepath.Join(root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, fmt.Errorf("cannot look at %s: %w", name, err)
	}
	st, err := os.Stat(real)
	if err != nil {
		return Info{}, fmt.Errorf("cannot look at %s: %w", name, err)
	}
	out := Info{Path: "/" + strings.TrimPrefix(strings.TrimPrefix(real, filepath.Clean(root)), "/")}
	l := looker{root: root}
	switch mode := st.Mode(); {
	case mode.IsRegular():
		out.Kind = File
		out.Use, err = l.file(out.Path)
	case mode.IsDir():
		out.Kind = Directory
	case mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0:
		out.Kind = Block
		out.Use, err = l.block(number(st))
	default:
		out.Kind = Other
	}
	if err != nil {
		return Info{}, fmt.Errorf("cannot find out what uses %s: %w", name, err)
	}
	return out, nil
}

type looker struct{ root string }

func (l looker) read(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(l.root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// file: loop devices name what is behind them (Documentation/ABI/testing/sysfs-block-loop), and
// /proc/swaps the files that are swapped to.
func (l looker) file(name string) (string, error) {
	if use, err := l.swap(name); use != "" || err != nil {
		return use, err
	}
	loops, err := filepath.Glob(filepath.Join(l.root, "/sys/block/loop*/loop/backing_file"))
	if err != nil {
		return "", err
	}
	for _, f := range loops {
		rel := strings.TrimPrefix(f, filepath.Clean(l.root))
		back, err := l.read(rel)
		if err != nil {
			return "", err
		}
		if strings.TrimSuffix(back, "\n") == name {
			dir := path.Dir(path.Dir(rel))
			use := "behind /dev/" + path.Base(dir)
			dev, err := l.read(dir + "/dev")
			if err != nil {
				return "", err
			}
			if more, err := l.block(strings.TrimSpace(dev)); err == nil && more != "" {
				use += ", " + more
			}
			return use, nil
		}
	}
	return "", nil
}

// swap reads /proc/swaps, whose first column is a path with blanks as \040.
func (l looker) swap(name string) (string, error) {
	text, err := l.read("/proc/swaps")
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) > 0 && unescape(w[0]) == name {
			return "swapped to", err
		}
	}
	return "", err
}

// block looks at a device, at what it is part of, and at its parts, by their numbers "179:1".
func (l looker) block(dev string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(l.root, "/sys/dev/block", dev))
	if err != nil {
		return "", err
	}
	type device struct{ dir, dev string }
	all := []device{{dir, dev}}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		if n, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "dev")); err == nil {
			all = append(all, device{filepath.Dir(dir), strings.TrimSpace(string(n))})
		}
	} else {
		parts, err := filepath.Glob(filepath.Join(dir, "*/partition"))
		if err != nil {
			return "", err
		}
		for _, p := range parts {
			n, err := os.ReadFile(filepath.Join(filepath.Dir(p), "dev"))
			if err != nil {
				return "", err
			}
			all = append(all, device{filepath.Dir(p), strings.TrimSpace(string(n))})
		}
	}
	mounts, err := l.read("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for i, d := range all {
		whose := ""
		if i > 0 {
			whose = " (" + filepath.Base(d.dir) + ")"
		}
		if at := mountedAt(mounts, d.dev, "/dev/"+filepath.Base(d.dir)); at != "" {
			return "mounted at " + at + whose, nil
		}
		if use, err := l.swap("/dev/" + filepath.Base(d.dir)); use != "" || err != nil {
			return use + whose, err
		}
		holders, err := os.ReadDir(filepath.Join(d.dir, "holders"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if len(holders) > 0 {
			return "part of /dev/" + holders[0].Name() + whose, nil
		}
	}
	return "", nil
}

// mountedAt finds a device in mountinfo (proc(5)): by its number, and by its name, because a file
// system of several devices (btrfs) has a number of its own.
func mountedAt(mountinfo, dev, name string) string {
	for line := range strings.Lines(mountinfo) {
		w := strings.Fields(line)
		if len(w) < 5 {
			continue
		}
		source := ""
		if i := slices.Index(w, "-"); i > 0 && i+2 < len(w) {
			source = unescape(w[i+2])
		}
		if w[2] == dev || source == name {
			return unescape(w[4])
		}
	}
	return ""
}

// unescape undoes the octal numbers that proc(5) writes for blanks and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
