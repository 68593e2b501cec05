package main

import "github.com/spf13/cobra"

func newVerify(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Is the machine as it should be, effectively and not only in its files?",
		Long: `Compare the machine with what it should be and list what drifted: files, and what the kernel and the daemons really do.
Nothing is changed. Status 2 when something drifted.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agent()
			if err != nil {
				return err
			}
			report, err := a.Verify(cmd.Context())
			if err != nil {
				return err
			}
			if err := g.emit(report, func(p *page) { drawVerify(p, report) }); err != nil {
				return err
			}
			if !report.OK() {
				return errDifferences
			}
			return nil
		},
	}
}
