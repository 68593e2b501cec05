package main

import "github.com/spf13/cobra"

func newWireguard(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "wireguard",
		Short: "WireGuard devices and their peers",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newWireguardRun(g))
	return c
}
