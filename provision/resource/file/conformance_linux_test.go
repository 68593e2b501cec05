package file

import (
	"os"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
	"golang.org/x/sys/unix"
)

func TestConformance(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: giving files away needs root")
	}
	values := map[string][]provision.Attrs{
		"file": {
			{"type": "file", "content": "\x00\xff", "mode": "0600", "uid": "0", "gid": "0"},
			{"type": "file", "content": "text\n", "mode": "2755", "uid": "7", "gid": "8"},
			{"type": "file", "content": "", "mode": "0000", "uid": "4294967294", "gid": "0"},
		},
		"attributes": {
			{"type": "file", "content": "a", "xattr.user.x": "1"},
			{"type": "file", "content": "b", "xattr.user.x": "\x00\n"},
		},
		"directory": {
			{"type": "dir", "mode": "0755", "uid": "0", "gid": "0"},
			{"type": "dir", "mode": "1777", "uid": "7", "gid": "0"},
		},
		"symlink": {
			{"type": "symlink", "target": "/nowhere", "uid": "0", "gid": "0"},
			{"type": "symlink", "target": "../x y", "uid": "7", "gid": "0"},
		},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			for _, secret := range []bool{false, true} {
				enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
					dir := t.TempDir()
					if name == "attributes" && unix.Setxattr(dir, "user.try", []byte("1"), 0) != nil {
						t.Skipf("skipped: no extended attributes in %s", dir)
					}
					r := below(t, dir)
					r.Secret = secret
					return enginetest.ResourceCase{Resource: r, Name: "/x", Values: v}
				})
			}
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				return enginetest.ResourceCase{Resource: &Resource{FS: host.NewFake(t)}, Name: "/x", Values: v}
			})
		})
	}
}
