package nft

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/host"
)

// Blobs keeps the elements of large sets in one directory, a file per list of elements, named
// by its digest: what has a name never changes, and equal lists are kept once. The directory is
// made when it is needed, 0700, its files 0600; its parent must exist.
type Blobs struct {
	Files host.FS
	Dir   string
}

const blobSuffix = ".set"

func (b Blobs) path(digest string) string { return path.Join(b.Dir, digest+blobSuffix) }

func validDigest(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 64 && strings.ToLower(s) == s
}

// Save keeps the elements of a table's large sets, durably. Who plans a table with a large set
// calls it before the table is wanted; Set keeps by itself what it is about to replace.
func (b Blobs) Save(t Table) error {
	for i := range t.Sets {
		s := canonicalSet(t.Sets[i])
		if len(s.Elements) > LargeSet {
			if err := b.save(s.Elements); err != nil {
				return fmt.Errorf("cannot keep the elements of set %s: %w", s.Name, err)
			}
		}
	}
	return nil
}

func (b Blobs) save(elems []Element) error {
	if len(elems) > MaxElements {
		return fmt.Errorf("it has %d elements, more than %d", len(elems), MaxElements)
	}
	if b.Files == nil || b.Dir == "" {
		return errors.New("no directory was given for it")
	}
	name := b.path(digest(elems))
	info, err := b.Files.Lstat(name)
	if err == nil && info.Mode.IsRegular() && info.Size > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := b.makeDir(); err != nil {
		return err
	}
	var buf bytes.Buffer
	buf.Grow(len(elems) * 12)
	if err := writeElements(&buf, elems); err != nil {
		return err
	}
	_, v, err := b.Files.Load(name, MaxBlob)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return b.Files.Write(name, host.File{Data: buf.Bytes(), Mode: 0o600, UID: -1, GID: -1}, v)
}

func (b Blobs) makeDir() error {
	_, err := b.Files.Lstat(b.Dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return b.Files.Write(b.Dir, host.File{Mode: fs.ModeDir | 0o700, UID: -1, GID: -1}, host.Version{})
}

// Load fills in the elements of a table's large sets.
func (b Blobs) Load(t *Table) error {
	for i := range t.Sets {
		s := &t.Sets[i]
		if s.SHA256 == "" {
			continue
		}
		elems, err := b.load(s.SHA256, s.Count)
		if err != nil {
			return fmt.Errorf("cannot read the elements of set %s: %w", s.Name, err)
		}
		s.Elements, s.Count, s.SHA256 = elems, 0, ""
	}
	return nil
}

func (b Blobs) load(sum string, count int) ([]Element, error) {
	if !validDigest(sum) {
		return nil, fmt.Errorf("%q is no SHA-256", sum)
	}
	if b.Files == nil || b.Dir == "" {
		return nil, errors.New("no directory was given for it")
	}
	data, err := b.Files.ReadFile(b.path(sum), MaxBlob)
	if err != nil {
		return nil, err
	}
	elems, err := readElements(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.path(sum), err)
	}
	if len(elems) != count || digest(elems) != sum {
		return nil, fmt.Errorf("%s: %w: its content is not what its name says", b.path(sum), errBlob)
	}
	return elems, nil
}

// Sweep removes the blobs that needed says no to, and that were made before the given time: a
// run that has kept one may not have written down yet that it needs it. It returns how many are
// gone. Call it under the engine's lock.
func (b Blobs) Sweep(needed func(digest string) bool, before time.Time) (int, error) {
	entries, err := b.Files.ReadDir(b.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for _, e := range entries {
		sum, ok := strings.CutSuffix(e.Name, blobSuffix)
		if !ok || !validDigest(sum) || needed(sum) {
			continue
		}
		name := path.Join(b.Dir, e.Name)
		info, err := b.Files.Lstat(name)
		if err != nil || !info.ModTime.Before(before) {
			continue
		}
		_, v, err := b.Files.Load(name, MaxBlob)
		if err == nil {
			err = b.Files.Remove(name, v)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// DigestsIn adds to found every SHA-256 that a file's bytes spell out, escaped or not: what a
// snapshot or a ledger refers to can be told so without reading its format.
func DigestsIn(data []byte, found map[string]bool) {
	isHex := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }
	for i := 0; i < len(data); {
		if !isHex(data[i]) {
			i++
			continue
		}
		j := i
		for j < len(data) && isHex(data[j]) {
			j++
		}
		if j-i == 64 {
			found[string(data[i:j])] = true
		}
		i = j
	}
}
