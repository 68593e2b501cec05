// Package netplangen runs netplan's own generator on a scratch copy of its tree: to judge YAML before it is written, and to bring the
// files under /run in line with the YAML without touching those that are right already.
//
// `netplan generate` on the live tree rewrites every file it makes. systemd-networkd compares modification times, so the reload that
// follows reconfigures each NIC that netplan knows, and some versions drop the addresses then. Here the generator works on a copy, and
// only what differs is put in place.
package netplangen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/host"
)

// trees are where netplan reads YAML: the same name in a later directory shadows an earlier one (netplan-generate(8)).
var trees = []string{"/usr/lib/netplan", "/lib/netplan", "/etc/netplan", "/run/netplan"}

// made are the places of generated files that decide what a NIC gets, and how their names begin. Units and their links are left to the
// generator at boot: they matter only to a system that starts.
var made = []struct{ dir, prefix string }{
	{"/run/systemd/network", "10-netplan-"},
	{"/run/NetworkManager/system-connections", "netplan-"},
	{"/run/NetworkManager/conf.d", "netplan"},
	{"/run/NetworkManager/conf.d", "10-globally-managed-devices.conf"},
	{"/run/udev/rules.d", "90-netplan"},
	{"/run/udev/rules.d", "99-netplan-"},
	// wpa_supplicant's file and unit of a Wi-Fi device under systemd-networkd, which can be started by themselves.
	{"/run/netplan", "wpa-"},
	{"/run/systemd/system", "netplan-wpa-"},
}

const (
	maxFile = 1 << 20
	// The generator takes some 20 ms, or 0.3 s through netplan's Python front end.
	timeout = 30 * time.Second
)

// RefusedError is netplan's refusal of a tree.
type RefusedError struct {
	Said string // with the scratch directory taken out of the paths
}

func (e *RefusedError) Error() string { return "netplan says: " + e.Said }

// Generate lets netplan generate from the YAML files given by absolute path and returns the files of interest by absolute path. A tree
// that netplan refuses is a *RefusedError.
func Generate(ctx context.Context, runner host.Runner, yaml map[string]string) (made map[string]host.File, err error) {
	scratch, err := scratchDir(runDir)
	if err != nil {
		return nil, fmt.Errorf("cannot make a scratch directory for netplan: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	for name, text := range yaml {
		to := filepath.Join(scratch, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return nil, fmt.Errorf("cannot copy netplan's files: %w", err)
		}
		// 0600: anything looser makes netplan warn, and the YAML may hold keys.
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("cannot copy netplan's files: %w", err)
		}
	}
	out, err := runner.Run(ctx, host.Command{
		Argv: []string{"netplan", "generate", "--root-dir", scratch},
		// Without this netplan 1.x asks the running systemd for a daemon-reload, which runs the real generator and so
		// rewrites all the real files after all (systemctl(1), SYSTEMD_OFFLINE).
		Env:     []string{"SYSTEMD_OFFLINE=1"},
		Timeout: timeout,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot run \"netplan generate\": %w", err)
	}
	if out.Code != 0 {
		return nil, &RefusedError{Said: complaint(string(out.Stderr)+"\n"+string(out.Stdout), scratch, out.Code)}
	}
	made, err = collect(scratch)
	if err != nil {
		return nil, fmt.Errorf("cannot read what netplan generated: %w", err)
	}
	return made, nil
}

// runDir is a file system in memory that only root writes (hier(7)): the copies hold the keys of Wi-Fi networks, which must neither
// reach a disk nor survive there when this process is killed, and no TMPDIR from the environment decides where they are.
const runDir = "/run"

// scratchDir makes a directory of mode 0700 below dir; whoever may not write there, or has none, gets one among the temporary files.
func scratchDir(dir string) (string, error) {
	const name = "provision-netplan-"
	scratch, err := os.MkdirTemp(dir, name)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return os.MkdirTemp("", name)
	}
	return scratch, err
}

// placed is a complaint that begins with its place, FILE:LINE:COLUMN.
var placed = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(ERROR: )?/\S+:\d+:\d+: `) })

// complaint picks what is wrong out of the generator's output and names files by the paths they really have.
func complaint(output, scratch string, code int) string {
	var lines []string
	said := strings.Split(strings.ReplaceAll(output, scratch, ""), "\n")
	for i, line := range said {
		line = strings.TrimSpace(line)
		// The line above the mark is the file's own, perhaps with a password on it.
		if i+1 < len(said) && strings.TrimSpace(said[i+1]) == "^" && !placed().MatchString(line) {
			continue
		}
		switch {
		case line == "", line == "^", strings.Contains(line, "WARNING"), strings.HasPrefix(line, "See the '"),
			strings.HasPrefix(line, "An error occurred: the command"), strings.Contains(line, "Permissions for"), strings.Contains(line, "too open"):
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

// source reads the YAML trees; the merged-usr alias /lib is read once.
func source(r host.Reader) (map[string]string, error) {
	files := map[string]string{}
	for _, dir := range trees {
		if dir == "/lib/netplan" {
			if info, err := r.Lstat("/lib"); err != nil || info.Mode&fs.ModeSymlink != 0 {
				continue
			}
		}
		entries, err := r.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read netplan's files: %w", err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name, ".yaml") {
				continue
			}
			data, err := r.ReadFile(path.Join(dir, e.Name), maxFile)
			if errors.Is(err, fs.ErrNotExist) { // a dangling link, which netplan passes over too
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("cannot read netplan's files: %w", err)
			}
			files[path.Join(dir, e.Name)] = string(data)
		}
	}
	return files, nil
}

// collect reads what was generated, with the owners and modes that netplan chose.
func collect(scratch string) (map[string]host.File, error) {
	files := map[string]host.File{}
	for _, m := range made {
		entries, err := os.ReadDir(filepath.Join(scratch, m.dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), m.prefix) || !e.Type().IsRegular() {
				continue
			}
			at := filepath.Join(scratch, m.dir, e.Name())
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			if info.Size() > maxFile {
				return nil, fmt.Errorf("cannot use %s: netplan generated %d bytes", path.Join(m.dir, e.Name()), info.Size())
			}
			data, err := os.ReadFile(at)
			if err != nil {
				return nil, err
			}
			uid, gid := owner(info)
			files[path.Join(m.dir, e.Name())] = host.File{Data: data, Mode: info.Mode(), UID: uid, GID: gid}
		}
	}
	return files, nil
}

// Sync makes the generated files under /run what netplan would generate now, and returns the paths that it changed, sorted. Files that
// are right already keep their bytes and times; those that netplan would no longer make are removed.
func Sync(ctx context.Context, root host.FS, runner host.Runner) ([]string, error) {
	yaml, err := source(root)
	if err != nil {
		return nil, err
	}
	want, err := Generate(ctx, runner, yaml)
	if err != nil {
		return nil, err
	}
	var changed []string
	for name, f := range want {
		have, version, err := root.Load(name, maxFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return changed, err
		}
		if err == nil && string(have.Data) == string(f.Data) && have.Mode == f.Mode && have.UID == f.UID && have.GID == f.GID {
			continue
		}
		if err := parents(root, path.Dir(name)); err != nil {
			return changed, err
		}
		if err := root.Write(name, f, version); err != nil {
			return changed, err
		}
		changed = append(changed, name)
	}
	for _, m := range made {
		entries, err := root.ReadDir(m.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return changed, err
		}
		for _, e := range entries {
			name := path.Join(m.dir, e.Name)
			if _, keep := want[name]; keep || !strings.HasPrefix(e.Name, m.prefix) || e.Type.IsDir() {
				continue
			}
			_, version, err := root.Load(name, maxFile)
			if err != nil {
				return changed, err
			}
			if err := root.Remove(name, version); err != nil {
				return changed, err
			}
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return slices.Compact(changed), nil
}

// parents makes the directories down to dir that are missing.
func parents(root host.FS, dir string) error {
	if dir == "/" {
		return nil
	}
	if _, err := root.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := parents(root, path.Dir(dir)); err != nil {
		return err
	}
	return root.Write(dir, host.File{Mode: fs.ModeDir | 0o755}, host.Version{})
}
