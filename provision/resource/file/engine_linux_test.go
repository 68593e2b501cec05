package file

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

// The engine over this resource: applied, applied again for nothing, reverted to
// the byte; and somebody else's file in a directory of ours stays, with it.
func TestUnderTheEngine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: root-owned files need root")
	}
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "etc/network"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "etc/network/interfaces"), []byte("auto eth0\n"), 0o640))
	r := below(t, dir)
	secret := &Resource{FS: r.FS, Secret: true}
	e := &provision.Engine{
		Resources: map[string]provision.Resource{Kind: r, SecretKind: secret},
		Store:     enginetest.NewMemFiles().Store(),
		Clock:     enginetest.NewClock(),
	}
	desired := provision.Desired{Wants: []provision.Want{
		Dir("/etc/netplan", "ours"), Want("/etc/netplan/90-provision.yaml", []byte("x: y\n"), 0o600, "ours"),
		Secret("/etc/netplan/key", []byte("k"), 0o600, "ours"),
		Content("/etc/network/interfaces", []byte("auto eth0\n    metric 1000\n"), "theirs"),
	}}
	before := tree(t, dir)
	res, err := e.Apply(t.Context(), desired, provision.ApplyOptions{})
	must(t, err)
	if res.Writes != 4 {
		t.Errorf("%d writes, want 4", res.Writes)
	}
	after := tree(t, dir)
	res, err = e.Apply(t.Context(), desired, provision.ApplyOptions{})
	must(t, err)
	if now := tree(t, dir); res.Writes != 0 || now != after {
		t.Errorf("the second time: %d writes\n%s\nbefore\n%s", res.Writes, now, after)
	}
	_, err = e.Revert(t.Context(), false)
	must(t, err)
	if now := tree(t, dir); now != before {
		t.Errorf("reverted:\n%s\nwant\n%s", now, before)
	}

	_, err = e.Apply(t.Context(), desired, provision.ApplyOptions{})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "etc/netplan/theirs.yaml"), nil, 0o600))
	_, err = e.Revert(t.Context(), false)
	if err != nil {
		t.Errorf("with somebody's file in our directory: %v", err)
	}
	want := before + "drwxr-xr-x /etc/netplan\n-rw------- /etc/netplan/theirs.yaml \"\"\n"
	if now := tree(t, dir); sorted(now) != sorted(want) {
		t.Errorf("reverted:\n%s\nwant\n%s", now, want)
	}
}

func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(info.Mode().String() + " " + strings.TrimPrefix(p, dir))
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			b.WriteString(` "` + string(data) + `"`)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func sorted(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
