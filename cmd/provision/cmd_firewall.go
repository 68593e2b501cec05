package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/killswitch"
)

func newFirewall(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "firewall",
		Short: "The policy as it is compiled, and as it fares beside the firewalls of others",
		Args:  groupArgs,
		RunE:  group,
	}
	c.AddCommand(newFirewallShow(g), newFirewallCheck(g), newFirewallOpen(g), newFirewallClose(g))
	return c
}

func newFirewallShow(g *globals) *cobra.Command {
	var live bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the own table in nft's syntax",
		Long: `Print the table that the policy is compiled to, in the syntax of nft(8); each rule's comment names the line of the
policy that it comes from. With --live the kernel's table is printed. -o json gives the kernel's own expressions.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agent()
			if err != nil {
				return err
			}
			var t nft.Table
			if live {
				have, err := a.Live(cmd.Context())
				if err != nil {
					return err
				}
				if have == nil {
					return errors.New("there is no table " + nft.OwnFamily + " " + nft.OwnTable + " in the kernel")
				}
				t = *have
			} else {
				f, err := a.Firewall(cmd.Context())
				if err != nil {
					return err
				}
				t = f.Table
			}
			return g.emit(t, func(p *page) {
				for _, l := range splitLines(nft.Text(t)) {
					p.verbatim("%s", l)
				}
			})
		},
	}
	c.Flags().BoolVar(&live, "live", false, "the kernel's table, and not the compiled one")
	return c
}

func newFirewallCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Compare the policy with the kernel, and say what other firewalls would still drop",
		Long: `Compile the policy, compare it with what the kernel has, say which SSH sessions it would end, and judge the rules of
other firewalls (docker, ufw, firewalld and the like): what they drop although the policy lets it through, and the
cure. Exit status 2 when something was found.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agent()
			if err != nil {
				return err
			}
			f, err := a.Firewall(cmd.Context())
			if err != nil {
				return err
			}
			if s, err := agent.SwitchState(cmd.Context(), agent.WatchSocket); err == nil {
				f.Switch = &s
			}
			if err := g.emit(f, func(p *page) { drawFirewall(p, f) }); err != nil {
				return err
			}
			for _, x := range f.Findings {
				if !x.Harmless {
					return errDifferences
				}
			}
			if f.Differs != "" || len(f.Cuts) > 0 || f.Switch != nil && f.Switch.Status == killswitch.Broken {
				return errDifferences
			}
			return nil
		},
	}
}

func drawFirewall(p *page, f agent.Firewall) {
	rules := 0
	for _, c := range f.Table.Chains {
		rules += len(c.Rules)
	}
	p.line("%s, %s, %s", count(len(f.Table.Chains), "chain"), count(rules, "rule"), count(len(f.Table.Sets), "set"))
	switch {
	case f.Differs != "":
		p.line("%s %s: `provision plan` shows it", p.yellow("differs"), f.Differs)
	case f.Loaded:
		p.line("%s", p.green("the kernel has it as it is compiled"))
	default:
		p.line("%s", p.dim("the kernel's table cannot be read without root"))
	}
	if f.Switch != nil {
		drawSwitch(p, *f.Switch)
	}
	for _, c := range f.Cuts {
		p.line("%s %s", p.red("cuts"), c.Why)
	}
	for _, o := range f.Others {
		p.line("%s %s", p.bold(o.Name), fmt.Sprint(o.State))
	}
	for _, x := range f.Findings {
		p.line("%s %s", p.yellow("drops"), x)
		if x.Cure != "" {
			p.line("    %s", x.Cure)
		}
	}
	drawNotes(p, f.Notes)
}
