package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newPlan(g *globals) *cobra.Command {
	var exitCode bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do: files, kernel state, triggers, routes and your SSH session",
		Long: `Show what apply would do and change nothing: each file and each piece of kernel state with what it is and what it
would be, the triggers that would run and why that way, the default routes now, after and after the next boot, and
what it means for the SSH sessions of this machine. A second plan after an apply is empty.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPlan(cmd.Context(), g, exitCode) },
	}
	c.Flags().BoolVar(&exitCode, "exit-code", false, "end with status 2 when there are changes")
	return c
}

func runPlan(ctx context.Context, g *globals, exitCode bool) error {
	a, err := g.agent()
	if err != nil {
		return err
	}
	preview, err := a.Plan(ctx)
	if err != nil {
		return err
	}
	if err := g.emit(preview, func(p *page) { drawPreview(p, preview) }); err != nil {
		return err
	}
	if exitCode && !preview.Plan.Empty() {
		return errDifferences
	}
	return nil
}
