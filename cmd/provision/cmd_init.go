package main

import (
	_ "embed"

	"github.com/spf13/cobra"
)

//go:embed provision.yaml
var minimalConfig string

func newInit(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Print a minimal configuration to start from",
		Long: `Print a configuration whose values are all in comments and are the built-in defaults: saving it changes nothing.
  provision init | sudo install -D -m 0644 /dev/stdin /etc/provision/provision.yaml`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := g.results().Write([]byte(minimalConfig))
			return err
		},
	}
}
