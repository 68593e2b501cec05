package netplan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// checkTimeout bounds one run of the generator, which takes some 20 ms, or 0.3 s
// through netplan's Python front end.
const checkTimeout = 20 * time.Second

// Check lets netplan itself read the tree as it would be after d, in a scratch copy,
// before anything is written: at boot the generator ignores what it cannot parse, so
// a broken tree would only show as a machine without network. A tree that is broken
// already is told apart, with file and line as netplan names them. When d changes
// nothing in the tree, nothing is run.
func Check(ctx context.Context, r host.Runner, f *facts.Facts, d provision.Desired) error {
	planned, changes, err := after(f, d)
	if err != nil || !changes {
		return err
	}
	made, err := generate(ctx, r, present(f))
	if err != nil {
		return fmt.Errorf("the netplan configuration is broken already, before any change; repair it first: %w", err)
	}
	if _, err := generate(ctx, r, planned); err != nil {
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
		if generated(p) && !networkd.Ours(one.Text) && entries(p, one.Text) != entries(p, made[p]) {
			differ = append(differ, p)
		}
	}
	for p := range made {
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
	return path.Dir(p) == networkd.RunDir && strings.HasPrefix(path.Base(p), "10-netplan-") && path.Ext(p) == ".network"
}

func unreadable(f *facts.Facts, p string) bool {
	return slices.ContainsFunc(f.Unreadable, func(u facts.Problem) bool { return u.Source == p || u.Source == path.Dir(p) })
}

// entries is what a file says, whatever it looks like.
func entries(p, text string) string {
	var lines []string
	for _, e := range networkd.ParseUnit(p, text).Entries {
		lines = append(lines, fmt.Sprintf("%s.%s=%s", e.Section, e.Key, e.Value))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// present are the files that netplan reads now, by logical path.
func present(f *facts.Facts) map[string]string {
	out := map[string]string{}
	for p, one := range f.Files {
		if inTree(p) {
			out[p] = one.Text
		}
	}
	return out
}

func inTree(p string) bool {
	for _, dir := range searchDirs() {
		if path.Dir(p) == dir && path.Ext(p) == ".yaml" {
			return true
		}
	}
	return false
}

// after are the files as d wants them. Files of ours that d no longer wants will be
// taken back, so they are not counted.
func after(f *facts.Facts, d provision.Desired) (files map[string]string, changes bool, err error) {
	base := ReadTree(f, true)
	files = present(f)
	for _, p := range base.ours {
		delete(files, p)
	}
	var errs []error
	for _, w := range d.Wants {
		if w.Kind != file.Kind && w.Kind != file.SecretKind || !inTree(w.Name) {
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

// generate runs netplan's generator over a scratch root that holds files and returns
// the .network files that it makes, by logical path.
func generate(ctx context.Context, r host.Runner, files map[string]string) (made map[string]string, err error) {
	scratch, err := os.MkdirTemp("", "provision-netplan-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a scratch directory to check the netplan configuration: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	for p, text := range files {
		at := filepath.Join(scratch, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return nil, fmt.Errorf("cannot copy the netplan configuration: %w", err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("cannot copy the netplan configuration: %w", err)
		}
	}
	out, err := r.Run(ctx, host.Command{
		Argv: []string{"netplan", "generate", "--root-dir", scratch},
		// Else netplan 1.x has the running systemd reload, which runs the real generator.
		Env:     []string{"SYSTEMD_OFFLINE=1"},
		Timeout: checkTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot run \"netplan generate\" to check the configuration: %w", err)
	}
	if out.Code != 0 {
		return nil, fmt.Errorf("netplan says: %s", complaint(string(out.Stderr)+"\n"+string(out.Stdout), scratch, out.Code))
	}
	made = map[string]string{}
	dir, err := os.ReadDir(filepath.Join(scratch, networkd.RunDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read what netplan generated: %w", err)
	}
	for _, e := range dir {
		p := path.Join(networkd.RunDir, e.Name())
		if !generated(p) || !e.Type().IsRegular() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(scratch, p))
		if err != nil {
			return nil, fmt.Errorf("cannot read what netplan generated: %w", err)
		}
		made[p] = string(text)
	}
	return made, nil
}

// complaint picks what is wrong out of the generator's output and names files by the
// paths they really have.
func complaint(output, scratch string, code int) string {
	output = strings.ReplaceAll(output, scratch, "")
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		switch {
		case line == "", line == "^", strings.Contains(line, "WARNING"), strings.HasPrefix(line, "See the '"),
			strings.HasPrefix(line, "An error occurred: the command"), strings.Contains(line, "Permissions for"):
			continue
		}
		lines = append(lines, strings.TrimPrefix(line, "ERROR: "))
		if len(lines) == 4 {
			break
		}
	}
	if len(lines) == 0 {
		return fmt.Sprintf("exit status %d without a word", code)
	}
	return strings.ToValidUTF8(strings.Join(lines, "; "), "?")
}
