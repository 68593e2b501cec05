package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/dnsdhcp"
)

func newServe(g *globals) *cobra.Command {
	var o serverFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve DHCP, DNS and router advertisements on the configured links",
		Long: `Serve DHCPv4, DNS, router advertisements, stateless DHCPv6 and multicast DNS on the links that the configuration names
under "serve" and on those of the USB gadgets that are up, until it is told to stop. Links may appear, vanish and come
back at any time. No other program's configuration is read or changed, and no address is set: whoever configures an
interface does that.

SIGHUP reads the configuration again, without a flap; one that is wrong changes nothing. Under systemd it tells when it
is ready and feeds the watchdog; 'provision hook systemd serve' prints the unit.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runtime.GOOS != "linux" {
				return fmt.Errorf("%w: links can be served on Linux only", agent.ErrMissing)
			}
			if g.root != "/" {
				return usageError{errors.New("serve works on this machine: --root has no meaning here")}
			}
			wanted, learner := false, agent.NewLearner()
			load := func() (dnsdhcp.Config, agent.Source, error) {
				c, source, err := agent.Load(g.root, g.config)
				if err != nil {
					return c.Serve, source, err
				}
				var links bool
				if c.Serve, links, err = agent.ServeConfig(g.root, c); err != nil {
					return c.Serve, source, err
				}
				wanted = wanted || links
				learner.Follow(c.Routing, agent.ListSets(g.root, c))
				return c.Serve, source, nil
			}
			config, source, err := load()
			if err != nil {
				return err
			}
			if !wanted {
				return fmt.Errorf("%w: %s names no links under serve.links and no gadget is up, so there is nothing to serve", agent.ErrConfig, source)
			}
			log := g.loggerFrom(slog.LevelInfo) // what a program does that runs for long is of interest without -v
			s, err := dnsdhcp.New(dnsdhcp.Options{
				Config: config, Checked: true, Source: source.String(), Dir: filepath.Join(g.state, "serve"), Socket: o.socket, Version: version, Log: log,
				Learner: learner, InList: learner.InList,
				Load: func() (dnsdhcp.Config, error) {
					c, _, err := load()
					return c, err
				},
				// Whoever ends the server before has it end at once: nothing is written by then that has to be gone back on.
				Begun:  g.signals.begin,
				Notify: func(state string) { _, _ = daemon.SdNotify(false, state) }, // without a manager there is nobody to tell
			})
			if err != nil {
				return fmt.Errorf("%w: %w", agent.ErrConfig, err)
			}
			g.signals.onHangup(func() {
				if err := s.Reload(); err != nil {
					log.Error("the configuration was not taken over", "error", err)
					return
				}
				log.Info("the configuration was read again")
			})
			go func() {
				select {
				case <-s.Ready(): // clients wait for the first answer
					g.signals.await()
					beFrugal(cmd.Context())
					g.watchBeside(cmd.Context(), log)
				case <-cmd.Context().Done():
				}
			}()
			return s.Run(cmd.Context())
		},
	}
	o.add(c)
	return c
}

// watchBeside keeps what is committed, where nobody else does.
func (g *globals) watchBeside(ctx context.Context, log *slog.Logger) {
	config, source, err := agent.Load(g.root, g.config)
	if err != nil {
		log.Error("the network is not watched", "error", err)
		return
	}
	a, err := g.wire(agent.Options{Config: config, Source: source, Log: log})
	if err != nil {
		log.Error("the network is not watched", "error", err)
		return
	}
	a.WarnOfClone()
	a.WatchBeside(ctx, agent.WatchOptions{Socket: agent.WatchSocket, Read: g.readRouting})
}
