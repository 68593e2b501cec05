package netplan

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// Generator runs netplan's generator on a scratch copy of these YAML files and returns
// the files that it makes; paths are absolute, of the system that is planned for.
type Generator func(ctx context.Context, yaml map[string]string) (made map[string]string, err error)

// Check lets netplan itself read the tree as it would be after d, in a scratch copy,
// before anything is written: at boot the generator ignores what it cannot parse, so
// a broken tree would only show as a machine without network. A tree that is broken
// already is told apart, with file and line as netplan names them. When d changes
// nothing in the tree, nothing is run.
func Check(ctx context.Context, generate Generator, f *facts.Facts, d provision.Desired) error {
	planned, changes, err := after(f, d)
	if err != nil || !changes {
		return err
	}
	made, err := generate(ctx, present(f))
	if err != nil {
		return fmt.Errorf("the netplan configuration is broken already, before any change; repair it first: %w", err)
	}
	if _, err := generate(ctx, planned); err != nil {
		return fmt.Errorf("cannot use the planned netplan configuration: %w", err)
	}
	return pending(f, d, made)
}

// ErrPending is returned (wrapped) when the YAML was edited and not applied yet: to
// bring the generated files in line would carry out that edit too.
var ErrPending = errors.New("the netplan files were edited and not applied yet")

// pending compares what the present YAML makes with the files that systemd-networkd
// has. Times, order and comments do not count.
func pending(f *facts.Facts, d provision.Desired, made map[string]string) error {
	if f.Machine.Offline || !slices.ContainsFunc(d.Triggers, func(t provision.Trigger) bool { return t.Do.Kind == daemon.KindNetplanGenerate }) {
		return nil
	}
	var differ []string
	for p, one := range f.Files {
		if generated(p) && !one.Ours() && entries(p, one.Text) != entries(p, made[p]) {
			differ = append(differ, p)
		}
	}
	for p := range made {
		if !generated(p) {
			continue
		}
		if _, ok := f.Files[p]; !ok && f.Networkd.Running && !unreadable(f, p) {
			differ = append(differ, p)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	slices.Sort(differ)
	return fmt.Errorf("%w: %s would change beside what is planned; run \"netplan try\" or \"netplan apply\", or start the system anew, and then come back",
		ErrPending, strings.Join(differ, ", "))
}

func generated(p string) bool {
	return path.Dir(p) == unit.RunDir && strings.HasPrefix(path.Base(p), "10-netplan-") && path.Ext(p) == ".network"
}

func unreadable(f *facts.Facts, p string) bool {
	return slices.ContainsFunc(f.Unreadable, func(u facts.Problem) bool { return u.Source == p || u.Source == path.Dir(p) })
}

// entries is what a file says, whatever it looks like.
func entries(p, text string) string {
	var lines []string
	for _, e := range unit.Parse(p, text).Entries {
		lines = append(lines, fmt.Sprintf("%s.%s=%s", e.Section, e.Key, e.Value))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// present are the files that netplan reads now, by logical path.
func present(f *facts.Facts) map[string]string {
	out := map[string]string{}
	for p, one := range f.Files {
		if netdef.Reads(p) {
			out[p] = one.Text
		}
	}
	return out
}

// after are the files as d wants them. Files of ours that d no longer wants will be
// taken back, so they are not counted.
func after(f *facts.Facts, d provision.Desired) (files map[string]string, changes bool, err error) {
	base := netdef.ReadTree(f, true)
	files = present(f)
	for _, p := range base.Ours {
		delete(files, p)
	}
	var errs []error
	for _, w := range d.Wants {
		if w.Kind != file.Kind && w.Kind != file.SecretKind || !netdef.Reads(w.Name) {
			continue
		}
		if w.Attrs == nil {
			delete(files, w.Name)
			continue
		}
		text, ok := w.Attrs[file.AttrContent]
		if !ok {
			errs = append(errs, fmt.Errorf("cannot check %s: its content is not known before it is written", w.Name))
			continue
		}
		files[w.Name] = text
	}
	before := present(f)
	changes = len(before) != len(files)
	for p, text := range files {
		if was, ok := before[p]; !ok || was != text {
			changes = true
		}
	}
	for p := range files {
		if f.Files[p].Masked {
			errs = append(errs, fmt.Errorf("cannot check %s: its secrets were blanked for printing", p))
		}
	}
	return files, changes, errors.Join(errs...)
}
