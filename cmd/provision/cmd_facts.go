package main

import (
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/provision/facts"
)

func newFacts(g *globals) *cobra.Command {
	var anonymise bool
	c := &cobra.Command{
		Use:   "facts",
		Short: "Print all that was read of this machine, for a bug report",
		Long: `Print everything that the planners know of this machine as JSON (or -o yaml). Passwords and keys are masked; with
--anonymise MAC addresses, public addresses, SSIDs and host names are replaced too, each always by the same
stand-in. What is printed can be loaded again, so a bug report becomes a test.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			f, err := a.Facts(cmd.Context())
			if err != nil {
				return err
			}
			shown := f.Masked()
			if anonymise {
				salt := make([]byte, 16)
				if _, err := rand.Read(salt); err != nil {
					return err
				}
				shown = facts.Anonymise(shown, string(salt))
			}
			if g.output == "table" {
				g.output = "json" // facts are a fixture; there is no shorter form
			}
			return g.emit(shown, nil)
		},
	}
	c.Flags().BoolVar(&anonymise, "anonymise", false, "also replace MAC addresses, public addresses, SSIDs and host names")
	return c
}
