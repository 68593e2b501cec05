package main

import (
	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

func newGeneralize(g *globals) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   "generalize",
		Short: "Forget what tells this machine from others, before an image of it is made",
		Long: `Forget what tells this machine from others, so that its disk can be the image of many: files that apply wrote are as
they were before, without a word to any daemon; the state (ledger, snapshots, allotted metrics, facts, leases, DUID and
prefixes of the server), WireGuard keys that commands made, leases and identifiers of DHCP clients go, and the
machine-id is emptied. What stays is listed. Turn the machine off afterwards, or work on a mounted image with --root.

A machine that finds another machine's state says so in plan, apply, verify, serve and watch.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.needRoot("generalize"); err != nil {
				return err
			}
			a, err := g.agent()
			if err != nil { // a configuration that is wrong is no reason to keep an identity
				if a, err = g.agentWithout(); err != nil {
					return err
				}
			}
			r, err := a.Generalize(cmd.Context(), dry)
			if err != nil {
				return err
			}
			return g.emit(r, func(p *page) { drawGeneralization(p, r) })
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only show what would be forgotten")
	return c
}

func drawGeneralization(p *page, r agent.Generalization) {
	title, nothing := "forgotten", "nothing tells this machine from others, nothing was forgotten"
	if r.DryRun {
		title, nothing = "would be forgotten", "nothing tells this machine from others, nothing would be forgotten"
	}
	if len(r.Forgot) == 0 {
		p.line("%s", p.green(nothing))
	} else {
		p.title(title)
	}
	for _, t := range r.Forgot {
		p.line("- %s  %s", t.Path, p.dim(t.What))
	}
	if len(r.Stays) > 0 {
		p.title("stays")
	}
	for _, t := range r.Stays {
		p.line("  %s  %s", t.Path, p.dim(t.What))
	}
}
