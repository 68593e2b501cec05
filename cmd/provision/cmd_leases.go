package main

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/dnsdhcp/control"
)

// serverFlags are those of every command that asks the running server.
type serverFlags struct{ socket string }

func (f *serverFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.socket, "socket", control.DefaultSocket, "control `socket` of the server")
}

func (f *serverFlags) client() control.Client { return control.Client{Socket: f.socket} }

type leasesOptions struct {
	serverFlags
	all, history bool
	at           string
}

func newLeases(g *globals) *cobra.Command {
	var o leasesOptions
	c := &cobra.Command{
		Use:   "leases [ADDRESS|MAC|NAME]",
		Short: "List the DHCP leases, or who had an address at some time",
		Long: `List the leases of the running server; with an argument, only those of one address, client or name.

  provision leases --all                             also what has ended or is quarantined
  provision leases 10.0.0.7 --at 14:05               who had that address today at five past two
  provision leases laptop --history                  which addresses that name had` + "\n" + exitHelp,
		Args: oneArg("an address, a MAC address or a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 1 {
				query.Set("query", args[0])
			}
			path := control.PathLeases
			switch {
			case o.at != "" && len(args) == 0:
				return usageError{errors.New("--at needs an address, a MAC address or a name")}
			case o.at != "":
				at, err := moment(o.at, time.Now())
				if err != nil {
					return usageError{err}
				}
				path = control.PathHistory
				query.Set("at", at.Format(time.RFC3339))
			case o.history:
				path = control.PathHistory
			case o.all:
				query.Set("all", "1")
			}
			leases := []control.Lease{}
			if err := o.client().Get(cmd.Context(), path, query, &leases); err != nil {
				return err
			}
			return g.emit(leases, func(p *page) { drawLeases(p, leases, path == control.PathHistory) })
		},
	}
	o.add(c)
	c.Flags().BoolVar(&o.all, "all", false, "also leases that have ended, and addresses in quarantine")
	c.Flags().BoolVar(&o.history, "history", false, "past holders")
	c.Flags().StringVar(&o.at, "at", "", "who held it at this `time`: 14:05, \"2026-11-02 14:05\" or RFC 3339")
	return c
}

// oneArg accepts none or one argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError{fmt.Errorf("%s takes %s, got %d arguments", c.CommandPath(), what, len(args))}
		}
		return nil
	}
}

// moment reads a time of day, which is the last one that has passed, or a date with a time, in local time.
func moment(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--at %q is no time: write 14:05, \"2026-11-02 14:05\" or RFC 3339", text)
}

// shortTime shows an RFC 3339 time in local time, without the date when it is today.
func shortTime(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	t = t.Local()
	now := time.Now()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

func drawLeases(p *page, leases []control.Lease, history bool) {
	if len(leases) == 0 {
		p.line("no leases")
		return
	}
	last := "expires"
	if history {
		last = "until"
	}
	rows := [][]string{{"address", "mac", "name", "network", "state", "since", last}}
	for _, l := range leases {
		state, end := l.State, l.Expires
		if l.Reserved {
			state += ", reserved"
		}
		if history {
			end = l.Until
		}
		rows = append(rows, []string{l.Address, l.MAC, l.Name, l.Network, state, shortTime(l.Since), shortTime(end)})
	}
	p.rows(rows)
}
