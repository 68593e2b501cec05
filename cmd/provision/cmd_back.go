package main

import (
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/provision"
)

func newRollback(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the state before the last apply",
		Long: `Go back to the snapshot that the last apply took, by the same walk that apply makes: the same triggers run, and what is
equal is not touched. An apply that waits for its confirmation is gone back on.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.needRoot("rollback"); err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			r, err := a.Rollback(cmd.Context())
			if err != nil {
				return err
			}
			return g.emit(r, func(p *page) { drawResult(p, r, "gone back to the state before the last apply") })
		},
	}
}

// confirmed is what `confirm` prints.
type confirmed struct {
	Confirmed bool `json:"confirmed"` // the change is kept
}

func newConfirm(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Keep what 'apply --confirm' did",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.needRoot("confirm"); err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			if err := a.Confirm(cmd.Context()); err != nil {
				return err
			}
			return g.emit(confirmed{true}, func(p *page) { p.line("confirmed: the change is kept") })
		},
	}
}

func newRevert(g *globals) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "revert",
		Short: "Go back to before provision ever came",
		Long: `Return everything that provision ever wrote to the value it had before. What somebody else changed since is left alone
and named, and the status is 2; --force takes it back too.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.needRoot("revert"); err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			r, err := a.Revert(cmd.Context(), force)
			if err != nil {
				return err
			}
			if err := g.emit(r, func(p *page) { drawResult(p, r, "as before provision came") }); err != nil {
				return err
			}
			if len(r.Foreign) > 0 {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also take back what somebody else changed since")
	return c
}

func newRecover(g *globals) *cobra.Command {
	var wait time.Duration
	var boot bool
	c := &cobra.Command{
		Use:   "recover",
		Short: "Finish what a crash, a power cut or a missing confirmation left",
		Long: `Finish what an interrupted command left: an apply that was cut off is gone back on, triggers that were due are run, and
a change that nobody confirmed in time is undone. It does nothing on a machine where nothing is open; run it at boot
('provision hook systemd' prints the unit).` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if boot && g.root != "/" {
				return usageError{errors.New("--boot is for a machine that boots: it does not go with --root")}
			}
			if err := g.needRoot("recover"); err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			r, err := a.Recover(cmd.Context(), wait)
			if boot {
				// Whether it could go back or not, what was committed is to be there when the network comes.
				_, e := a.Restore(cmd.Context())
				err = errors.Join(err, e)
			}
			if err != nil {
				return err
			}
			return g.emit(r, func(p *page) {
				if !r.Recovered && !r.GoneBack && r.Writes == 0 {
					p.line("nothing was left unfinished")
					return
				}
				drawResult(p, r, "what was left unfinished has been settled")
			})
		},
	}
	f := c.Flags()
	f.DurationVar(&wait, "wait", 0, "let this `time` pass first and stay until no confirmation is open")
	f.BoolVar(&boot, "boot", false, "put back afterwards what the kernel has forgotten, as restore does")
	_ = f.MarkHidden("wait")
	return c
}

// drawResult says what was done; done is the sentence for "it worked".
func drawResult(p *page, r provision.Result, done string) {
	drawEffects(p, r)
	p.line("%s (%s)", p.green(done), count(r.Writes, "write"))
	for _, f := range r.Foreign {
		why := "changed by somebody else since, left as it is"
		if i := slices.IndexFunc(r.Notes, func(n provision.Note) bool { return n.Subject == f.Name }); i >= 0 {
			why = r.Notes[i].Text
		}
		p.line("%s %s: %s", p.yellow("left"), p.ref(f), why)
	}
	for _, f := range r.NotRestored {
		p.line("%s %s", p.red("not restored"), p.ref(f))
	}
}
