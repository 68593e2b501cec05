package file

import (
	"errors"
	"io/fs"
	"maps"
	"strings"
	"syscall"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bring does what the engine does: get, set, get again. It returns what is there
// and fails unless every attribute asked for is.
func bring(t *testing.T, r *Resource, name string, want provision.Attrs) provision.Attrs {
	t.Helper()
	have, err := r.Get(t.Context(), name)
	must(t, err)
	must(t, r.Set(t.Context(), name, have, want))
	got, err := r.Get(t.Context(), name)
	must(t, err)
	if (got == nil) != (want == nil) {
		t.Fatalf("%s: got %v, want %v", name, got, want)
	}
	for k, v := range want {
		if k != AttrSeed && got[k] != v {
			t.Errorf("%s: %s is %q, want %q", name, k, got[k], v)
		}
	}
	return got
}

func TestAttributes(t *testing.T) {
	fake := host.NewFake(t)
	fake.PutFile("/etc/net/mine", host.File{Data: []byte("theirs\n"), Mode: 0o640, UID: 7, GID: 8, Xattrs: map[string]string{"user.a": "1"}})
	r := &Resource{FS: fake}
	for _, tc := range []struct {
		name string
		want provision.Want
		has  provision.Attrs
	}{
		{"whole file", Want("/etc/a", []byte("\x00\xff\n"), 0o600, ""), provision.Attrs{
			"type": "file", "content": "\x00\xff\n", "mode": "0600", "uid": "0", "gid": "0"}},
		{"content of a new file", Content("/etc/b", nil, ""), provision.Attrs{
			"type": "file", "content": "", "mode": "0644", "uid": "0", "gid": "0"}},
		{"content of somebody's file", Content("/etc/net/mine", []byte("ours"), ""), provision.Attrs{
			"type": "file", "content": "ours", "mode": "0640", "uid": "7", "gid": "8", "xattr.user.a": "1"}},
		{"new directory", Dir("/etc/d", ""), provision.Attrs{"type": "dir", "mode": "0755", "uid": "0", "gid": "0"}},
		{"old directory", Dir("/etc", ""), provision.Attrs{"type": "dir", "mode": "0755", "uid": "0", "gid": "0"}},
		{"symlink", Symlink("/etc/l", "../run/x", ""), provision.Attrs{"type": "symlink", "target": "../run/x", "uid": "0", "gid": "0"}},
		{"seed of a new file", Seed("/etc/seed", []byte("s1"), 0o600, ""), provision.Attrs{
			"type": "file", "content": "s1", "mode": "0600", "uid": "0", "gid": "0"}},
		{"seed of an old file", Seed("/etc/seed", []byte("s2"), 0o640, ""), provision.Attrs{
			"type": "file", "content": "s1", "mode": "0640", "uid": "0", "gid": "0"}},
		{"file for a symlink", Want("/etc/l", []byte("x"), fs.ModeSticky|0o700, ""), provision.Attrs{
			"type": "file", "content": "x", "mode": "1700", "uid": "0", "gid": "0"}},
		{"absent", Absent("/etc/a", ""), nil},
		{"still absent", Absent("/etc/a", ""), nil},
		{"absent below what is no directory", Absent("/etc/b/c", ""), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := bring(t, r, tc.want.Name, tc.want.Attrs); !maps.Equal(got, tc.has) {
				t.Errorf("got %v, want %v", got, tc.has)
			}
			before := fake.Writes()
			bring(t, r, tc.want.Name, tc.want.Attrs)
			if fake.Writes() != before {
				t.Error("the second time wrote again")
			}
		})
	}
}

// Everything that is read can be brought back from anything else.
func TestRoundTrips(t *testing.T) {
	states := []provision.Attrs{
		nil,
		{"type": "file", "content": "a\n", "mode": "0600", "uid": "1", "gid": "2", "xattr.user.x": "\x00"},
		{"type": "file", "content": "", "mode": "4755", "uid": "0", "gid": "0"},
		{"type": "dir", "mode": "3770", "uid": "5", "gid": "0"},
		{"type": "symlink", "target": "/etc/../etc", "uid": "0", "gid": "0"},
	}
	r := &Resource{FS: host.NewFake(t)}
	for _, from := range states {
		for _, to := range states {
			bring(t, r, "/x", from)
			if got := bring(t, r, "/x", to); from == nil && !maps.Equal(got, to) {
				t.Errorf("%v to %v: got %v", from, to, got)
			}
		}
	}
}

// An empty value is what the engine gives for an attribute that the earlier state
// did not have.
func TestEmptyAttributes(t *testing.T) {
	r := &Resource{FS: host.NewFake(t)}
	bring(t, r, "/x", provision.Attrs{"type": "file", "content": "a", "xattr.user.x": "1", "mode": "0600"})
	got := bring(t, r, "/x", provision.Attrs{"type": "file", "xattr.user.x": ""})
	if _, ok := got["xattr.user.x"]; ok {
		t.Errorf("the attribute is still there: %v", got)
	}
	bring(t, r, "/x", provision.Attrs{"type": "symlink", "target": "y", "content": "", "mode": ""})
	bring(t, r, "/x", provision.Attrs{"type": "dir", "target": "", "content": ""})
}

func TestStale(t *testing.T) {
	r := &Resource{FS: host.NewFake(t)}
	now := bring(t, r, "/x", Want("/x", []byte("now"), 0o600, "").Attrs)
	with := func(k, v string) provision.Attrs {
		a := maps.Clone(now)
		a[k] = v
		return a
	}
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
	}{
		{"thought absent", nil, provision.Attrs{"content": "new"}},
		{"other content", with("content", "old"), provision.Attrs{"content": "new"}},
		{"other mode", with("mode", "0644"), provision.Attrs{"mode": "0640"}},
		{"other owner, to be removed", with("uid", "3"), nil},
		{"other type", with("type", "dir"), provision.Attrs{"type": "file"}},
	} {
		if err := r.Set(t.Context(), "/x", tc.have, tc.want); !errors.Is(err, provision.ErrStale) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if err := r.Set(t.Context(), "/y", now, provision.Attrs{"content": "new"}); !errors.Is(err, provision.ErrStale) {
		t.Errorf("thought present: %v", err)
	}
	// What is not asked for does not matter.
	must(t, r.Set(t.Context(), "/x", with("mode", "0000"), provision.Attrs{"content": "new"}))
}

func TestSetErrors(t *testing.T) {
	fake := host.NewFake(t)
	fake.Put("/etc/dir/theirs", "")
	r := &Resource{FS: fake, MaxSize: 10}
	fake.Put("/big", "01234567890")
	for _, tc := range []struct {
		name string
		want provision.Attrs
		err  string
	}{
		{"etc/x", nil, "clean absolute path"},
		{"/etc/../x", nil, "clean absolute path"},
		{"/etc/", nil, "clean absolute path"},
		{"/", nil, "clean absolute path"},
		{"/a\x00", nil, "clean absolute path"},
		{"/none/x", provision.Attrs{"type": "file"}, "directory /none must exist first"},
		{"/x", provision.Attrs{"type": "fifo"}, `unknown type "fifo"`},
		{"/x", provision.Attrs{"type": "symlink"}, "needs a target"},
		{"/x", provision.Attrs{"type": "dir", "content": "x"}, "a dir has no content"},
		{"/x", provision.Attrs{"mode": "600", "uid": "-1", "colour": "red"}, `mode "600"`},
		{"/x", provision.Attrs{"mode": "600", "uid": "-1", "colour": "red"}, `uid "-1"`},
		{"/x", provision.Attrs{"mode": "600", "uid": "-1", "colour": "red"}, `unknown attribute "colour"`},
		{"/x", provision.Attrs{"mode": "10000"}, "four octal digits"},
		{"/x", provision.Attrs{"gid": "4294967295"}, "want a number"},
		{"/big", nil, host.ErrTooLarge.Error()},
	} {
		have, err := r.Get(t.Context(), tc.name)
		if err == nil {
			err = r.Set(t.Context(), tc.name, have, tc.want)
		}
		if err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s %v: got %v, want it to say %q", tc.name, tc.want, err, tc.err)
		}
	}
	have, err := r.Get(t.Context(), "/etc/dir")
	must(t, err)
	if err := r.Set(t.Context(), "/etc/dir", have, nil); !errors.Is(err, syscall.ENOTEMPTY) || !errors.Is(err, provision.ErrPending) {
		t.Errorf("a directory with somebody's file: %v", err)
	}
}

func TestSecret(t *testing.T) {
	r := &Resource{FS: host.NewFake(t), Secret: true}
	if r.Class(AttrContent) != provision.Secret || r.Class(AttrMode) != provision.Exact || r.Class(AttrSeed) != provision.Initial {
		t.Error("classes of a secret file")
	}
	if (&Resource{}).Class(AttrContent) != provision.Exact {
		t.Error("class of a plain file's content")
	}
	got := bring(t, r, "/x", provision.Attrs{"content": "key"})
	if got[AttrMode] != "0600" {
		t.Errorf("a secret file was created with mode %s", got[AttrMode])
	}
	if w := Secret("/x", nil, 0o600, "why"); w.Kind != SecretKind || w.Ref != SecretRef("/x") || w.Why != "why" {
		t.Errorf("got %+v", w)
	}
}

func FuzzParseMode(f *testing.F) {
	for _, s := range []string{"0600", "4755", "600", "00600", "0o600", "-600", "7777", "10000", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mode, err := ParseMode(s)
		if err == nil && FormatMode(mode) != s {
			t.Fatalf("%q reads as %v and prints as %q", s, mode, FormatMode(mode))
		}
	})
}
