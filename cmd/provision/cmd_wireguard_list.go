package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/wireguard/health"
)

func newWireguardList(g *globals) *cobra.Command {
	var watch time.Duration
	c := &cobra.Command{
		Use:   "list [INTERFACE]",
		Short: "List interfaces and peers: handshake, transfer, endpoint, and what is wrong",
		Long: `List the interfaces and their peers: when the last handshake was, what came and went, where the peer is, and what is
wrong with it as far as it shows: handshakes that stall behind NAT, two devices with one key, addresses that somebody
took away. What is seen is compared with what was seen by the calls before; --watch looks again for a while.` + "\n" + exitHelp,
		Args: oneArg("the name of an interface"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if watch < 0 || watch > time.Hour {
				return usageError{errors.New("--watch is a time of up to an hour")}
			}
			a, err := g.agent()
			if err != nil {
				return err
			}
			list, err := a.WireguardPeers(cmd.Context(), strings.Join(args, ""), watch)
			if err != nil {
				return agentError(err)
			}
			return g.emit(list, func(p *page) { drawTunnels(p, list) })
		},
	}
	c.Flags().DurationVar(&watch, "watch", 0, "look every second for so long, and then say what was seen")
	return c
}

func drawTunnels(p *page, list agent.WireguardList) {
	if len(list.Interfaces) == 0 {
		p.line("there is no WireGuard interface: `provision wireguard init` makes one")
	}
	now := time.Now()
	for _, i := range list.Interfaces {
		p.title(i.Name)
		state := "down"
		if i.Up {
			state = "up"
		}
		if i.Userspace {
			state += ", in userspace"
		}
		if !i.Ours {
			state += ", somebody else's"
		}
		p.line("%s; %s; UDP port %d; public key %s", state, joinOr(i.Addresses, "addresses are not ours"), i.ListenPort, i.PublicKey)
		if i.Management != nil && i.Zone != "" {
			may := "may not"
			if *i.Management {
				may = "may"
			}
			p.line("peers %s manage this machine (zone %s)", may, i.Zone)
		}
		for _, w := range i.Warnings {
			p.line("%s %s", p.yellow("!"), w)
		}
		rows := [][]string{{"peer", "allowed ips", "handshake", "received", "sent", "endpoint", "private key"}}
		for _, l := range i.Peers {
			name, kept := l.Name, ""
			if name == "" {
				name = l.PublicKey
			}
			if l.KeyKept {
				kept = "kept here"
			}
			rows = append(rows, []string{name, strings.Join(l.AllowedIPs, " "), health.Age(l.Handshake, now), byteSize(l.Received), byteSize(l.Sent), l.Endpoint, kept})
		}
		if len(rows) > 1 {
			p.rows(rows)
		} else {
			p.line("no peers: `provision wireguard add phone` makes one")
		}
		for _, l := range i.Peers {
			name := l.Name
			if name == "" {
				name = l.PublicKey
			}
			for _, w := range l.Warnings {
				p.line("%s %s: %s", p.yellow("!"), name, w)
			}
		}
	}
	for _, n := range list.Notes {
		p.line("%s", p.dim(n))
	}
}

// byteSize is a number of bytes for people.
func byteSize(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, unit := float64(n), ""
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		v, unit = v/1024, u
		if v < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

func newWireguardShow(g *globals) *cobra.Command {
	var (
		device string
		s      sheet
	)
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a peer's file again, and its QR code where its key is kept",
		Long: `Print the file of a peer's side. A private key that was not kept is missing from it, and then there is no QR code:
'provision wireguard rotate' makes new keys, and shows them once.` + "\n" + exitHelp,
		Args: nameArg("peer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(false); err != nil {
				return err
			}
			a, err := g.tunnelAgent("show")
			if err != nil {
				return err
			}
			out, err := a.WireguardShow(device, args[0])
			if err != nil {
				return agentError(err)
			}
			if s.images() && out.Compact == "" {
				return fmt.Errorf("there is no QR code of %s: its private key is not kept here. `provision wireguard rotate %s` makes new keys and shows the code once; with --keep-key it can be shown again", out.Peer, out.Peer)
			}
			files, err := s.open(false)
			if err != nil {
				return err
			}
			defer files.close()
			if err := files.write(out); err != nil {
				files.remove()
				return err
			}
			if !out.KeyShown && g.output == "table" {
				if err := g.tell(func(p *page) {
					p.line("its private key is not kept here: `provision wireguard rotate %s` makes new keys", out.Peer)
				}); err != nil {
					return err
				}
			}
			return g.show(out, s)
		},
	}
	c.Flags().StringVar(&device, "interface", "", "`name` of the interface, where there are several")
	s.add(c)
	return c
}
