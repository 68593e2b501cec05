package bootfiles

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
)

// Change is what becomes of a file of the boot partition; nil is a file that is not
// there. A [Record] of them is what it takes to go back.
type Change struct {
	Path          string
	Before, After []byte
	// Secret: nothing of After may be kept, not even a digest, by which a short password
	// could be guessed; and Before is written over before its space is given back.
	Secret bool
}

// File is a finished file for the boot partition.
type File struct {
	Path   string
	Data   []byte
	Secret bool // as in Change
}

// Options are what to prepare.
type Options struct {
	// Gadget makes the USB port of any board a device, in config.txt.
	Gadget bool
	// Add and Drop are words of cmdline.txt, as Words has them.
	Add, Drop []string
	// Files are put as they are, before everything else.
	Files []File
	// Script is the first boot's script, if there is to be one, and Dir where the system
	// mounts the boot partition ([Recognise]). The kernel's command line calls it, unless
	// somebody else does.
	Script, Dir string
	Called      bool // by cloud-init: the command line need not
}

// Read gives a file of the boot partition; nil is a file that is not there.
type Read func(path string) ([]byte, error)

// Prepare decides what has to change, in the order in which it should be written: the
// script before the word that calls it. Nothing is left to do when it has been done.
func Prepare(read Read, o Options) ([]Change, error) {
	var out []Change
	add := func(path string, before []byte, after string) {
		if before == nil || string(before) != after {
			out = append(out, Change{Path: path, Before: before, After: []byte(after)})
		}
	}
	words := o.Add
	for _, f := range o.Files {
		before, err := read(f.Path)
		if err != nil {
			return nil, err
		}
		if before == nil || !bytes.Equal(before, f.Data) {
			out = append(out, Change{Path: f.Path, Before: before, After: f.Data, Secret: f.Secret})
		}
	}
	if o.Script != "" {
		before, err := read(ScriptName)
		if err != nil {
			return nil, err
		}
		add(ScriptName, before, o.Script)
		if !o.Called {
			words = append(hookWords(o.Dir), words...)
		}
	}
	if o.Gadget {
		before, err := read("config.txt")
		if err != nil {
			return nil, err
		}
		// Without the file the firmware takes its defaults: it may be made.
		if after, changed := bootfile.EnsurePeripheral(string(before)); changed {
			add("config.txt", before, after)
		}
	}
	if len(words)+len(o.Drop) > 0 {
		before, err := read("cmdline.txt")
		if err != nil {
			return nil, err
		}
		if before == nil {
			return nil, errors.New("there is no cmdline.txt: is this the boot partition of a Raspberry Pi?")
		}
		after, err := Words(string(before), words, o.Drop)
		if err != nil {
			return nil, err
		}
		add("cmdline.txt", before, after)
	}
	return out, nil
}

// Undo is [Record.Undo] for changes that are at hand.
func Undo(read Read, done []Change) ([]Change, error) {
	out, foreign, err := RecordOf(done).Undo(read)
	if err != nil {
		return nil, err
	}
	return out, errors.Join(foreign...)
}

func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// added are the words that a change of cmdline.txt brought.
func added(c Change) []string {
	had := map[string]bool{}
	for _, w := range wordsOf(c.Before) {
		had[w] = true
	}
	return slices.DeleteFunc(wordsOf(c.After), func(w string) bool { return had[w] })
}

func wordsOf(b []byte) []string {
	text := strings.TrimPrefix(string(b), "\ufeff")
	var out []string
	for _, p := range bootfile.ParseCmdline(text).Params {
		out = append(out, text[p.Start:p.End])
	}
	return out
}
