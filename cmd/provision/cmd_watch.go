package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/watch"
)

func newWatch(g *globals) *cobra.Command {
	o := agent.WatchOptions{}
	var status, metrics bool
	c := &cobra.Command{
		Use:   "watch",
		Short: "Keep routes, policy rules, the firewall and reverse path filters in place",
		Long: `Keep in place what others take away: what the last apply committed (firewall, routes, rules, kernel parameters), and
what the configuration names under routing.watch. It is driven by the kernel's events: a link that was down for a
moment has its routes back within milliseconds. Each repair is logged with its reason; somebody who keeps undoing
repairs is named, and answered more and more slowly.

--preset eks is for nodes of Kubernetes on Amazon's cloud and needs no configuration. --once repairs what is to be
repaired and ends, for timers. --status and --metrics ask the watch that runs.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case runtime.GOOS != "linux":
				return fmt.Errorf("%w: the network can be watched on Linux only", agent.ErrMissing)
			case g.root != "/":
				return usageError{errors.New("watch works on this machine: --root has no meaning here")}
			case status || metrics:
				return askWatch(cmd, g, o.Socket, metrics)
			}
			if err := g.needRoot("watch"); err != nil {
				return err
			}
			config, source, err := agent.Load(g.root, g.config)
			if err != nil {
				return err
			}
			log := g.loggerFrom(slog.LevelInfo)
			a, err := g.wire(agent.Options{Config: config, Source: source, Log: log})
			if err != nil {
				return err
			}
			if o.Once {
				s, err := a.Watch(cmd.Context(), o)
				if err != nil {
					return err
				}
				return g.emit(s, func(p *page) { drawWatch(p, s) })
			}
			a.WarnOfClone()
			o.Notify = func(state string) { _, _ = daemon.SdNotify(false, state) }
			again := make(chan func() (routing.Config, error), 1)
			o.Reload = again
			o.Read = g.readRouting
			g.signals.onHangup(func() { again <- o.Read })
			beFrugal(cmd.Context())
			_, err = a.Watch(cmd.Context(), o)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Preset, "preset", "", "a set of jobs for a known `place`: eks")
	f.BoolVar(&o.Once, "once", false, "repair what is to be repaired and end")
	f.BoolVar(&status, "status", false, "show what the running watch has done")
	f.BoolVar(&metrics, "metrics", false, "print its counters in the text format of Prometheus")
	f.StringVar(&o.Socket, "socket", agent.WatchSocket, "`path` of the socket where it answers")
	return c
}

// readRouting is the routing part of the configuration as it is now.
func (g *globals) readRouting() (routing.Config, error) {
	c, _, err := agent.Load(g.root, g.config)
	return c.Routing, err
}

func askWatch(cmd *cobra.Command, g *globals, socket string, metrics bool) error {
	client := control.Client{Socket: socket, Start: "provision watch"}
	if metrics {
		var text string
		if err := client.Get(cmd.Context(), control.PathMetrics, nil, &text); err != nil {
			return err
		}
		_, err := io.WriteString(g.results(), text)
		return err
	}
	var s watch.Status
	if err := client.Get(cmd.Context(), control.PathStatus, nil, &s); err != nil {
		return err
	}
	return g.emit(s, func(p *page) { drawWatch(p, s) })
}

func drawWatch(p *page, s watch.Status) {
	rows := [][]string{{"JOB", "ACTED", "LAST", "WHY"}}
	for _, j := range s.Jobs {
		last := "never"
		if !j.Last.IsZero() {
			last = j.Last.Format(time.DateTime)
		}
		rows = append(rows, []string{j.Name, fmt.Sprint(j.Acted), last, j.LastWhy})
	}
	p.rows(rows)
	for _, j := range s.Jobs {
		if j.LastError != "" {
			p.line("%s %s: failed %s, last: %s", p.red("!"), j.Name, count(int(j.Failed), "time"), j.LastError)
		}
		if j.LastNote != "" {
			p.line("%s %s: %s", p.yellow("!"), j.Name, j.LastNote)
		}
		for _, f := range j.Fights {
			p.line("%s %s: %s keeps undoing it, %s since %s", p.yellow("fight"), f.What, f.Who, count(f.Times, "time"), f.Since.Format(time.TimeOnly))
		}
		for _, m := range j.Martians {
			p.line("%s %s", p.yellow("martian"), m)
		}
	}
}
