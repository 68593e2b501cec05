package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/wireguard/egress"
)

func newWireguardCheck(g *globals) *cobra.Command {
	var to []string
	c := &cobra.Command{
		Use:   "check [INTERFACE]",
		Short: "Does everything leave by the tunnel? Names what goes beside it",
		Long: `Try, for each family, which way packets to the internet take, which address they have, whether they are
answered, how large a packet passes, and which name servers are asked by which way. Also tried is what a program gets
that binds to another device. Some pings are sent to public resolvers, or to the addresses of --to; nothing is changed.

Status 2 when something leaks, or does not work.` + "\n" + exitHelp,
		Args: oneArg("the name of an interface"),
		RunE: func(cmd *cobra.Command, args []string) error {
			targets := agent.CheckTargets()
			if len(to) > 0 {
				targets = nil
			}
			for _, text := range to {
				a, err := netip.ParseAddr(text)
				if err != nil || a.Zone() != "" {
					return usageError{fmt.Errorf("--to %q is no address", text)}
				}
				targets = append(targets, a.Unmap())
			}
			a, err := g.tunnelAgent("check")
			if err != nil {
				return err
			}
			report, err := a.WireguardCheck(cmd.Context(), strings.Join(args, ""), targets)
			if err != nil {
				return agentError(err)
			}
			if err := g.emit(report, func(p *page) { drawEgress(p, report) }); err != nil {
				return err
			}
			if !report.OK() {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&to, "to", nil, "`addresses` on the internet that answer pings, of both families")
	return c
}

func drawEgress(p *page, r egress.Report) {
	p.title(r.Device)
	var rows [][]string
	for _, f := range r.Findings {
		rows = append(rows, []string{string(f.Level), f.Subject, f.Text})
	}
	p.list(rows)
}
