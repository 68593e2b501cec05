package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/dnsdhcp/control"
)

type statusOptions struct {
	serverFlags
	metrics, queries bool
}

func newStatus(g *globals) *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what the running server serves, and how it fares",
		Long: `Show the links that are served, how full the networks are, the state of stable storage, of the name servers that are
asked, and what was counted. Exit status 2 when something that should be served is not.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.metrics:
				var text string
				if err := o.client().Get(cmd.Context(), control.PathMetrics, nil, &text); err != nil {
					return err
				}
				_, err := io.WriteString(g.results(), text)
				return err
			case o.queries:
				events := []control.Event{}
				if err := o.client().Get(cmd.Context(), control.PathQueries, nil, &events); err != nil {
					return err
				}
				return g.emit(events, func(p *page) { drawEvents(p, events) })
			}
			var s control.Status
			if err := o.client().Get(cmd.Context(), control.PathStatus, nil, &s); err != nil {
				return err
			}
			if err := g.emit(s, func(p *page) { drawStatus(p, s, g.verbose) }); err != nil {
				return err
			}
			if ailing(s) {
				return errDifferences
			}
			return nil
		},
	}
	o.add(c)
	c.Flags().BoolVar(&o.metrics, "metrics", false, "print the counters in the text format of Prometheus")
	c.Flags().BoolVar(&o.queries, "queries", false, "print the last DNS queries (serve.dns.query-log says how many are kept)")
	return c
}

// ailing reports whether something that should be served is not.
func ailing(s control.Status) bool {
	if s.Journal.Error != "" || len(s.Problems) > 0 {
		return true
	}
	for _, l := range s.Links {
		for _, v := range l.Services {
			if v.State == "failing" {
				return true
			}
		}
	}
	return false
}

func drawStatus(p *page, s control.Status, verbose bool) {
	ready := p.green("ready")
	if !s.Ready {
		ready = p.yellow("starting")
	}
	p.line("provision %s, process %d, since %s, configuration %s: %s", s.Version, s.PID, shortTime(s.Started), s.Config, ready)
	for _, text := range s.Problems {
		p.line("%s: %s", p.red("not in order"), text)
	}
	p.title("Links")
	if len(s.Links) == 0 {
		p.line("no interface matches the configuration at present")
	}
	for _, l := range s.Links {
		state := "up"
		if !l.Up {
			state = "down"
		}
		if l.Index == 0 {
			state = "missing"
		}
		p.line("%s: %s%s (match %s)", p.bold(l.Name), state, prefixed(", ", strings.Join(l.Addresses, " ")), l.Rule)
		for _, v := range l.Services {
			word := p.green(v.State)
			switch v.State {
			case "failing":
				word = p.red(v.State)
			case "waiting":
				word = p.yellow(v.State)
			}
			p.line("  %s: %s%s", v.Name, word, prefixed(": ", v.Why))
		}
		for _, n := range l.Notes {
			p.line("  %s", n)
		}
	}
	if len(s.Networks) > 0 {
		p.title("Addresses")
		rows := [][]string{{"network", "prefix", "pool", "bound", "offered", "declined", "reserved", "remaining"}}
		for _, n := range s.Networks {
			rows = append(rows, []string{n.Name, n.Prefix, fmt.Sprint(n.Size), fmt.Sprint(n.Bound), fmt.Sprint(n.Offered), fmt.Sprint(n.Declined), fmt.Sprint(n.Reserved), fmt.Sprint(n.Remaining)})
		}
		p.rows(rows)
	}
	p.title("Stable storage")
	if s.Journal.Error != "" {
		p.line("%s: %s; known leases are still served, new ones are not given", p.red("cannot be written"), s.Journal.Error)
	}
	p.line("%s, %d bytes, %d records in %d writes since the start", s.Journal.Path, s.Journal.Bytes, s.Journal.Records, s.Journal.Syncs)
	if len(s.Upstreams) > 0 {
		p.title("Name servers")
		rows := [][]string{{"for", "server", "state", "answers in", "asked", "failed"}}
		for _, u := range s.Upstreams {
			rows = append(rows, []string{u.Group, u.Address, u.State, fmt.Sprintf("%.1f ms", u.RTT*1000), fmt.Sprint(u.Sent), fmt.Sprint(u.Failed)})
		}
		p.rows(rows)
	}
	p.title("DNS cache")
	p.line("%d answers in %d of %d bytes; %d hits, %d misses, %d answers given after their end", s.Cache.Entries, s.Cache.Bytes, s.Cache.Limit, s.Cache.Hits, s.Cache.Misses, s.Cache.Stale)
	p.title("Counted")
	rows := [][]string{{"link", "what", "answer", "reason", "times"}}
	for _, n := range s.Counts {
		if n.Reply != "" && !verbose {
			continue // what was answered is no news
		}
		rows = append(rows, []string{n.Link, n.Proto + " " + n.What, n.Reply, n.Reason, fmt.Sprint(n.Count)})
	}
	if len(rows) == 1 {
		p.line("everything was answered; -v counts the answers")
		return
	}
	p.rows(rows)
}

// prefixed puts before in front of text that is not empty.
func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}
