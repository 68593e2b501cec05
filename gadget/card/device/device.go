// Package device finds the disks of this computer and says which of them may be overwritten: never one that is mounted or
// otherwise in use, that the running system is on, that is built in or that cannot be written. What is read from the system is
// read by the files that are named after one; what follows from it is decided here, the same everywhere. Sizes are bytes.
package device

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Errors of Choose.
var (
	ErrNone    = errors.New("no disk")          // none that fits
	ErrRefused = errors.New("must not be used") // one that must not be overwritten
)

// Disk is a whole disk: a card in its reader, a USB stick, or one that must be left alone.
type Disk struct {
	// Path is what is opened and what people call it: /dev/sdb, /dev/disk4, \\.\PhysicalDrive2.
	Path   string `json:"path"`
	Vendor string `json:"vendor,omitempty"`
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"` // of a card itself where it is read by mmc, else mostly of its reader
	Bus    string `json:"bus,omitempty"`    // usb, sd, mmc, sata, nvme and so on
	Size   int64  `json:"size"`             // 0: a reader without a card
	Block  int    `json:"block"`            // a logical block, the unit of reading and writing; 512 or 4096
	// Removable: its medium can be taken out, or it is a stick. External: the disk as a whole can, such as a USB disk.
	Removable bool  `json:"removable"`
	External  bool  `json:"external"`
	ReadOnly  bool  `json:"read_only,omitempty"`
	Uses      []Use `json:"uses,omitempty"`
	// Parts are the names of its partitions, so that whoever names one is told of the disk.
	Parts []string `json:"parts,omitempty"`
}

// Use is one way in which a disk is in use now.
type Use struct {
	What   string `json:"what"`             // "mounted at /media/card", "swap", "dm-0 (LVM)"
	Device string `json:"device"`           // the disk or its partition
	System bool   `json:"system,omitempty"` // the running system needs it
	Free   string `json:"free,omitempty"`   // the command that ends the use, if there is a simple one
}

// Name is what a disk is called where a person has to recognise it: vendor and model without doubled blanks.
func (d *Disk) Name() string {
	model := strings.Join(strings.Fields(d.Model), " ")
	vendor := strings.Join(strings.Fields(d.Vendor), " ")
	switch {
	case model == "" && vendor == "":
		return "disk without a name"
	case vendor == "" || strings.HasPrefix(strings.ToLower(model), strings.ToLower(vendor)):
		return model
	}
	return strings.TrimSpace(vendor + " " + model)
}

// Phrase is what is typed to confirm that this disk is meant: its name and its size.
func (d *Disk) Phrase() string { return d.Name() + " " + Bytes(d.Size) }

// Bytes is a size as it is printed on cards: powers of 1000, three digits.
func Bytes(n int64) string {
	for _, u := range []struct {
		unit string
		of   int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n < u.of {
			continue
		}
		v := float64(n) / float64(u.of)
		if v < 99.95 {
			return strconv.FormatFloat(v, 'f', 1, 64) + " " + u.unit
		}
		return strconv.FormatFloat(v, 'f', 0, 64) + " " + u.unit
	}
	return strconv.FormatInt(n, 10) + " B"
}

// SameSize reports whether text, as it was typed, means a size: all of its bytes, or what Bytes prints, with or without the blank.
func SameSize(text string, size int64) bool {
	squeeze := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
	t := squeeze(text)
	return t == strconv.FormatInt(size, 10) || t == squeeze(Bytes(size))
}

// Reason is why a disk must not be overwritten, and what helps.
type Reason struct {
	Why string `json:"why"`
	Do  string `json:"do,omitempty"`
}

func (r Reason) String() string {
	if r.Do == "" {
		return r.Why
	}
	return r.Why + ": " + r.Do
}

// Refused says why a disk must not be overwritten; none: it may be.
func (d *Disk) Refused() []Reason {
	var out []Reason
	for _, u := range d.Uses {
		if u.System {
			out = append(out, Reason{Why: "the running system is on it (" + u.Device + " is " + u.What + ")"})
			break
		}
	}
	if !d.Removable && !d.External {
		bus := ""
		if d.Bus != "" {
			bus = " (" + d.Bus + ")"
		}
		out = append(out, Reason{Why: "it is built into this computer" + bus})
	}
	for _, u := range d.Uses {
		if !u.System {
			out = append(out, Reason{Why: u.Device + " is " + u.What, Do: u.Free})
		}
	}
	switch {
	case d.Size <= 0:
		out = append(out, Reason{Why: "there is no card in it", Do: "put one in"})
	case d.ReadOnly:
		out = append(out, Reason{Why: "it is write-protected", Do: "slide the lock on the card's or adapter's left edge up, and put it in again"})
	}
	return out
}

// Choose finds the disk that is meant: by its name or, without one, the only removable one that may be overwritten. real follows
// symbolic links, such as those of /dev/disk/by-id; nil follows none.
func Choose(all []Disk, name string, real func(string) (string, error)) (Disk, error) {
	if name == "" {
		return only(all)
	}
	names := []string{name}
	if real != nil {
		if to, err := real(name); err == nil {
			names = append(names, to)
		}
	}
	for _, n := range names {
		for i := range all {
			d := &all[i]
			if same(d.Path, n) {
				if why := d.Refused(); len(why) > 0 {
					return *d, &RefusedError{*d, why}
				}
				return *d, nil
			}
			for _, p := range d.Parts {
				if same(p, n) {
					return Disk{}, fmt.Errorf("%w: %s is a partition; an image goes to the whole disk, which is %s", ErrNone, name, d.Path)
				}
			}
		}
	}
	return Disk{}, fmt.Errorf("%w is called %s; `provision card flash --list` shows those there are", ErrNone, name)
}

// same compares names of a disk: in full, without the folder, and macOS' unbuffered twin.
func same(disk, name string) bool {
	if disk == name {
		return true
	}
	base := func(s string) string { return path.Base(strings.ReplaceAll(s, `\`, "/")) }
	switch {
	case strings.HasPrefix(disk, `\\.\`):
		return strings.EqualFold(base(disk), base(name)) && (strings.HasPrefix(name, `\\.\`) || base(name) == name)
	case strings.HasPrefix(disk, "/dev/"):
		n := strings.TrimPrefix(name, "/dev/")
		return "/dev/"+n == disk || strings.HasPrefix(n, "rdisk") && "/dev/"+n[1:] == disk
	}
	return false
}

// only is the one disk that nobody has to name.
func only(all []Disk) (Disk, error) {
	var fit, busy []string
	var one *Disk
	for i := range all {
		d := &all[i]
		switch why := d.Refused(); {
		case !d.Removable: // a USB disk has to be named: it may hold somebody's backups
		case len(why) == 0:
			fit, one = append(fit, d.Path+" ("+d.Phrase()+")"), d
		case d.Size > 0:
			busy = append(busy, d.Path+" ("+d.Phrase()+"): "+why[0].String())
		}
	}
	switch {
	case len(fit) == 1:
		return *one, nil
	case len(fit) > 1:
		return Disk{}, fmt.Errorf("%w was named and several fit: %s; name one", ErrNone, strings.Join(fit, ", "))
	case len(busy) > 0:
		return Disk{}, fmt.Errorf("%w can be overwritten now: %s", ErrNone, strings.Join(busy, "; "))
	}
	return Disk{}, fmt.Errorf("%w with removable medium is there; put the card into its reader, or name a device (`provision card flash --list`)", ErrNone)
}

// RefusedError is a disk that must not be overwritten, with all reasons.
type RefusedError struct {
	Disk Disk
	Why  []Reason
}

func (e *RefusedError) Error() string {
	text := e.Disk.Path + " (" + e.Disk.Phrase() + ") " + ErrRefused.Error()
	for _, w := range e.Why {
		text += "\n" + w.String()
	}
	return text
}

// Unwrap is ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }
