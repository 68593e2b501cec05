package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/lists"
)

func newLists(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "lists",
		Short: "Show the lists of addresses and domains that routing goes by",
		Long: `Show the lists under routing.lists: which way each goes, how large it is, where it comes from, how old its
last good copy is, and what is wrong with it. Exit status 2 when something is.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := listsAgent(g)
			if err != nil {
				return err
			}
			all, err := a.Lists()
			if err != nil {
				return err
			}
			if err := g.emit(all, func(p *page) { drawLists(p, all, time.Now()) }); err != nil {
				return err
			}
			for _, l := range all {
				if len(l.Problems) > 0 {
					return errDifferences
				}
			}
			return nil
		},
	}
	c.AddCommand(newListsRefresh(g))
	return c
}

func newListsRefresh(g *globals) *cobra.Command {
	force := false
	c := &cobra.Command{
		Use:   "refresh [LIST...]",
		Short: "Fetch lists now and put them in force",
		Long: `Read the registries and sources of the named lists, or of all, keep what is good as the last good copy,
and put it into the kernel's sets at once. A list that cannot be fetched, is not whole, is too large or has shrunk a
lot is refused, and its last copy stays: exit status 2. 'provision watch' does the same by itself when a list is due.` + "\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.needRoot("lists refresh"); err != nil {
				return err
			}
			a, err := listsAgent(g)
			if err != nil {
				return err
			}
			out, err := a.RefreshLists(cmd.Context(), args, force)
			if err != nil {
				return err
			}
			if err := g.emit(out, func(p *page) { drawRefresh(p, out) }); err != nil {
				return err
			}
			if len(out.Problems) > 0 {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "take a list though it has shrunk a lot")
	return c
}

func listsAgent(g *globals) (*agent.Agent, error) {
	config, source, err := agent.Load(g.root, g.config)
	if err != nil {
		return nil, err
	}
	return g.wire(agent.Options{Config: config, Source: source})
}

func drawLists(p *page, all []lists.Status, now time.Time) {
	if len(all) == 0 {
		p.line("there are no lists: name some under routing.lists")
		return
	}
	rows := [][]string{{"list", "goes by", "entries", "ranges", "IPv4 addresses", "IPv6 /64s", "domains", "copy"}}
	for _, l := range all {
		way, age := l.Uplink, "-"
		if way == "" {
			way = "no rule"
		}
		if !l.Made.IsZero() {
			age = now.Sub(l.Made).Round(time.Minute).String() + " old"
		}
		rows = append(rows, []string{l.Name, way, fmt.Sprint(l.Entries), fmt.Sprint(l.Ranges), fmt.Sprint(l.Addresses), fmt.Sprint(l.Networks), fmt.Sprint(l.Domains), age})
	}
	p.rows(rows)
	for _, l := range all {
		if len(l.Sources) > 0 {
			p.line("%s comes from %s", p.bold(l.Name), strings.Join(l.Sources, ", "))
		}
		if l.Note != "" {
			p.line("  %s", l.Note)
		}
		for _, text := range l.Problems {
			p.line("%s: %s", p.red(l.Name), text)
		}
	}
}

func drawRefresh(p *page, out agent.ListOutcome) {
	if len(out.Refreshed) > 0 {
		p.line("%s: %s (%s)", p.green("refreshed"), strings.Join(out.Refreshed, ", "), out.Took.Round(time.Millisecond))
	}
	switch {
	case len(out.Changed) > 0:
		p.line("in force: %s", strings.Join(out.Changed, ", "))
	case len(out.Refreshed) > 0:
		p.line("nothing in the kernel had to change")
	}
	for _, text := range out.Problems {
		p.line("%s: %s", p.red("refused"), text)
	}
}
