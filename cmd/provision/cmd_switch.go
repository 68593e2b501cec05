package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/killswitch"
)

func newFirewallOpen(g *globals) *cobra.Command {
	var (
		span           time.Duration
		portal         bool
		client, socket string
	)
	c := &cobra.Command{
		Use:   "open",
		Short: "Open the kill switch for a time, or only what a captive portal needs",
		Long: `Open every way out of a machine with a kill switch: for a time, or until 'provision firewall close' or a restart.

With --portal only what signing in to a captive portal needs is opened (name servers of the network, and TCP to the
ports of window-ports): for this machine, or with --client for one client. It closes by itself, also when every process
has died: the kernel's own timers end it. The running watch does it.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := killswitch.Ask{Open: !portal, Window: portal, For: span, Who: "provision firewall open"}
			switch {
			case span < 0:
				return usageError{fmt.Errorf("--for %v is in the past", span)}
			case client != "" && !portal:
				return usageError{errors.New("--client is for --portal: a client alone cannot be let out otherwise")}
			case client != "":
				a, err := netip.ParseAddr(client)
				if err != nil {
					return usageError{fmt.Errorf("--client %s is no address", client)}
				}
				ask.Client = a
			}
			ask.Self = portal && client == ""
			return askSwitch(cmd, g, socket, ask)
		},
	}
	f := c.Flags()
	f.DurationVar(&span, "for", 0, "how `long`; without it until it is closed, and a portal's window as long as it may be")
	f.BoolVar(&portal, "portal", false, "only what a captive portal needs")
	f.StringVar(&client, "client", "", "`address` of the client that signs in")
	f.StringVar(&socket, "socket", agent.WatchSocket, "`path` of the watch's socket")
	return c
}

func newFirewallClose(g *globals) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "close",
		Short: "Close what 'firewall open' opened",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return askSwitch(cmd, g, socket, killswitch.Ask{Close: true, Who: "provision firewall close"})
		},
	}
	c.Flags().StringVar(&socket, "socket", agent.WatchSocket, "`path` of the watch's socket")
	return c
}

func askSwitch(cmd *cobra.Command, g *globals, socket string, ask killswitch.Ask) error {
	s, err := agent.AskSwitch(cmd.Context(), socket, ask)
	if err != nil {
		return err
	}
	return g.emit(s, func(p *page) { drawSwitch(p, s) })
}

func drawSwitch(p *page, s killswitch.State) {
	status := p.green(string(s.Status))
	switch s.Status {
	case killswitch.Open:
		status = p.yellow(string(s.Status))
	case killswitch.Broken:
		status = p.red(string(s.Status))
	}
	p.line("kill switch: %s", status)
	for _, r := range s.Reasons {
		p.line("    %s", r)
	}
	for _, n := range s.Notes {
		p.line("    %s", p.dim(n))
	}
}
