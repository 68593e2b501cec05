package fat

import (
	"fmt"
	"io/fs"
	"strings"
)

// root stands for the root directory where a folder is meant by its first cluster.
func (v *Volume) root() uint32 { return v.rootCluster } // 0 with FAT16

// folderLimit is how many clusters a directory can have.
func (v *Volume) folderLimit() int { return max(1, maxSlots*slotSize/v.cluster) }

// folderChain is the clusters of a directory; FAT16's root has none.
func (v *Volume) folderChain(first uint32) ([]uint32, error) {
	if first == 0 {
		if v.bits == 32 {
			first = v.rootCluster
		} else {
			return nil, nil
		}
	}
	return v.chain(first, v.folderLimit())
}

// rawFolder is all slots of a directory.
func (v *Volume) rawFolder(first uint32) ([]byte, error) {
	chain, err := v.folderChain(first)
	if err != nil {
		return nil, err
	}
	if chain == nil {
		raw := make([]byte, v.rootSlots*slotSize)
		return raw, v.read(raw, v.rootStart)
	}
	raw := make([]byte, len(chain)*v.cluster)
	for i, c := range chain {
		if err := v.read(raw[i*v.cluster:][:v.cluster], v.at(c)); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// words splits a path: names separated by slashes, from the root on, with or without
// a slash before. The root itself is "" or "/".
func words(path string) []string {
	return strings.FieldsFunc(path, func(c rune) bool { return c == '/' })
}

// find looks a name up, by its long or its short form and in any case, as every
// system does with FAT.
func find(entries []Entry, name string) (Entry, bool) {
	for _, e := range entries {
		if strings.EqualFold(e.Name, name) {
			return e, true
		}
	}
	for _, e := range entries {
		if strings.EqualFold(e.Short, name) {
			return e, true
		}
	}
	return Entry{}, false
}

// Stat looks a path up: "config.txt", "overlays/dwc2.dtbo". Where there is nothing,
// the error wraps fs.ErrNotExist. The root is a folder without a name.
func (v *Volume) Stat(path string) (Entry, error) {
	e := Entry{Dir: true, first: v.root()}
	for i, w := range words(path) {
		if !e.Dir {
			return Entry{}, fmt.Errorf("cannot look up %s: %s is a file: %w", path, e.Name, fs.ErrNotExist)
		}
		if i > 0 && e.first == 0 {
			return Entry{}, fmt.Errorf("cannot look up %s: the folder %s has no cluster", path, e.Name)
		}
		raw, err := v.rawFolder(e.first)
		if err != nil {
			return Entry{}, fmt.Errorf("cannot look up %s: folder %q: %w", path, e.Name, err)
		}
		var ok bool
		if e, ok = find(v.parse(raw), w); !ok {
			return Entry{}, fmt.Errorf("cannot look up %s: %w", path, fs.ErrNotExist)
		}
	}
	return e, nil
}

// ReadDir lists a folder in the order in which it stands there.
func (v *Volume) ReadDir(path string) ([]Entry, error) {
	e, err := v.Stat(path)
	if err != nil {
		return nil, err
	}
	if !e.Dir {
		return nil, fmt.Errorf("cannot list %s: it is a file", path)
	}
	if e.first == 0 && e.Name != "" {
		return nil, fmt.Errorf("cannot list %s: it has no cluster", path)
	}
	raw, err := v.rawFolder(e.first)
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", path, err)
	}
	return v.parse(raw), nil
}

// ReadFile gives a file's contents.
func (v *Volume) ReadFile(path string) ([]byte, error) {
	e, err := v.Stat(path)
	if err != nil {
		return nil, err
	}
	if e.Dir {
		return nil, fmt.Errorf("cannot read %s: it is a folder", path)
	}
	out, err := v.contents(e)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return out, nil
}

// contents reads a file. A chain may be longer than the file, and not shorter.
func (v *Volume) contents(e Entry) ([]byte, error) {
	if e.Size == 0 {
		return []byte{}, nil
	}
	chain, err := v.chain(e.first, int(v.clusters))
	if err != nil {
		return nil, err
	}
	if have := int64(len(chain)) * int64(v.cluster); have < e.Size {
		return nil, fmt.Errorf("it has %d bytes, and clusters for %d", e.Size, have)
	}
	out := make([]byte, e.Size)
	for at, i := 0, 0; at < len(out); i++ {
		// What stands in a row is read in one go.
		n := 1
		for i+n < len(chain) && chain[i+n] == chain[i]+uint32(n) {
			n++
		}
		end := min(len(out), at+n*v.cluster)
		if err := v.read(out[at:end], v.at(chain[i])); err != nil {
			return nil, err
		}
		at, i = end, i+n-1
	}
	return out, nil
}
