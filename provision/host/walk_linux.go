package host

import (
	"errors"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// locate opens the directory that holds the last component of name, and returns
// that component. With follow, the component is not a symlink at that moment,
// except under the live root, where the kernel itself may follow it.
func (r *Root) locate(name string, follow bool) (dir int, base string, err error) {
	switch {
	case !path.IsAbs(name):
		return -1, "", errors.New("not an absolute path")
	case strings.IndexByte(name, 0) >= 0:
		return -1, "", unix.EINVAL
	case len(name) >= unix.PathMax:
		return -1, "", unix.ENAMETOOLONG
	}
	if r.live {
		parent, base := path.Split(strings.TrimRight(name, "/"))
		switch {
		case base == "":
			parent, base = "/", "."
		case base == "..": // split by the kernel only
			parent, base = name, "."
		}
		dir, err = openAt(unix.AT_FDCWD, parent, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return dir, base, err
	}
	w := walk{dirs: []int{r.fd}}
	defer w.close()
	if base, err = w.run(name, follow); err != nil {
		return -1, "", err
	}
	// A descriptor of its own, since the walk closes those it opened.
	dir, err = openAt(w.top(), ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return dir, base, err
}

// at is locate for one system call: under the live root that can take the whole name, and no directory is opened.
func (r *Root) at(name string, follow bool) (dir int, base string, done func(), err error) {
	if base = strings.TrimRight(name, "/"); r.live && base != "" && path.IsAbs(name) {
		return unix.AT_FDCWD, base, func() {}, nil
	}
	dir, base, err = r.locate(name, follow)
	return dir, base, func() { unix.Close(dir) }, err
}

const (
	maxSymlinks = 40  // as the kernel, include/linux/namei.h MAXSYMLINKS
	maxDepth    = 128 // open descriptors of one walk
)

// walk resolves a path by hand. dirs[0] is the root and is not closed.
type walk struct {
	dirs  []int
	links int
}

func (w *walk) top() int { return w.dirs[len(w.dirs)-1] }

func (w *walk) pop() {
	if len(w.dirs) > 1 {
		unix.Close(w.top())
		w.dirs = w.dirs[:len(w.dirs)-1]
	}
}

func (w *walk) close() {
	for len(w.dirs) > 1 {
		w.pop()
	}
}

func (w *walk) run(name string, follow bool) (base string, err error) {
	rest := split(name)
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == ".." {
			w.pop()
			continue
		}
		last := len(rest) == 0
		if last && !follow {
			return part, nil
		}
		target, err := readlinkAt(w.top(), part)
		switch {
		case err == nil:
			if w.links++; w.links > maxSymlinks {
				return "", unix.ELOOP
			}
			if path.IsAbs(target) {
				w.close()
			}
			rest = append(split(target), rest...)
			continue
		case last: // not a symlink, or not there: what is done with it will tell
			return part, nil
		case !errors.Is(err, unix.EINVAL):
			return "", err
		}
		if len(w.dirs) >= maxDepth {
			return "", unix.ENAMETOOLONG
		}
		fd, err := openAt(w.top(), part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", err
		}
		w.dirs = append(w.dirs, fd)
	}
	return ".", nil
}

func split(name string) []string {
	parts := strings.Split(name, "/")
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" || p == "." })
}
