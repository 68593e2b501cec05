package wpaconf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// Resource is what is ours in the files of wpa_supplicant.
type Resource struct{ FS host.FS }

var (
	_ provision.Resource    = (*Resource)(nil)
	_ provision.Classifier  = (*Resource)(nil)
	_ provision.NamedAuthor = (*Resource)(nil)
)

// maxFile is far more than any such file has.
const maxFile = 1 << 20

// Class implements provision.Classifier: a network has its key in it.
func (*Resource) Class(string) provision.Class { return provision.Secret }

// WroteNamed implements provision.NamedAuthor: a network with our id_str is ours.
func (*Resource) WroteNamed(name string, have provision.Attrs) bool {
	t, err := parseName(name)
	return err == nil && t.kind == kindNetwork && have != nil
}

// Get implements provision.Resource: nil where the file or the thing in it is not there.
func (r *Resource) Get(_ context.Context, name string) (provision.Attrs, error) {
	t, err := parseName(name)
	if err != nil {
		return nil, err
	}
	f, _, err := r.load(t)
	if err != nil {
		return nil, err
	}
	return attrs(parse(string(f.Data)), t), nil
}

func (r *Resource) load(t target) (host.File, host.Version, error) {
	f, v, err := r.FS.Load(t.path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return host.File{}, v, nil
	}
	if err != nil {
		return f, v, fmt.Errorf("cannot read the networks of wpa_supplicant: %w", err)
	}
	if !f.Mode.IsRegular() {
		return f, v, fmt.Errorf("cannot use %s: it is no regular file; let the interface's configuration name the file itself", t.path)
	}
	return f, v, nil
}

func attrs(d document, t target) provision.Attrs {
	text, there := d.get(t)
	if !there {
		return nil
	}
	return provision.Attrs{AttrText: text}
}

// Set implements provision.Resource. A file that is missing is not made: it would be one that
// nobody reads.
func (r *Resource) Set(_ context.Context, name string, have, want provision.Attrs) error {
	t, err := parseName(name)
	if err != nil {
		return err
	}
	for k := range want {
		if k != AttrText {
			return fmt.Errorf("cannot set %s of %s: unknown attribute", k, name)
		}
	}
	f, v, err := r.load(t)
	if err != nil {
		return err
	}
	d := parse(string(f.Data))
	now := attrs(d, t)
	if _, listed := want[AttrText]; (want == nil || listed) && ((now == nil) != (have == nil) || now[AttrText] != have[AttrText]) {
		return fmt.Errorf("%s: %w", t.path, provision.ErrStale)
	}
	text, there := want[AttrText]
	switch {
	case want != nil && !there, want == nil && now == nil:
		return nil
	case there:
		if err := t.checkText(text); err != nil {
			return fmt.Errorf("cannot add to %s: %w", t.path, err)
		}
		if v == (host.Version{}) {
			return fmt.Errorf("cannot add to %s: %w", t.path, fs.ErrNotExist)
		}
		if d.open() {
			return fmt.Errorf("cannot add to %s: its last block has no end, so wpa_supplicant refuses the file; add the missing \"}\"", t.path)
		}
	}
	f.Data = []byte(d.set(t, text, there).String())
	if err := r.FS.Write(t.path, f, v); err != nil {
		if errors.Is(err, host.ErrChanged) {
			return fmt.Errorf("%s: %w", t.path, provision.ErrStale)
		}
		return fmt.Errorf("cannot change the networks of wpa_supplicant: %w", err)
	}
	return nil
}
