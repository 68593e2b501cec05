//go:build !arm

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/card/medium"
)

// newCard is for the machine that prepares cards. The smallest boards, whose cards are prepared, do without it.
var newCard = func(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "card",
		Short: "SD cards and images of a Raspberry Pi: prepare, undo, doctor, flash",
		Long: `Prepare a card on the machine that it is plugged into (Linux, macOS or Windows), so that the Pi sets itself up at its
first boot. PATH is the folder that the card's boot partition is mounted at (often called bootfs), or the file of a raw
image, which needs neither a mount nor root.`,
		Args: groupArgs,
		RunE: group,
	}
	c.AddCommand(newCardPrepare(g), newCardUndo(g), newCardDoctor(g), newCardFlash(g))
	return c
}

// cardStuck reports whether an error says that a card is half-written.
func cardStuck(err error) bool { return errors.Is(err, medium.ErrStuck) || flashStuck(err) }

// cardPath wants one argument.
func cardPath(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one folder or image, got %d", c.CommandPath(), len(args))}
	}
	return nil
}

// openCard opens a card; a path that is none is a wrong call.
func openCard(path string, write bool) (medium.Medium, error) {
	m, err := medium.Open(path, write)
	if errors.Is(err, medium.ErrWrong) || errors.Is(err, os.ErrNotExist) {
		return nil, usageError{err}
	}
	return m, err
}

// cardChange is a change of a file as it is shown.
type cardChange struct {
	Path  string `json:"path"`
	What  string `json:"what"` // new, changed, removed
	Bytes int    `json:"bytes"`
}

func cardChanges(changes []bootfiles.Change) []cardChange {
	out := []cardChange{}
	for _, c := range changes {
		s := cardChange{c.Path, "changed", len(c.After)}
		switch {
		case c.Before == nil:
			s.What = "new"
		case c.After == nil:
			s.What = "removed"
		}
		out = append(out, s)
	}
	return out
}

func drawCardChanges(p *page, changes []cardChange) {
	if len(changes) == 0 {
		return
	}
	rows := [][]string{{"file", "what", "bytes"}}
	for _, c := range changes {
		size := ""
		if c.What != "removed" {
			size = fmt.Sprint(c.Bytes)
		}
		rows = append(rows, []string{c.Path, c.What, size})
	}
	p.rows(rows)
}

// cardUndone is what `card undo` prints.
type cardUndone struct {
	Path    string       `json:"path"`
	Card    string       `json:"card"`
	Changes []cardChange `json:"changes"`
	Left    []string     `json:"left,omitempty"` // what others have changed since
	DryRun  bool         `json:"dry_run,omitempty"`
}

func newCardUndo(g *globals) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "undo PATH",
		Short: "Take back what 'card prepare' did to a card or image",
		Long: `Give every file of the boot partition back the bytes that it had before 'card prepare'. When the Pi has run since, and
changed config.txt or cmdline.txt itself, only the lines and words that were added go. What somebody else has changed is
named and left (status 2). What the first boot did to the system is not taken back.` + "\n" + exitHelp,
		Args: cardPath,
		RunE: func(_ *cobra.Command, args []string) error {
			m, err := openCard(args[0], !dryRun)
			if err != nil {
				return err
			}
			defer m.Close()
			record, err := bootfiles.ReadRecord(m.Read)
			if err != nil {
				return err
			}
			out := cardUndone{Path: args[0], Card: m.String(), DryRun: dryRun}
			changes, foreign, err := record.Undo(m.Read)
			if err != nil {
				return err
			}
			for _, f := range foreign {
				out.Left = append(out.Left, f.Error())
			}
			if text, err := m.Read(bootfiles.RecordName); err != nil {
				return err
			} else if text != nil {
				changes = append(changes, bootfiles.Change{Path: bootfiles.RecordName, Before: text})
			}
			out.Changes = cardChanges(changes)
			if !dryRun { // without any change, too: what an interruption left goes
				if err := m.Write(changes); err != nil {
					return err
				}
			}
			if err := g.emit(out, func(p *page) {
				drawCardChanges(p, out.Changes)
				for _, l := range out.Left {
					p.line("%s %s", p.yellow("!"), l)
				}
				switch {
				case len(changes) == 0:
					p.line("nothing to do: %s was not prepared, or has been taken back already", args[0])
				case dryRun:
					p.line("nothing was written")
				case len(out.Left) > 0:
					p.line("the rest of the card is as it was before")
				default:
					p.line("%s", p.green("the card is as it was before"))
				}
			}); err != nil {
				return err
			}
			if len(out.Left) > 0 {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be done")
	return c
}
