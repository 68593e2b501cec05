package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/wireguard/conf"
)

func newWireguardImport(g *globals) *cobra.Command {
	var o agent.WireguardImport
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Take over a file of wg-quick",
		Long: `Take over an interface and its peers from a file of wg-quick; - is standard input. Its commands (PreUp, PostUp, PreDown,
PostDown) are never run: those that let peers through, hide them or open the port become policy, and what becomes of
each line is listed. The interface is called as the file is, or as --interface says.` + "\n" + exitHelp,
		Args: nameArg("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "-" {
				o.Text = cmd.InOrStdin()
				if o.Interface == "" {
					return usageError{errors.New("import - needs a name for the interface: --interface wg0")}
				}
			} else {
				o.Path = args[0]
				if !strings.HasSuffix(o.Path, ".conf") && o.Interface == "" {
					return usageError{fmt.Errorf("%s does not end with .conf, as wg-quick has it: say the interface's name with --interface", filepath.Base(o.Path))}
				}
			}
			a, err := g.tunnelAgent("import")
			if err != nil {
				return err
			}
			out, err := a.WireguardImport(cmd.Context(), o)
			if err != nil {
				return agentError(err)
			}
			return g.emit(out, func(p *page) { drawImported(p, out) })
		},
	}
	tunnelFlags(c, &o.WireguardOptions)
	return c
}

func drawImported(p *page, o agent.WireguardImported) {
	drawTunnelChange(p, o.WireguardOutcome)
	p.line("%s: %s, %s", p.bold(o.Interface), joinOr(o.Addresses, "no address"), count(len(o.Peers), "peer"))
	if len(o.Lines) > 0 {
		p.title("what became of the rest; none of it was run")
	}
	for _, l := range o.Lines {
		standing := p.dim(l.Standing)
		if l.Standing == conf.Left || l.Standing == conf.Partly {
			standing = p.yellow(l.Standing)
		}
		p.line("line %d: %s: %s", l.Line, l.Text, standing)
		p.line("    %s", l.Became)
	}
	drawNotes(p, o.Notes)
}

func newWireguardExport(g *globals) *cobra.Command {
	var (
		sync bool
		out  string
	)
	c := &cobra.Command{
		Use:   "export [INTERFACE]",
		Short: "Print an interface as a file of wg-quick, with its keys",
		Long: `Print an interface and its peers as a file of wg-quick, or with --sync as 'wg syncconf' and 'wg setconf' take it. What
does not go into such a file is said on standard error.` + "\n" + exitHelp,
		Args: oneArg("the name of an interface"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := g.tunnelAgent("export")
			if err != nil {
				return err
			}
			x, err := a.WireguardExport(strings.Join(args, ""), sync)
			if err != nil {
				return agentError(err)
			}
			if g.output != "table" {
				return g.emit(x, nil)
			}
			if err := g.tell(func(p *page) {
				for _, l := range x.Lost {
					p.line("left out: %s", l)
				}
			}); err != nil {
				return err
			}
			if out == "" {
				_, err := g.results().Write([]byte(x.Config))
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return usageError{fmt.Errorf("cannot make a new file: %w", err)}
			}
			_, err = f.WriteString(x.Config)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				os.Remove(out)
			}
			return err
		},
	}
	c.Flags().BoolVar(&sync, "sync", false, "for wg syncconf: without what only wg-quick knows")
	c.Flags().StringVar(&out, "out", "", "write it to a new `file`, readable by you alone")
	return c
}
