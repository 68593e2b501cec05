package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

func newExplain(g *globals) *cobra.Command {
	var q agent.PacketQuery
	c := &cobra.Command{
		Use:   "explain NIC [KEY] | [--from ADDRESS] --to ADDRESS[:PORT][/PROTOCOL]",
		Short: "Name the file, line and daemon that decides; or the rules, NAT and route a packet meets",
		Long: `With a NIC: each file and line that decides a setting of it, and what shadows what. KEY is owner, metric, dhcp4,
dhcp6 or another setting; without one, all that is known.

With --to: which policy rules and which route a packet of this machine meets on its way out. With a port or protocol
behind the address (1.1.1.1:443/tcp, [2001:db8::1]:53/udp, 10.0.0.1/icmp), or when --from is somebody else's address,
the packet is followed through every table of nf_tables as well: chain by chain, with NAT, marks and the line of the
policy that decides. --in names the device that it comes in by, where the address does not tell; --plan takes the
table that the configuration gives in place of the kernel's; --reply follows the answer too. Rules that cannot be judged
are named and make the verdict uncertain; nothing is guessed.` + "\n" + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case q.To != "" && len(args) > 0, q.To == "" && (len(args) < 1 || len(args) > 2):
				return usageError{errors.New("explain takes a NIC and perhaps a key, or --to with an address")}
			case q.To == "" && (q.From != "" || q.In != "" || q.Planned || q.Reply || q.All):
				return usageError{errors.New("--from needs --to, and so do --in, --plan, --reply and --all")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := g.agent()
			if err != nil {
				return err
			}
			if q.To != "" {
				path, err := a.ExplainPacket(cmd.Context(), q)
				if errors.As(err, new(agent.UsageError)) {
					return usageError{err}
				}
				if err != nil {
					return err
				}
				return g.emit(path, func(p *page) { drawPath(p, path) })
			}
			key := ""
			if len(args) == 2 {
				key = args[1]
			}
			reasons, err := a.Explain(cmd.Context(), args[0], key)
			if err != nil {
				return err
			}
			return g.emit(reasons, func(p *page) { drawReasons(p, reasons) })
		},
	}
	f := c.Flags()
	f.StringVar(&q.From, "from", "", "source `address` of the packet, a port may follow")
	f.StringVar(&q.To, "to", "", "destination `address` of the packet; a port and a protocol may follow")
	f.StringVar(&q.In, "in", "", "`device` that it comes in by")
	f.BoolVar(&q.Planned, "plan", false, "judge by the configuration's table, and not by the kernel's")
	f.BoolVar(&q.Reply, "reply", false, "follow the answer too")
	f.BoolVar(&q.All, "all", false, "show also the rules that do not match")
	return c
}

func drawPath(p *page, path agent.Path) {
	if path.Packet == nil {
		for _, l := range path.Lines {
			p.line("%s", l)
		}
		return
	}
	for _, l := range splitLines(path.Packet.Text()) {
		p.line("%s", l)
	}
	if path.Unread != "" {
		p.line("%s the rules of nf_tables could not be read, so only the route is known: %s", p.yellow("warning:"), path.Unread)
	}
}

func drawReasons(p *page, reasons []backends.Reason) {
	if len(reasons) == 0 {
		p.line("nothing decides it: the manager's default holds")
		return
	}
	rows := [][]string{{"KEY", "VALUE", "DECIDED BY", ""}}
	for _, r := range reasons {
		rows = append(rows, []string{r.Key, r.Value, r.Source, r.Note})
	}
	p.rows(rows)
}
