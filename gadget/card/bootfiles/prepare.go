package bootfiles

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
)

// Change is what becomes of a file of the boot partition; nil is a file that is not
// there. A list of them is what [Undo] needs to know.
type Change struct {
	Path          string
	Before, After []byte
}

// Options are what to prepare.
type Options struct {
	// Gadget makes the USB port of any board a device, in config.txt.
	Gadget bool
	// Add and Drop are words of cmdline.txt, as Words has them.
	Add, Drop []string
	// Script is the first boot's script, if there is to be one, and Dir where the system
	// mounts the boot partition ([Recognise]).
	Script, Dir string
}

// Read gives a file of the boot partition; nil is a file that is not there.
type Read func(path string) ([]byte, error)

// Prepare decides what has to change, in the order in which it should be written: the
// script before the word that calls it. Nothing is left to do when it has been done.
func Prepare(read Read, o Options) ([]Change, error) {
	var out []Change
	add := func(path string, before []byte, after string) {
		if before == nil || string(before) != after {
			out = append(out, Change{path, before, []byte(after)})
		}
	}
	words := o.Add
	if o.Script != "" {
		before, err := read(ScriptName)
		if err != nil {
			return nil, err
		}
		add(ScriptName, before, o.Script)
		words = append(hookWords(o.Dir), words...)
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

// Undo decides how to go back on changes: to every byte of before where a file is
// still as it was left. The system may have changed config.txt and cmdline.txt
// meanwhile, as it does at its first boot: then only the own lines and words go. Any
// other file that has changed is somebody else's by now, and named in the error; a file
// that is gone stays so.
func Undo(read Read, done []Change) ([]Change, error) {
	var out []Change
	var errs []error
	for i := len(done) - 1; i >= 0; i-- {
		c := done[i]
		now, err := read(c.Path)
		switch {
		case err != nil:
			return nil, err
		case same(now, c.Before) || now == nil:
		case same(now, c.After):
			out = append(out, Change{c.Path, now, c.Before})
		case c.Path == "config.txt":
			if after, changed := bootfile.RemoveAdded(string(now)); changed {
				out = append(out, Change{c.Path, now, []byte(after)})
			}
		case c.Path == "cmdline.txt":
			after, err := Words(string(now), nil, added(c))
			if err != nil {
				errs = append(errs, err)
			} else if after != string(now) {
				out = append(out, Change{c.Path, now, []byte(after)})
			}
		default:
			errs = append(errs, fmt.Errorf("%s has been changed by somebody else: look at it, and remove it by hand", c.Path))
		}
	}
	return out, errors.Join(errs...)
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
