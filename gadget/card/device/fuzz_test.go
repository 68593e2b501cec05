package device

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diskutilFrom reads what diskutil says from files.
func diskutilFrom[F io.Reader](open func(name string) F) ([]Disk, error) {
	return Diskutil(open("list.plist"), func(disk string) (io.Reader, error) { return open(disk + ".plist"), nil })
}

// FuzzDiskutil: whatever diskutil says, no disk is offered that it does not call removable or external, and nothing runs for ever.
func FuzzDiskutil(f *testing.F) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	for _, n := range []string{"disk0.plist", "disk4.plist", "disk5.plist"} {
		f.Add(read("list.plist"), read(n))
	}
	f.Add([]byte("<plist><dict><key>a</key></dict></plist>"), []byte(""))
	f.Fuzz(func(t *testing.T, list, info []byte) {
		all, err := Diskutil(bytes.NewReader(list), func(string) (io.Reader, error) {
			if len(info) == 0 {
				return nil, errors.New("none")
			}
			return bytes.NewReader(info), nil
		})
		if err != nil {
			return
		}
		for _, d := range all {
			if len(d.Refused()) == 0 && (!d.Removable && !d.External || d.Size <= 0) || !strings.HasPrefix(d.Path, "/dev/disk") {
				t.Errorf("%+v", d)
			}
		}
	})
}

// FuzzStorage: what a disk of Windows answers is decoded or refused.
func FuzzStorage(f *testing.F) {
	f.Add(make([]byte, 36))
	f.Add(append(make([]byte, 40), "name\x00"...))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseStorage(b)
		_, _, _ = parseGeometry(b)
		_, _ = parseExtents(b)
	})
}

// FuzzMounts: a line of mountinfo has a place, or is none.
func FuzzMounts(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseMounts(text) {
			if m.number == "" {
				t.Errorf("%+v", m)
			}
		}
		_ = parseSwaps(text)
	})
}
