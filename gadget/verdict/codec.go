package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxFile is the size in bytes that a stored table stays under; a larger file is none of ours.
const MaxFile = 32 << 10

// ErrVersion: the file is of a newer program.
var ErrVersion = errors.New("written by a newer version of the program")

const version = 1

type file struct {
	Version int     `json:"version"`
	Plugs   uint64  `json:"plugs"`
	Hosts   []Entry `json:"hosts"`
}

// Encode is the table as a file.
func (t Table) Encode() ([]byte, error) {
	b, err := json.Marshal(file{Version: version, Plugs: t.plugs, Hosts: t.hosts})
	if err != nil {
		return nil, fmt.Errorf("cannot write the table of hosts: %w", err)
	}
	return append(b, '\n'), nil
}

// Decode reads a file that Encode made. A damaged one is refused as a whole: the table is a memory
// that is soon gained again, so who calls goes on with an empty one.
func Decode(b []byte) (Table, error) {
	if len(b) > MaxFile {
		return Table{}, fmt.Errorf("cannot read the table of hosts: larger than %d bytes", MaxFile)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Table{}, fmt.Errorf("cannot read the table of hosts: %w", err)
	}
	if head.Version > version {
		return Table{}, fmt.Errorf("cannot read the table of hosts: version %d: %w", head.Version, ErrVersion)
	}
	var f file
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return Table{}, fmt.Errorf("cannot read the table of hosts: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Table{}, errors.New("cannot read the table of hosts: something follows it")
	}
	if f.Version != version {
		return Table{}, fmt.Errorf("cannot read the table of hosts: version %d is none", f.Version)
	}
	if len(f.Hosts) > Most {
		return Table{}, fmt.Errorf("cannot read the table of hosts: %d hosts, want at most %d", len(f.Hosts), Most)
	}
	for i, e := range f.Hosts {
		if err := e.check(f.Plugs); err != nil {
			return Table{}, fmt.Errorf("cannot read the table of hosts: host %d: %w", i+1, err)
		}
		if slices.ContainsFunc(f.Hosts[:i], func(o Entry) bool { return o.Host == e.Host }) {
			return Table{}, fmt.Errorf("cannot read the table of hosts: host %d: %s is there twice", i+1, e.Host)
		}
		if i > 0 && e.Last > f.Hosts[i-1].Last {
			return Table{}, fmt.Errorf("cannot read the table of hosts: host %d: out of order", i+1)
		}
	}
	return Table{plugs: f.Plugs, hosts: f.Hosts}, nil
}

func (e Entry) check(plugs uint64) error {
	known := func(o Outcome) bool { return o == Untried || o == Worked || o == Failed }
	switch {
	case !e.Host.valid():
		return errors.New("not a fingerprint")
	case clip(e.Label) != e.Label:
		return errors.New("not a label")
	case !known(e.Modern), !known(e.Classic):
		return errors.New("an outcome that does not exist")
	case e.Patience < 0, e.Patience > mostPatience, e.Left < 0, e.Left > e.Patience:
		return errors.New("plugs that cannot be")
	case e.Last > plugs:
		return errors.New("seen in a plug that was not yet")
	}
	return nil
}
