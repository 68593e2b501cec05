package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/routing/overlay/tree"
)

func newOverlay(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "overlay",
		Short: "The network between hosts in several places",
		Long:  `Virtual wires between the hosts under routing.overlay, and the spanning tree over them.` + "\n" + exitHelp,
		Args:  groupArgs,
		RunE:  group,
	}
	c.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Say how the spanning tree stands: who is its root, and what each wire does and why",
		Long: `Say which node is the root of the spanning tree and when the tree changed last, and of each wire whether it
forwards, what it costs, and how long answers take; and which nodes cannot be reached: exit status 2. Nodes are asked
by root only.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.root != "/" {
				return usageError{errors.New("overlay status looks at this machine: --root has no meaning here")}
			}
			a, err := g.agent()
			if err != nil {
				return err
			}
			s, asked, err := a.Overlay(cmd.Context())
			if err != nil {
				return err
			}
			if err := g.emit(s, func(p *page) { drawOverlay(p, s, asked, time.Now()) }); err != nil {
				return err
			}
			if len(s.Problems) > 0 {
				return errDifferences
			}
			return nil
		},
	})
	return c
}

func drawOverlay(p *page, s tree.Status, asked bool, now time.Time) {
	switch {
	case s.Root == "":
	case s.Root == s.Node:
		p.line("%s is the root of the tree, and this node", p.bold(s.Root))
	default:
		p.line("%s is the root of the tree; the way there costs %d", p.bold(s.Root), s.RootCost)
	}
	if !s.Changed.IsZero() {
		p.line("the tree changed last at %s, %s ago", s.Changed.Local().Format(time.DateTime), max(0, now.Sub(s.Changed)).Round(time.Second))
	}
	rows := [][]string{{"NODE", "WIRE", "COST", "RTT", "REACHED", "WHY"}}
	for _, n := range s.Nodes {
		rtt, reached, cost, state := "-", "-", "-", n.State
		if n.RTT > 0 {
			rtt = fmt.Sprintf("%.1f ms", n.RTT.Seconds()*1000)
		}
		if n.Reached != nil {
			reached = map[bool]string{true: "yes", false: "no"}[*n.Reached]
		}
		if n.Cost > 0 {
			cost = fmt.Sprint(n.Cost)
		}
		if state == "" {
			state = "none"
		}
		rows = append(rows, []string{n.Node, state, cost, rtt, reached, n.Why})
	}
	p.rows(rows)
	for _, text := range s.Problems {
		p.line("%s %s", p.red("!"), text)
	}
	if !asked {
		p.line("%s", p.dim("as root it also asks the nodes"))
	}
}
