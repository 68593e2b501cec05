package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

// applyOptions are the flags of apply.
type applyOptions struct {
	agent.ApplyOptions
	dryRun bool
	early  bool
}

func newApply(g *globals) *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "apply",
		Short: "Make the machine what it should be, verify it, or go back",
		Long: `Take a snapshot, write what differs, let the network managers take it up by the softest way they know, verify the
outcome in the kernel and keep it; or go back to the snapshot, by itself, when anything fails, when a next hop of an
SSH session stops answering, or on Ctrl-C. A second apply changes nothing.

With --confirm the change is kept only if 'provision confirm' comes in time; otherwise the machine goes back, even
when this process and its terminal are gone.

With --root DIR the files of a mounted image are written. A machine that starts from it plans once more before its
network comes up (provision-early.service does that with --before-network): cloud-init has written its files by then.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runApply(cmd.Context(), g, o) },
	}
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be done, as plan does")
	f.DurationVar(&o.Confirm, "confirm", 0, "go back unless confirmed within `time` (60s, 5m)")
	f.DurationVar(&o.Settle, "settle", 10*time.Second, "how long daemons may take to bring the outcome about")
	f.BoolVar(&o.early, "before-network", false, "only write files, and only at the first boot of an image that was applied to with --root")
	f.BoolVar(&o.Force, "force", false, "apply even though the prediction says that an SSH session would be lost")
	return c
}

func runApply(ctx context.Context, g *globals, o applyOptions) error {
	if o.dryRun {
		return runPlan(ctx, g, false)
	}
	if o.Confirm < 0 || o.Settle <= 0 {
		return usageError{errors.New("--confirm and --settle want a positive time such as 60s")}
	}
	if o.Confirm > 0 && o.Confirm < time.Second {
		return usageError{fmt.Errorf("--confirm %s leaves no time to confirm", o.Confirm)}
	}
	if err := g.needRoot("apply"); err != nil {
		return err
	}
	if o.early && (g.root != "/" || o.Confirm > 0) {
		return usageError{errors.New("--before-network is for a machine that boots: it goes neither with --root nor with --confirm")}
	}
	g.early = o.early
	if o.early {
		a, err := g.agentWithout()
		if err != nil || !a.Baked() {
			return err
		}
	}
	a, err := g.agent()
	if err != nil {
		return err
	}
	out, err := a.Apply(ctx, o.ApplyOptions)
	if err != nil {
		return err
	}
	return g.emit(out, func(p *page) { drawOutcome(p, out) })
}
