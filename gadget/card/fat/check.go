package fat

import (
	"bytes"
	"fmt"
)

// Problem is a contradiction in the file system.
type Problem struct {
	Path string // the file or folder; empty for the file system as a whole
	Text string
}

// String is the problem in a line.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return fmt.Sprintf("%q: %s", p.Path, p.Text)
}

// Bounds of a check: more problems are no news, and nobody can use deeper folders
// (a path of Windows has 260 characters).
const (
	maxProblems = 20
	maxDepth    = 128
)

// Check looks for what would make writing dangerous: chains of clusters that lead
// out of the file system, go round, meet, or are too short for their file, and tables
// that differ. Clusters in no chain and remains of long names do no harm, and are not
// looked for.
func (v *Volume) Check() ([]Problem, error) {
	c := check{v: v, owner: make([]bool, v.clusters+2)}
	if err := c.tables(); err != nil {
		return nil, err
	}
	err := c.folder("", v.root(), 0)
	return c.problems, err
}

type check struct {
	v        *Volume
	owner    []bool // clusters that some chain has
	problems []Problem
}

func (c *check) bad(path, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{path, fmt.Sprintf(format, args...)})
	}
}

// tables compares those that should be the same.
func (c *check) tables() error {
	v := c.v
	other := make([]byte, len(v.table))
	for _, n := range v.fats[1:] {
		if err := v.read(other, v.fatStart+int64(n)*v.fatSize); err != nil {
			return err
		}
		if !bytes.Equal(other, v.table) {
			c.bad("", "table %d of the clusters differs from the first one", n+1)
		}
	}
	return nil
}

// own notes a chain and reports whether it is sound.
func (c *check) own(path string, chain []uint32) bool {
	for _, n := range chain {
		if c.owner[n] {
			c.bad(path, "cluster %d belongs to something else as well", n)
			return false
		}
		c.owner[n] = true
	}
	return true
}

func (c *check) folder(path string, first uint32, depth int) error {
	v := c.v
	if depth > maxDepth {
		c.bad(path, "folders are nested too deep")
		return nil
	}
	chain, err := v.folderChain(first)
	if err != nil {
		c.bad(path, "%v", err)
		return nil
	}
	if !c.own(path, chain) {
		return nil // it may be the folder in which it stands itself
	}
	raw, err := v.rawFolder(first)
	if err != nil {
		return err
	}
	for _, e := range v.parse(raw) {
		if len(c.problems) >= maxProblems {
			return nil // each of them may have cost a walk through the whole table
		}
		sub := e.Name
		if path != "" {
			sub = path + "/" + sub
		}
		switch {
		case e.Dir && e.first == 0:
			c.bad(sub, "it is a folder without a cluster")
		case e.Dir:
			if err := c.folder(sub, e.first, depth+1); err != nil {
				return err
			}
		default:
			c.file(sub, e)
		}
	}
	return nil
}

func (c *check) file(path string, e Entry) {
	if e.first == 0 {
		if e.Size > 0 {
			c.bad(path, "it has %d bytes, and no cluster", e.Size)
		}
		return
	}
	chain, err := c.v.chain(e.first, int(c.v.clusters))
	if err != nil {
		c.bad(path, "%v", err)
		return
	}
	if have := int64(len(chain)) * int64(c.v.cluster); have < e.Size {
		c.bad(path, "it has %d bytes, and clusters for %d", e.Size, have)
	}
	c.own(path, chain)
}
