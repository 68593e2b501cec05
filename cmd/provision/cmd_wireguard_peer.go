package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

// peerFlags are those of add; rotate has some of them.
type peerFlags struct {
	agent.WireguardPeer
	sheet
	allowed, except, addresses, behind []string
	keepalive                          uint16
}

func newWireguardAdd(g *globals) *cobra.Command {
	var o peerFlags
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a peer: its file for wg-quick and the apps, and a QR code for a phone",
		Long: `Make a peer with addresses of its own, a preshared key, and the file of its side, which goes to standard output; on a
terminal a QR code follows, of a size that fits. What is said about it goes to standard error. Others keep flowing.

The private key is made here, shown this once, and not kept (--keep-key keeps it, so that 'show' can show it again); or
it never leaves the peer, whose public key is given with --public-key. By default the peer sends everything by the
tunnel and asks this machine for names.` + "\n" + exitHelp,
		Args: nameArg("peer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if err := o.parse(cmd); err != nil {
				return err
			}
			a, err := g.tunnelAgent("add")
			if err != nil {
				return err
			}
			return g.handOut(cmd, o.sheet, o.WireguardPeer, a.WireguardAdd)
		},
	}
	f := c.Flags()
	tunnelFlags(c, &o.WireguardOptions)
	f.StringVar(&o.PublicKey, "public-key", "", "the peer's public `key`: its private key never leaves it")
	f.BoolVar(&o.KeepKey, "keep-key", false, "keep its private key here, so that it can be shown again")
	f.StringVar(&o.Route, "route", "", "what it sends by the tunnel: `full` (everything, the default), split (the tunnel and the LANs here) or lan (the LANs alone)")
	f.StringSliceVar(&o.allowed, "allowed-ips", nil, "the same as a list of `networks`")
	f.StringSliceVar(&o.except, "except", nil, "everything but these `networks`")
	f.StringSliceVar(&o.DNS, "dns", nil, "name `servers` it asks, and domains it searches; none: it keeps those it has; default is this machine")
	f.Uint16Var(&o.keepalive, "keepalive", 25, "`seconds` between packets that keep its way through NAT open; 0 is none")
	f.Uint16Var(&o.MTU, "mtu", 0, "its largest packet in `bytes`; default is its own choice")
	f.StringSliceVar(&o.addresses, "address", nil, "its `addresses` in the tunnel; default are the next ones that are free")
	f.StringSliceVar(&o.behind, "behind", nil, "`networks` behind it")
	f.StringVar(&o.Endpoint, "endpoint", "", "`host` or host:port where it finds this machine, if not where the others do")
	f.StringVar(&o.Call, "call", "", "`host:port` where this machine finds it, if it has a fixed place")
	o.sheet.add(c)
	return c
}

func (o *peerFlags) parse(cmd *cobra.Command) error {
	var err error
	for _, l := range []struct {
		flag string
		from []string
	}{{"allowed-ips", o.allowed}, {"except", o.except}, {"address", o.addresses}, {"behind", o.behind}} {
		list, perr := parsePrefixes(l.flag, l.from)
		err = errors.Join(err, perr)
		switch l.flag {
		case "allowed-ips":
			o.AllowedIPs = list
		case "except":
			o.Except = list
		case "address":
			o.Addresses = list
		case "behind":
			o.Behind = list
		}
	}
	switch {
	case err != nil:
		return err
	case len(o.AllowedIPs) > 0 && (o.Route != "" || len(o.Except) > 0):
		return usageError{errors.New("--allowed-ips is the whole list: it does not go with --route and --except")}
	case o.PublicKey != "" && o.KeepKey:
		return usageError{errors.New("--keep-key keeps a private key that is made here, and with --public-key none is")}
	case o.Route != "" && o.Route != agent.PeerFull && o.Route != agent.PeerSplit && o.Route != agent.PeerLAN:
		return usageError{fmt.Errorf("--route %q is not one of full, split, lan", o.Route)}
	}
	if cmd.Flags().Changed("keepalive") {
		o.Keepalive = &o.keepalive
	}
	return o.sheet.check(o.PublicKey != "")
}

func newWireguardRotate(g *globals) *cobra.Command {
	var (
		o   peerFlags
		own bool
	)
	c := &cobra.Command{
		Use:   "rotate [NAME]",
		Short: "Give a peer new keys, or this machine itself",
		Long: `Make new keys for a peer, and the file and QR code of its side, as add does; the old keys are worth nothing from then
on. With --own the interface itself gets a new key: every peer has to be told.` + "\n" + exitHelp,
		Args: oneArg("the name of a peer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 != own {
				return usageError{errors.New("rotate takes the name of a peer, or --own for the interface itself")}
			}
			if len(args) == 1 {
				o.Name = args[0]
			} else if o.PublicKey != "" || o.KeepKey || o.sheet.any() {
				return usageError{errors.New("--own makes a key for this machine: it has no file or code to show")}
			}
			if o.PublicKey != "" && o.KeepKey {
				return usageError{errors.New("--keep-key keeps a private key that is made here, and with --public-key none is")}
			}
			if err := o.sheet.check(o.PublicKey != ""); err != nil {
				return err
			}
			a, err := g.tunnelAgent("rotate")
			if err != nil {
				return err
			}
			if !own {
				return g.handOut(cmd, o.sheet, o.WireguardPeer, a.WireguardRotate)
			}
			out, err := a.WireguardRotate(cmd.Context(), o.WireguardPeer)
			if err != nil {
				return agentError(err)
			}
			return g.emit(out, func(p *page) {
				drawTunnelChange(p, out)
				p.line("%s has the public key %s now", p.bold(out.Interface), out.PublicKey)
				drawAgain(p, out)
				drawNotes(p, out.Notes)
			})
		},
	}
	tunnelFlags(c, &o.WireguardOptions)
	c.Flags().BoolVar(&own, "own", false, "a new key for the interface itself")
	c.Flags().StringVar(&o.PublicKey, "public-key", "", "the peer's new public `key`: its private key never leaves it")
	c.Flags().BoolVar(&o.KeepKey, "keep-key", false, "keep its private key here, so that it can be shown again")
	o.sheet.add(c)
	return c
}

func newWireguardRemove(g *globals) *cobra.Command {
	var (
		o   agent.WireguardOptions
		all bool
	)
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take away a peer, or with --all an interface and all its peers",
		Long: `Take away a peer while the others keep flowing. 'remove --interface wg0 --all' takes away the interface, its key, its
peers, and whatever was there for them: forwarding, the opening of the firewall, what comes back at boot.` + "\n" + exitHelp,
		Args: oneArg("the name of a peer"),
		RunE: func(cmd *cobra.Command, args []string) error {
			peer := strings.Join(args, "")
			switch {
			case all && (peer != "" || o.Interface == ""):
				return usageError{errors.New("--all takes away an interface: name it with --interface, and no peer")}
			case !all && peer == "":
				return usageError{errors.New("remove takes the name of a peer, or --interface NAME --all")}
			}
			a, err := g.tunnelAgent("remove")
			if err != nil {
				return err
			}
			out, err := a.WireguardRemove(cmd.Context(), o, peer, all)
			if err != nil {
				return agentError(err)
			}
			if err := g.emit(out, func(p *page) {
				drawTunnelChange(p, out)
				switch {
				case o.DryRun:
				case all:
					p.line("%s is gone", p.bold(out.Interface))
				default:
					p.line("%s is no peer of %s any more", p.bold(peer), out.Interface)
				}
				drawNotes(p, out.Notes)
			}); err != nil {
				return err
			}
			return foreignLeft(out.Result)
		},
	}
	tunnelFlags(c, &o)
	c.Flags().BoolVar(&all, "all", false, "the interface, and all its peers")
	return c
}
