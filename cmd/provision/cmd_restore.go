package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newRestore(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "restore",
		Short: "Put back the committed firewall, routes and kernel parameters, as after a reboot",
		Long: `Set what the kernel forgets at a reboot and no network manager brings back: the firewall, and kernel parameters, as
the last apply committed them. The configuration is not read. What is there already is not touched. If the firewall
cannot be put back, forwarding is switched off. 'provision apply' installs the unit that runs it early in the boot.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.root != "/" {
				return usageError{errors.New("restore works on this machine: --root has no meaning here")}
			}
			if err := g.needRoot("restore"); err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			r, err := a.Restore(cmd.Context())
			if err != nil {
				return err
			}
			return g.emit(r, func(p *page) {
				for _, ref := range r.Set {
					p.line("%s %s", p.green("+"), p.ref(ref))
				}
				for _, ref := range r.Pending {
					p.line("%s %s: its device is not there yet; the watch sets it when it is", p.yellow("pending"), p.ref(ref))
				}
				if r.Switch != "" {
					p.line("kill switch: %s", r.Switch)
				}
				switch {
				case r.Kept == 0:
					p.line("nothing was ever committed that has to be put back")
				case len(r.Set) == 0 && len(r.Pending) == 0:
					p.line("everything is as it was committed")
				}
			})
		},
	}
}
