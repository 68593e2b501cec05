package bootfiles

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
)

// RecordName is the file of the boot partition that says how to go back. It is on the
// card itself, so that any machine can, and stays there over the first boot.
const RecordName = "provision-undo.json"

// Folder of the boot partition is ours alone, and goes with the first boot.
const Folder = "provision-first-boot.d"

// Mark is a line of files of others that are ours as a whole.
const Mark = "# written by `provision card prepare`; `provision card undo` takes it away"

// Was is one change from behind.
type Was struct {
	Path   string `json:"path"`
	Before []byte `json:"before"` // null where there was no file
	// After is the SHA-256 digest of what was written; empty for what was removed, and for
	// secrets.
	After string `json:"after,omitempty"`
	// Earlier is the digest of what an earlier preparation had left there: an interruption
	// may leave that.
	Earlier string   `json:"earlier,omitempty"`
	Secret  bool     `json:"secret,omitempty"`
	Words   []string `json:"words,omitempty"` // that cmdline.txt got
}

// Record is how to go back, in the order in which it was done.
type Record []Was

// RecordOf changes that are going to be made.
func RecordOf(changes []Change) Record {
	var r Record
	for _, c := range changes {
		w := Was{Path: c.Path, Before: c.Before, Secret: c.Secret}
		if c.After != nil && !c.Secret {
			w.After = digest(c.After)
		}
		if c.Path == "cmdline.txt" {
			w.Words = added(c)
		}
		r = append(r, w)
	}
	return r
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// recorded is the form of a record in its file.
type recorded struct {
	Version int    `json:"version"`
	Changes Record `json:"changes"`
}

// Encode is the record's file.
func (r Record) Encode() ([]byte, error) {
	out, err := json.MarshalIndent(recorded{1, r}, "", " ")
	return append(out, '\n'), err
}

// ReadRecord reads the record of a card; none is empty.
func ReadRecord(read Read) (Record, error) {
	text, err := read(RecordName)
	if err != nil || text == nil {
		return nil, err
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s cannot be read any more: %w: remove it, and look at config.txt and cmdline.txt by hand", RecordName, err)
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("%s is of version %d, which a later provision wrote: take that one", RecordName, r.Version)
	}
	for _, w := range r.Changes {
		// Who can write the card could have us write anywhere on this machine.
		if !Safe(w.Path) {
			return nil, fmt.Errorf("%s names the path %q, which is none of a boot partition", RecordName, w.Path)
		}
	}
	return r.Changes, nil
}

// Safe reports whether a path stays on the boot partition, on every system.
func Safe(p string) bool {
	return p != "" && p == path.Clean(p) && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && !strings.ContainsAny(p, `\:`+"\x00")
}

// left reports whether a file is as it was left.
func (w Was) left(now []byte) bool {
	switch {
	case strings.HasPrefix(w.Path, Folder+"/"):
		return true
	case w.Secret && blank(now):
		return true
	case w.Secret:
		return bytes.Contains(now[:min(len(now), 200)], []byte(Mark))
	}
	d := digest(now)
	return d == w.After || d == w.Earlier
}

// blank reports whether a file is zeros at its beginning or end: a secret of which the
// writing, or the wiping, was interrupted. Sectors of a disk have 512 bytes or more.
func blank(b []byte) bool {
	zeros := func(part []byte) bool { return len(bytes.TrimLeft(part, "\x00")) == 0 }
	return len(b) > 0 && (zeros(b[:min(len(b), 512)]) || zeros(b[(len(b)-1)/512*512:]))
}

// Undo decides how to go back: to every byte of before where a file is still as it was
// left. The system may have changed config.txt and cmdline.txt meanwhile, as it does at
// its first boot: then only the own lines and words go. Any other file that has changed
// is somebody else's by now, and one of foreign names it; a file that is gone stays so.
func (r Record) Undo(read Read) (out []Change, foreign []error, err error) {
	for i := len(r) - 1; i >= 0; i-- {
		w := r[i]
		now, err := read(w.Path)
		switch {
		case err != nil:
			return nil, nil, err
		case same(now, w.Before) || now == nil:
		case w.left(now):
			out = append(out, Change{Path: w.Path, Before: now, After: w.Before, Secret: w.Secret})
		case w.Path == "config.txt":
			if after, changed := bootfile.RemoveAdded(string(now)); changed {
				out = append(out, Change{Path: w.Path, Before: now, After: []byte(after)})
			}
		case w.Path == "cmdline.txt":
			after, err := Words(string(now), nil, w.Words)
			if err != nil {
				foreign = append(foreign, err)
			} else if after != string(now) {
				out = append(out, Change{Path: w.Path, Before: now, After: []byte(after)})
			}
		default:
			foreign = append(foreign, fmt.Errorf("%s has been changed by somebody else: look at it, and remove it by hand", w.Path))
		}
	}
	return out, foreign, nil
}

// State is how much of a record is on a card.
type State string

// States.
const (
	Unprepared State = "unprepared" // there is no record
	Prepared   State = "prepared"   // everything is there, and waits for the first boot
	Half       State = "half"       // some files are as before: it was interrupted
	Booted     State = "booted"     // the script has taken itself away
)

// Where says how far a card is, and names the files that are not as they were left.
func (r Record) Where(read Read) (State, []string, error) {
	if len(r) == 0 {
		return Unprepared, nil, nil
	}
	var before []string
	script := false
	for _, w := range r {
		now, err := read(w.Path)
		if err != nil {
			return "", nil, err
		}
		if w.Path == ScriptName {
			script = now != nil
		}
		if (w.After != "" || w.Secret) && same(now, w.Before) || w.Secret && blank(now) || w.Earlier != "" && digest(now) == w.Earlier {
			before = append(before, w.Path)
		}
	}
	log, err := read(LogName)
	switch {
	case err != nil:
		return "", nil, err
	case log != nil && !script:
		return Booted, nil, nil
	case len(before) > 0:
		return Half, before, nil
	}
	return Prepared, nil, nil
}

// Renew decides what has to change on a card that may be prepared already, so that it
// is as if only o had been asked for. What goes back for good comes first, the record
// next, and then what the record is about: of whatever is on the card at any moment,
// the record of that moment says how to go back. Nothing is left to do when it has
// been done.
func Renew(read Read, r Record, o Options) ([]Change, error) {
	back, _, err := r.Undo(read) // what somebody else has changed since is what there is now
	if err != nil {
		return nil, err
	}
	base := map[string][]byte{}
	for _, c := range back {
		base[c.Path] = c.After
	}
	want, err := Prepare(func(p string) ([]byte, error) {
		if b, ok := base[p]; ok {
			return b, nil
		}
		return read(p)
	}, o)
	if err != nil {
		return nil, err
	}
	old := map[string]Was{}
	for _, w := range r {
		old[w.Path] = w
	}
	record, done := RecordOf(want), map[string]bool{}
	for i := range record {
		w := &record[i]
		done[w.Path] = true
		now, err := read(w.Path)
		if err != nil {
			return nil, err
		}
		switch {
		case w.Secret || now == nil || same(now, w.Before):
		case digest(now) == w.After:
			w.Earlier = old[w.Path].Earlier
		default:
			w.Earlier = digest(now)
		}
	}
	var goal, out []Change
	for _, c := range back {
		if !done[c.Path] {
			goal = append(goal, c)
		}
	}
	text, err := record.Encode()
	if err != nil {
		return nil, err
	}
	if len(want) == 0 {
		text = nil
	}
	for _, c := range append(append(goal, Change{Path: RecordName, After: text}), want...) {
		now, err := read(c.Path)
		if err != nil {
			return nil, err
		}
		if !same(now, c.After) {
			out = append(out, Change{c.Path, now, c.After, c.Secret || old[c.Path].Secret})
		}
	}
	return out, nil
}
