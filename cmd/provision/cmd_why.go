package main

import (
	"errors"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/dnsdhcp/control"
)

type whyOptions struct {
	serverFlags
	reply   bool
	request control.Request
	arch    uint16
}

func newWhy(g *globals) *cobra.Command {
	var o whyOptions
	c := &cobra.Command{
		Use:   "why MAC|NAME|ADDRESS",
		Short: "Tell why a client was answered as it was, or not at all; or what it would be answered",
		Long: `Show what the running server knows of a client, and its last packets, each with what was answered and why.

With --reply nothing is shown of the past: it prints, field by field, exactly what a client with that MAC address would
be answered now. Nothing is allotted or sent.

  provision why 52:54:00:12:34:56
  provision why laptop
  provision why 52:54:00:12:34:56 --reply --link usb0 --options router,dns-server,121` + "\n" + exitHelp,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("why takes a MAC address, a name or an address")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.reply {
				if cmd.Flags().Changed("arch") {
					o.request.Arch = &o.arch
				}
				o.request.MAC = args[0]
				return o.runReply(cmd, g)
			}
			var why control.Why
			if err := o.client().Get(cmd.Context(), control.PathWhy, url.Values{"query": {args[0]}}, &why); err != nil {
				return err
			}
			return g.emit(why, func(p *page) { drawWhy(p, why) })
		},
	}
	o.add(c)
	f, r := c.Flags(), &o.request
	f.BoolVar(&o.reply, "reply", false, "print what would be answered")
	f.StringVar(&r.Link, "link", "", "`interface` that the client is on; may be left out where only one is served")
	f.StringVar(&r.Kind, "kind", "discover", "`kind` of request: discover, request or inform")
	f.StringVar(&r.ClientID, "client-id", "", "client `identifier` (option 61), text or bytes as 01:02:03")
	f.StringVar(&r.Hostname, "hostname", "", "`name` that the client gives itself (option 12)")
	f.StringVar(&r.Address, "address", "", "`address` that the client asks for, or has (kind request, inform)")
	f.StringVar(&r.Relay, "relay", "", "`address` of the relay agent (giaddr)")
	f.StringSliceVar(&r.Options, "options", nil, "`options` that the client asks for, by name or number (option 55)")
	f.StringVar(&r.Vendor, "vendor", "", "vendor `class` (option 60)")
	f.Uint16Var(&o.arch, "arch", 0, "architecture `number` of a client that boots from the network (option 93)")
	return c
}

func (o *whyOptions) runReply(cmd *cobra.Command, g *globals) error {
	var reply control.Reply
	if err := o.client().Post(cmd.Context(), control.PathReply, o.request, &reply); err != nil {
		return err
	}
	return g.emit(reply, func(p *page) {
		if reply.Reply == "" {
			p.line("no answer: %s", because(reply.Reason, reply.Detail))
			return
		}
		for _, l := range reply.Lines {
			p.line("%s", l)
		}
	})
}

// because joins a stable word and the same for people.
func because(reason, detail string) string {
	if detail == "" {
		return reason
	}
	return strings.TrimPrefix(reason+": "+detail, ": ")
}

func drawWhy(p *page, why control.Why) {
	if len(why.Leases)+len(why.Events)+len(why.Notes) == 0 {
		p.line("nothing is known of %s: no lease, no reservation, and no packet that is remembered", why.Query)
		return
	}
	for _, n := range why.Notes {
		p.line("%s", n)
	}
	if len(why.Leases) > 0 {
		p.title("Leases")
		drawLeases(p, why.Leases, false)
	}
	if len(why.Events) > 0 {
		p.title("Last packets")
		drawEvents(p, why.Events)
	}
}

func drawEvents(p *page, events []control.Event) {
	rows := [][]string{{"time", "link", "what", "from", "answer", "reason"}}
	for _, e := range events {
		answer := e.Reply
		if answer == "" {
			answer = "-"
		}
		if e.Address != "" {
			answer += " " + e.Address
		}
		from := e.MAC
		if from == "" {
			from = e.Name
		}
		rows = append(rows, []string{shortTime(e.Time), e.Link, e.Proto + " " + e.What, from, answer, because(e.Reason, e.Detail)})
	}
	p.rows(rows)
}
