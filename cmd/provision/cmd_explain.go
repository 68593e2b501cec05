package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends"
)

func newExplain(g *globals) *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use:   "explain NIC [KEY] | --from ADDRESS --to ADDRESS",
		Short: "Name the file, line and daemon that decides; or the rules and route a packet meets",
		Long: `With a NIC: each file and line that decides a setting of it, and what shadows what. KEY is owner, metric, dhcp4,
dhcp6 or another setting; without one, all that is known.

With --to (and --from): which policy rules and which route a packet meets on its way out.` + "\n" + exitHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case to != "" && len(args) > 0, to == "" && (len(args) < 1 || len(args) > 2):
				return usageError{errors.New("explain takes a NIC and perhaps a key, or --to with an address")}
			case to == "" && from != "":
				return usageError{errors.New("--from needs --to")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := g.agent()
			if err != nil {
				return err
			}
			if to != "" {
				src, dst, err := endpoints(from, to)
				if err != nil {
					return usageError{err}
				}
				path, err := a.ExplainPacket(cmd.Context(), src, dst)
				if err != nil {
					return err
				}
				return g.emit(path, func(p *page) {
					for _, l := range path.Lines {
						p.line("%s", l)
					}
				})
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
	c.Flags().StringVar(&from, "from", "", "source `address` of the packet")
	c.Flags().StringVar(&to, "to", "", "destination `address` of the packet; :port/proto may follow and is not needed for routing")
	return c
}

// endpoints reads addresses; a port and protocol behind the destination are
// accepted, since that is how packets are named elsewhere.
func endpoints(from, to string) (src, dst netip.Addr, err error) {
	if from != "" {
		if src, err = netip.ParseAddr(from); err != nil {
			return src, dst, fmt.Errorf("--from %s is not an address", from)
		}
	}
	host, _, _ := strings.Cut(to, "/")
	if ap, e := netip.ParseAddrPort(host); e == nil {
		return src, ap.Addr(), nil
	}
	if dst, err = netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
		return src, dst, fmt.Errorf("--to %s is not an address; names are not resolved here", to)
	}
	return src, dst, nil
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
