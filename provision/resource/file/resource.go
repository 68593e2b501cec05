package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// DefaultMaxSize bounds the files that are read and kept in snapshots.
const DefaultMaxSize = 16 << 20

// Resource is the state of files, directories and symlinks below a root.
type Resource struct {
	FS host.FS
	// Secret makes content secret, and new files 0600: kind "secret-file".
	Secret bool
	// Mark is what every file that this program writes as a whole begins with; empty
	// recognises none.
	Mark string
	// MaxSize is the largest file in bytes, 0 means DefaultMaxSize.
	MaxSize int64
}

var (
	_ provision.Resource   = (*Resource)(nil)
	_ provision.Classifier = (*Resource)(nil)
	_ provision.Author     = (*Resource)(nil)
)

// Wrote implements provision.Author.
func (r *Resource) Wrote(have provision.Attrs) bool {
	return r.Mark != "" && have[AttrType] == TypeFile && strings.HasPrefix(have[AttrContent], r.Mark)
}

// Class implements provision.Classifier.
func (r *Resource) Class(attr string) provision.Class {
	switch {
	case attr == AttrSeed:
		return provision.Initial
	case attr == AttrContent && r.Secret:
		return provision.Secret
	}
	return provision.Exact
}

// Get implements provision.Resource. A device, a socket or a named pipe is an
// error, never absent: nothing may be put in its place.
func (r *Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, _, err := r.load(name)
	if err != nil || f == nil {
		return nil, err
	}
	return attrs(f), nil
}

// Set implements provision.Resource. The last component of name is never followed.
// Missing parent directories are not made. A directory that is not empty is not
// removed: the error wraps syscall.ENOTEMPTY and provision.ErrPending.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now, version, err := r.load(name)
	if err != nil {
		return err
	}
	if attr, stale := differ(now, have, want); stale {
		return fmt.Errorf("%s: %s: %w", name, attr, provision.ErrStale)
	}
	if want == nil {
		if now == nil {
			return nil
		}
		err := r.FS.Remove(name, version)
		if errors.Is(err, syscall.ENOTEMPTY) {
			// It is theirs now who put something there: nobody waits for them.
			return fmt.Errorf("%w: %w", err, provision.ErrPending)
		}
		return advise(name, err)
	}
	f, err := r.merge(now, want)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return advise(name, r.FS.Write(name, f, version))
}

// load returns nil where nothing exists.
func (r *Resource) load(name string) (*host.File, host.Version, error) {
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" || strings.IndexByte(name, 0) >= 0 {
		return nil, host.Version{}, fmt.Errorf("cannot use %q as the name of a file: want a clean absolute path", name)
	}
	limit := r.MaxSize
	if limit == 0 {
		limit = DefaultMaxSize
	}
	f, version, err := r.FS.Load(name, limit)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil, host.Version{}, nil
	case err != nil:
		return nil, host.Version{}, err
	}
	return &f, version, nil
}

func typeOf(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeDir:
		return TypeDir
	case fs.ModeSymlink:
		return TypeSymlink
	}
	return TypeFile
}

func attrs(f *host.File) provision.Attrs {
	a := provision.Attrs{AttrType: typeOf(f.Mode), AttrUID: strconv.Itoa(f.UID), AttrGID: strconv.Itoa(f.GID)}
	switch a[AttrType] {
	case TypeFile:
		a[AttrContent], a[AttrMode] = string(f.Data), FormatMode(f.Mode)
	case TypeDir:
		a[AttrMode] = FormatMode(f.Mode)
	case TypeSymlink:
		a[AttrTarget] = f.Target
	}
	for name, value := range f.Xattrs {
		a[XattrPrefix+name] = value
	}
	return a
}

// differ reports the first attribute, among those that matter for want, in which
// the present file is not what have says.
func differ(now *host.File, have, want provision.Attrs) (attr string, stale bool) {
	if (now == nil) != (have == nil) {
		if now == nil {
			return "it is gone", true
		}
		return "it exists", true
	}
	if now == nil {
		return "", false
	}
	is := attrs(now)
	matter := want
	if want == nil {
		matter = have
	}
	for _, k := range slices.Sorted(maps.Keys(matter)) {
		if k != AttrSeed && is[k] != have[k] {
			return k, true
		}
	}
	return "", false
}

// merge returns what the file becomes. An attribute that is empty is one that the
// earlier state did not have: nothing for owner, mode and target, removal for an
// extended attribute.
func (r *Resource) merge(now *host.File, want provision.Attrs) (host.File, error) {
	typ := want[AttrType]
	switch {
	case typ != "":
	case now != nil:
		typ = typeOf(now.Mode)
	case want[AttrTarget] != "":
		typ = TypeSymlink
	default:
		typ = TypeFile
	}
	f, err := r.fresh(typ)
	if err != nil {
		return f, err
	}
	isNew := now == nil || typeOf(now.Mode) != typ
	if !isNew {
		f = *now
		f.Xattrs = nil // as they are, unless listed
	}
	seed, seeded := want[AttrSeed]
	if seeded && isNew && typ == TypeFile {
		f.Data = []byte(seed)
	}
	var errs []error
	for k, v := range want {
		switch {
		case k == AttrType, k == AttrSeed:
		case k == AttrContent && typ == TypeFile:
			f.Data = []byte(v)
		case strings.HasPrefix(k, XattrPrefix) && len(k) > len(XattrPrefix):
			name := k[len(XattrPrefix):]
			if v == "" {
				f.Drop = append(f.Drop, name)
				continue
			}
			if f.Xattrs == nil {
				f.Xattrs = map[string]string{}
			}
			f.Xattrs[name] = v
		case v == "" && (k == AttrContent || k == AttrTarget || k == AttrMode || k == AttrUID || k == AttrGID):
		case k == AttrTarget && typ == TypeSymlink:
			f.Target = v
		case k == AttrMode && typ != TypeSymlink:
			mode, err := ParseMode(v)
			errs = append(errs, err)
			f.Mode = f.Mode.Type() | mode
		case k == AttrUID:
			f.UID, err = parseID(k, v)
			errs = append(errs, err)
		case k == AttrGID:
			f.GID, err = parseID(k, v)
			errs = append(errs, err)
		case k == AttrContent, k == AttrTarget, k == AttrMode:
			errs = append(errs, fmt.Errorf("a %s has no %s", typ, k))
		default:
			errs = append(errs, fmt.Errorf("unknown attribute %q", k))
		}
	}
	if typ == TypeSymlink && f.Target == "" {
		errs = append(errs, errors.New("a symlink needs a target"))
	}
	return f, errors.Join(errs...)
}

// fresh is a new file of a type before anything is asked of it.
func (r *Resource) fresh(typ string) (host.File, error) {
	f := host.File{UID: -1, GID: -1}
	switch {
	case typ == TypeFile && r.Secret:
		f.Mode = 0o600
	case typ == TypeFile:
		f.Mode = 0o644
	case typ == TypeDir:
		f.Mode = fs.ModeDir | 0o755
	case typ == TypeSymlink:
		f.Mode = fs.ModeSymlink | 0o777
	default:
		return f, fmt.Errorf("unknown type %q", typ)
	}
	return f, nil
}

// ParseMode reads the canonical text of FormatMode.
func ParseMode(s string) (fs.FileMode, error) {
	bits, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("mode %q: want four octal digits", s)
	}
	mode := fs.FileMode(bits & 0o777)
	if bits&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	if bits&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if bits&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	if FormatMode(mode) != s {
		return 0, fmt.Errorf("mode %q: want four octal digits", s)
	}
	return mode, nil
}

// parseID reads a user or group id; the highest one means "do not change" to
// chown(2) and cannot be owned by anybody.
func parseID(attr, s string) (int, error) {
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id == 1<<32-1 || strconv.FormatUint(id, 10) != s {
		return -1, fmt.Errorf("%s %q: want a number", attr, s)
	}
	return int(id), nil
}

// advise turns what the file system answers into what the engine branches on, and
// says what to do where the kernel's word alone does not.
func advise(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, host.ErrChanged):
		return fmt.Errorf("%s: %w", name, provision.ErrStale)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; its directory %s must exist first", err, path.Dir(name))
	}
	return err
}
