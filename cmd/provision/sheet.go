package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/wireguard/qr"
)

// sheet is how the file of a peer's side is handed out.
type sheet struct {
	qr, noQR      bool
	png, svg, out string
}

func (s *sheet) add(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&s.qr, "qr", false, "draw the QR code, and make nothing where it does not fit the terminal")
	f.BoolVar(&s.noQR, "no-qr", false, "draw no QR code")
	f.StringVar(&s.png, "png", "", "write the QR code to a new `file`, readable by you alone")
	f.StringVar(&s.svg, "svg", "", "the same as SVG")
	f.StringVar(&s.out, "out", "", "write the peer's configuration to a new `file`, readable by you alone")
}

func (s sheet) any() bool    { return s.qr || s.files() }
func (s sheet) files() bool  { return s.png != "" || s.svg != "" || s.out != "" }
func (s sheet) images() bool { return s.qr || s.png != "" || s.svg != "" }

// check judges the flags; keyless: the private key is not known here.
func (s sheet) check(keyless bool) error {
	switch {
	case s.qr && s.noQR:
		return usageError{errors.New("--qr and --no-qr contradict each other")}
	case keyless && s.images():
		return usageError{errors.New("there is no QR code without the private key, which never leaves the peer: its configuration is text, to be completed there")}
	}
	return nil
}

// handOut makes a peer and gives out the file of its side. Files to write to are there before the peer
// is made: its key is shown once.
func (g *globals) handOut(cmd *cobra.Command, s sheet, o agent.WireguardPeer, do func(context.Context, agent.WireguardPeer) (agent.WireguardOutcome, error)) error {
	files, err := s.open(o.DryRun)
	if err != nil {
		return err
	}
	defer files.close()
	if s.qr {
		o.Fits = func(compact string) error {
			_, err := g.code(compact)
			return err
		}
	}
	out, err := do(cmd.Context(), o)
	if err != nil {
		files.remove()
		return agentError(err)
	}
	if err := files.write(out); err != nil {
		files.remove()
		// What was made is made: then at least here.
		return errors.Join(err, g.show(out, sheet{}))
	}
	return g.show(out, s)
}

// show prints the configuration to standard output and the rest to standard error.
func (g *globals) show(out agent.WireguardOutcome, s sheet) error {
	if g.output != "table" {
		return g.emit(out, nil)
	}
	err := g.tell(func(p *page) {
		drawTunnelChange(p, out)
		p.line("%s is a peer of %s: %s", p.bold(out.Peer), out.Interface, joinOr(out.Addresses, "no address of its own"))
		switch {
		case out.DryRun:
		case out.KeyShown && out.KeyKept:
			p.line("its private key is kept in %s", out.File)
		case out.KeyShown:
			p.line("%s", p.yellow("its private key is shown this once and not kept; `provision wireguard rotate "+out.Peer+"` makes another one"))
		}
		drawNotes(p, out.Notes)
	})
	if err != nil || out.DryRun || out.Config == "" {
		return err
	}
	_, terminal := g.terminal()
	if !s.files() {
		p := &page{}
		for _, l := range splitLines(out.Config) {
			p.verbatim("%s", l)
		}
		if _, err := g.results().Write(p.buf.Bytes()); err != nil {
			return err
		}
	}
	if out.Compact == "" || s.noQR || !s.qr && (s.files() || !terminal) {
		return nil
	}
	text, err := g.code(out.Compact)
	if err != nil {
		// The peer is there, and so is its configuration.
		return g.tell(func(p *page) {
			p.line("%s: %s; then `provision wireguard rotate %s` draws it with new keys", p.yellow("no QR code"), err, out.Peer)
		})
	}
	_, err = fmt.Fprintf(g.results(), "\n%s", text)
	return err
}

// tell writes to standard error what is not the result.
func (g *globals) tell(draw func(p *page)) error {
	p := g.page(g.stderr)
	draw(p)
	_, err := g.prompt().Write(p.buf.Bytes())
	return err
}

// code is a QR code that fits the terminal; a pipe or a file has room for all of it.
func (g *globals) code(text string) (string, error) {
	columns, rows := 200, 200
	if f, ok := g.terminal(); ok {
		if c, r := terminalSize(f); c > 0 && r > 0 {
			columns, rows = c, r-1 // the prompt comes below
		}
	}
	t, err := qr.ForTerminal(text, columns, rows)
	if err != nil {
		return "", err
	}
	if g.coloured(g.stdout) {
		return t.String(), nil
	}
	return t.Plain(), nil
}

func joinOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	var b bytes.Buffer
	for i, s := range list {
		if i > 0 {
			b.WriteString(" ")
		}
		b.WriteString(s)
	}
	return b.String()
}

// sheetFiles are files that wait for what is written to them.
type sheetFiles struct{ png, svg, out *os.File }

// open makes them, exclusively, and readable by nobody else.
func (s sheet) open(dryRun bool) (*sheetFiles, error) {
	f := &sheetFiles{}
	if dryRun {
		return f, nil
	}
	for _, w := range []struct {
		path string
		to   **os.File
	}{{s.png, &f.png}, {s.svg, &f.svg}, {s.out, &f.out}} {
		if w.path == "" {
			continue
		}
		file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			f.remove()
			return nil, usageError{fmt.Errorf("cannot make a new file for the peer: %w", err)}
		}
		*w.to = file
	}
	return f, nil
}

func (f *sheetFiles) all() []*os.File { return []*os.File{f.png, f.svg, f.out} }

func (f *sheetFiles) close() {
	for _, x := range f.all() {
		if x != nil {
			x.Close()
		}
	}
}

func (f *sheetFiles) remove() {
	for _, x := range f.all() {
		if x != nil {
			x.Close()
			os.Remove(x.Name())
		}
	}
	*f = sheetFiles{}
}

// imageScale is how many pixels a module has: a code of version 13 has 600 on a side.
const imageScale = 8

func (f *sheetFiles) write(o agent.WireguardOutcome) error {
	var errs []error
	put := func(x *os.File, data []byte) {
		if x != nil {
			_, err := x.Write(data)
			errs = append(errs, err, x.Sync())
		}
	}
	put(f.out, []byte(o.Config))
	if f.png != nil || f.svg != nil {
		c, err := qr.Encode(o.Compact, qr.M)
		if errors.Is(err, qr.ErrTooLong) {
			c, err = qr.Encode(o.Compact, qr.L)
		}
		if err != nil {
			return err
		}
		if f.png != nil {
			put(f.png, c.PNG(imageScale))
		}
		put(f.svg, c.SVG())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot write the peer's file: %w", err)
	}
	return nil
}
