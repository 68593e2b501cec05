//go:build !arm

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/gadget/card/device"
	"github.com/provision-net/provision/gadget/card/flash"
)

// flashOptions are the flags of card flash.
type flashOptions struct {
	list, yes, dryRun, noTable bool
	size, serial, sha256       string
}

func newCardFlash(g *globals) *cobra.Command {
	var o flashOptions
	c := &cobra.Command{
		Use:   "flash IMAGE [DEVICE]",
		Short: "Write an image to a card, and read it back",
		Long: `Write an image (plain, .gz, .xz or .zst) to an SD card or a USB disk, read all of it back and compare. Without DEVICE it
is the only card that is plugged in; --list shows what there is. A disk that is mounted or in use, that the system is on
or that is built in is refused. Model and size are shown and have to be typed to confirm; in a script name the DEVICE
and give --yes with --size or --serial, which have to be the disk's.

The image's SHA-256 is checked before anything is written, where IMAGE.sha256 lies beside it or --sha256 gives it. The
card's first sectors are written last: until then they say that the card is half-written, and the same command again
goes on where it was stopped.` + "\n" + exitHelp,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case o.list && len(args) > 0:
				return usageError{errors.New("--list takes no arguments")}
			case !o.list && (len(args) < 1 || len(args) > 2):
				return usageError{fmt.Errorf("%s takes an image and perhaps a device, got %d arguments", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.list {
				return flashList(cmd.Context(), g)
			}
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			return flashError(o.run(cmd.Context(), g, cmd.InOrStdin(), args[0], name))
		},
	}
	f := c.Flags()
	f.BoolVar(&o.list, "list", false, "list the disks of this computer, and why which of them cannot be written; change nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask; DEVICE and --size or --serial have to be given")
	f.StringVar(&o.size, "size", "", "the `size` that the disk has to have: as --list shows it (31.9GB), or all bytes")
	f.StringVar(&o.serial, "serial", "", "the serial `number` that the disk has to have")
	f.StringVar(&o.sha256, "sha256", "", "SHA-256 of the image's file, as it is, as 64 `digits`")
	f.BoolVar(&o.dryRun, "dry-run", false, "look at everything and write nothing")
	f.BoolVar(&o.noTable, "no-table", false, "write an image that does not begin with a partition table too")
	return c
}

// flashStuck reports whether an error says that a card is half-written.
func flashStuck(err error) bool {
	var half *flash.HalfError
	return errors.As(err, &half)
}

// takenError is a disk that somebody else has.
type takenError struct{ err error }

func (e takenError) Error() string   { return e.err.Error() }
func (e takenError) Unwrap() []error { return []error{e.err, agent.ErrConflict} }

// flashError gives errors their status.
func flashError(err error) error {
	var usage usageError
	switch {
	case err == nil, flashStuck(err), errors.As(err, &usage):
		return err
	case errors.Is(err, device.ErrRefused), errors.Is(err, flash.ErrInUse):
		return takenError{err}
	case errors.Is(err, device.ErrNone):
		return usageError{err}
	}
	return err
}

// flashed is what card flash prints.
type flashed struct {
	Image  string        `json:"image"`
	Form   flash.Form    `json:"form"`
	Size   int64         `json:"image_bytes"` // -1: only unpacking tells
	Device device.Disk   `json:"device"`
	SHA256 string        `json:"image_sha256,omitempty"` // that the file was checked against
	DryRun bool          `json:"dry_run,omitempty"`
	Result *flash.Result `json:"result,omitempty"`
}

func (o *flashOptions) run(ctx context.Context, g *globals, stdin io.Reader, path, name string) error {
	if o.yes && (name == "" || o.size == "" && o.serial == "") {
		return usageError{errors.New("--yes needs the DEVICE, and --size or --serial, so that no other disk is erased by mistake; `provision card flash --list` shows them")}
	}
	image, err := flash.OpenImage(path)
	if errors.Is(err, os.ErrNotExist) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	defer image.Close()
	want, from, err := flash.Expected(o.sha256, path)
	if err != nil {
		return usageError{err}
	}
	all, err := device.List(ctx)
	if err != nil {
		return err
	}
	disk, err := device.Choose(all, name, device.Real)
	if err != nil {
		return err
	}
	if err := o.meant(&disk); err != nil {
		return err
	}
	if err := flash.Fits(image, disk.Size); err != nil {
		return err
	}
	out := flashed{Image: image.Path, Form: image.Form, Size: image.Size, Device: disk, SHA256: want, DryRun: o.dryRun}
	if err := g.tell(func(p *page) { drawFlashPlan(p, image, &disk, from) }); err != nil {
		return err
	}
	if o.dryRun {
		return g.emit(out, func(p *page) { p.line("nothing was written") })
	}
	if !o.yes {
		if err := confirm(ctx, stdin, g.stderr, disk.Phrase()); err != nil {
			return err
		}
	}
	bar := g.newBar(time.Now)
	defer bar.end()
	if want != "" {
		if err := flash.Check(ctx, image, want, time.Now, bar.draw); err != nil {
			return err
		}
	}
	target, err := openSame(ctx, &disk)
	if err != nil {
		return err
	}
	defer target.Close()
	result, err := flash.Write(ctx, flash.Job{Image: image, Target: target, Device: disk.Path, Notes: flash.DefaultNotes(), NoTable: o.noTable,
		Tell: bar.draw, Now: time.Now, Random: rand.Reader})
	bar.end()
	if err != nil {
		return err
	}
	out.Result = &result
	return g.emit(out, func(p *page) { drawFlashed(p, &out) })
}

// meant compares the disk with what is said of it.
func (o *flashOptions) meant(d *device.Disk) error {
	if o.size != "" && !device.SameSize(o.size, d.Size) {
		return usageError{fmt.Errorf("%s has %s (%d bytes), not %s: is it the disk that you mean?", d.Path, device.Bytes(d.Size), d.Size, o.size)}
	}
	if o.serial != "" && o.serial != d.Serial {
		return usageError{fmt.Errorf("%s has the serial number %q, not %q: is it the disk that you mean?", d.Path, d.Serial, o.serial)}
	}
	return nil
}

// openSame opens a disk and looks again whether it is the one that was confirmed: cards are changed while a question waits.
func openSame(ctx context.Context, d *device.Disk) (flash.Target, error) {
	target, err := flash.Open(d.Path)
	if err != nil {
		return nil, err
	}
	all, err := device.List(ctx)
	if err == nil {
		var now device.Disk
		if now, err = device.Choose(all, d.Path, nil); err == nil && (now.Phrase() != d.Phrase() || now.Size != d.Size || now.Serial != d.Serial || target.Size() != d.Size) {
			err = fmt.Errorf("%s is another disk now (%s): begin again", d.Path, now.Phrase())
		}
	}
	if err != nil {
		target.Close()
		return nil, err
	}
	return target, nil
}

// confirm has the phrase typed. A pipe may type it too.
func confirm(ctx context.Context, stdin io.Reader, ask io.Writer, phrase string) error {
	fmt.Fprintf(ask, "Type its model and size to erase it, %s: ", visible(phrase))
	text, err := awaitLine(ctx, stdin)
	if cause := context.Cause(ctx); cause != nil {
		fmt.Fprintln(ask)
		return cause
	}
	if err != nil {
		return fmt.Errorf("cannot read the confirmation: %w", err)
	}
	// Case and blanks are nobody's safety.
	if same := strings.EqualFold(strings.Join(strings.Fields(text), ""), strings.Join(strings.Fields(phrase), "")); !same {
		return usageError{errors.New("that is not its model and size: nothing was written (in a script: --yes with DEVICE and --size or --serial)")}
	}
	return nil
}

func drawFlashPlan(p *page, i *flash.Image, d *device.Disk, from string) {
	size := device.Bytes(i.Packed)
	if i.Form != flash.Plain {
		size += " " + string(i.Form)
		if i.Size >= 0 {
			size += ", " + device.Bytes(i.Size) + " unpacked"
		}
	}
	p.line("image: %s (%s)", i.Path, size)
	if from == "" {
		p.line("       without a SHA-256 to check it against")
	} else {
		p.line("       to be checked against the SHA-256 of %s", from)
	}
	p.line("card:  %s: %s%s; all that is on it will be gone", d.Path, d.Phrase(), diskMore(d))
}

// diskMore is what else tells a disk from others.
func diskMore(d *device.Disk) string {
	more := ""
	if d.Bus != "" {
		more += ", " + d.Bus
	}
	if d.Serial != "" {
		more += ", serial number " + d.Serial
	}
	return more
}

func drawFlashed(p *page, f *flashed) {
	r := f.Result
	p.line("%s", p.green("the image is on "+f.Device.Path+" and was read back: it can be taken out"))
	p.line("%s in %s (%s/s), read back in %s (%s/s)", device.Bytes(r.Bytes), longTime(r.Wrote), rate(r.Bytes-r.Resumed, r.Wrote), longTime(r.Verified), rate(r.Bytes, r.Verified))
	if r.Resumed > 0 {
		p.line("went on at %s, where it had been stopped", device.Bytes(r.Resumed))
	}
	p.line("SHA-256 of what is on it: %s", r.SHA256)
	for _, n := range r.Notes {
		p.line("%s %s", p.yellow("!"), n)
	}
}

// rate is bytes a second.
func rate(n int64, d time.Duration) string {
	if d <= 0 {
		return "?"
	}
	return device.Bytes(int64(float64(n) / d.Seconds()))
}

// flashDisk is a disk in the list.
type flashDisk struct {
	device.Disk
	Refused []device.Reason `json:"refused,omitempty"`
}

func flashList(ctx context.Context, g *globals) error {
	all, err := device.List(ctx)
	if err != nil {
		return err
	}
	list := []flashDisk{}
	for i := range all {
		list = append(list, flashDisk{all[i], all[i].Refused()})
	}
	return g.emit(list, func(p *page) { drawFlashList(p, list) })
}

func drawFlashList(p *page, list []flashDisk) {
	rows := [][]string{{"device", "size", "model", "serial number", "can be written"}}
	for i := range list {
		d, may := &list[i], "yes"
		switch {
		case len(d.Refused) > 0:
			may = "no: " + d.Refused[0].String()
		case !d.Removable:
			may = "yes, when it is named"
		}
		rows = append(rows, []string{d.Path, device.Bytes(d.Size), d.Name(), d.Serial, may})
	}
	p.rowsOr(rows, "this computer has no disks that are seen here")
}
