package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/routing/wireguard"
)

func newWireguard(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "wireguard",
		Short: "WireGuard: make a server, add phones and machines to it, see how they fare",
		Long: `Make WireGuard interfaces and peers. What these commands add is a file each in ` + wireguard.Folder + `,
readable by root alone; your configuration file is not touched, and what it says under routing.wireguard stands beside.` + "\n" + exitHelp,
		Args: groupArgs,
		RunE: group,
	}
	c.AddCommand(newWireguardInit(g), newWireguardAdd(g), newWireguardRemove(g), newWireguardRotate(g), newWireguardList(g), newWireguardShow(g),
		newWireguardImport(g), newWireguardExport(g), newWireguardCheck(g), newWireguardRun(g))
	return c
}

// tunnelFlags are those of every command that changes tunnels.
func tunnelFlags(c *cobra.Command, o *agent.WireguardOptions) {
	c.Flags().StringVar(&o.Interface, "interface", "", "`name` of the interface, where there are several")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "only show what would be done")
	c.Flags().BoolVar(&o.Force, "force", false, "also where an SSH session would be lost")
}

// nameArg wants one name.
func nameArg(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes the name of one %s, got %d arguments", c.CommandPath(), what, len(args))}
		}
		return nil
	}
}

// tunnelAgent is for whoever changes tunnels or reads keys: root only.
func (g *globals) tunnelAgent(command string) (*agent.Agent, error) {
	if err := g.needRoot("wireguard " + command); err != nil {
		return nil, err
	}
	return g.agent()
}

func newWireguardInit(g *globals) *cobra.Command {
	var (
		o                            agent.WireguardInit
		endpoint, manage, lan, route string
		port                         uint16
		addresses                    []string
	)
	c := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Make this machine a WireGuard server, for IPv4 and IPv6",
		Long: `Make the interface NAME (wg0) with new keys, a private network of each family, a port, forwarding, address translation
or public addresses as the way out allows, an opening in the firewall, and this machine's name server for its peers.
It comes back at boot. Then 'provision wireguard add phone' makes a peer.

It is asked, or said with --manage, whether peers may manage this machine (SSH and whatever else it has); without an
answer they may not, and reach only what is behind it. Where the interface is there already, what is said is changed
and the rest stays: keys, addresses, peers.` + "\n" + exitHelp,
		Args: oneArg("the name of an interface"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := cmd.Flags()
			if len(args) == 1 {
				o.Interface = args[0]
			}
			var err error
			if o.Addresses, err = parsePrefixes("address", addresses); err != nil {
				return err
			}
			if route != "" {
				if o.Prefix, err = netip.ParsePrefix(route); err != nil {
					return usageError{fmt.Errorf("--prefix %q is no network such as 2001:db8:1:2::/64", route)}
				}
			}
			if f.Changed("endpoint") {
				o.Endpoint = &endpoint
			}
			if f.Changed("listen-port") {
				o.ListenPort = &port
			}
			if f.Changed("lan-access") {
				o.LANAccess = &lan
			}
			if o.NAT != "" && !slices.Contains([]string{"auto", "yes", "no"}, o.NAT) {
				return usageError{fmt.Errorf("--nat %q is not one of auto, yes, no", o.NAT)}
			}
			if manage != "" {
				if manage != "yes" && manage != "no" {
					return usageError{fmt.Errorf("--manage %q is not yes or no", manage)}
				}
				yes := manage == "yes"
				o.Management = &yes
			}
			a, err := g.tunnelAgent("init")
			if err != nil {
				return err
			}
			if o.Management == nil && !o.DryRun && !a.WireguardKnows(o.Interface) {
				yes, said, err := g.ask(cmd, "May peers manage this machine (SSH and whatever else it has)? [y/N] ")
				if err != nil {
					return err
				}
				if said {
					o.Management = &yes
				}
			}
			out, err := a.WireguardInit(cmd.Context(), o)
			if err != nil {
				return agentError(err)
			}
			return g.emit(out, func(p *page) { drawTunnel(p, out) })
		},
	}
	f := c.Flags()
	f.StringVar(&endpoint, "endpoint", "", "`host` or host:port where peers find this machine; default is its public address")
	f.StringVar(&manage, "manage", "", "`yes or no`: whether peers may manage this machine")
	f.Uint16Var(&port, "listen-port", 0, "UDP `port`; default is 51820, or the next one that is free")
	f.StringSliceVar(&addresses, "address", nil, "this machine's `address/length` in the tunnel, one for each family; default is drawn at random")
	f.StringVar(&route, "prefix", "", "public IPv6 `network` that is routed to this machine, for its peers")
	f.StringSliceVar(&o.Reach, "reach", nil, "what peers reach: internet, peers (each other), `zones` of the firewall, or nothing; default is internet,peers")
	f.StringVar(&o.NAT, "nat", "", "`auto`, yes or no: hide peers behind this machine's address")
	f.StringVar(&o.Zone, "zone", "", "`zone` of the firewall; default is vpn")
	f.StringVar(&lan, "lan-access", "", "`interface` of a LAN on which peers are answered for, so that they are reached there")
	f.Uint16Var(&o.MTU, "mtu", 0, "largest packet in `bytes`; default is what the path leaves")
	f.BoolVar(&o.DryRun, "dry-run", false, "only show what would be done")
	f.BoolVar(&o.Force, "force", false, "also where an SSH session would be lost")
	return c
}

// ask puts a question to a person at a terminal; said is false where there is none. The error is why the command ends instead.
func (g *globals) ask(cmd *cobra.Command, question string) (yes, said bool, err error) {
	f, ok := cmd.InOrStdin().(*os.File)
	if !ok || g.output != "table" {
		return false, false, nil
	}
	if !isTerminal(f) {
		return false, false, nil
	}
	fmt.Fprint(g.prompt(), question)
	answer, err := awaitLine(cmd.Context(), f)
	if cause := context.Cause(cmd.Context()); cause != nil {
		fmt.Fprintln(g.stderr)
		return false, false, cause
	}
	if err != nil {
		return false, true, nil
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", true, nil
}

func parsePrefixes(flag string, list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			a, aerr := netip.ParseAddr(strings.TrimSpace(text))
			if aerr != nil || a.Zone() != "" {
				return nil, usageError{fmt.Errorf("--%s %q is no address and no network", flag, text)}
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

// agentError gives errors of usage their status.
func agentError(err error) error {
	var u agent.UsageError
	if errors.As(err, &u) {
		return usageError{u.Err}
	}
	return err
}

func drawTunnel(p *page, o agent.WireguardOutcome) {
	drawTunnelChange(p, o)
	p.line("%s: %s, UDP port %d, public key %s", p.bold(o.Interface), strings.Join(o.Addresses, " "), o.ListenPort, o.PublicKey)
	if o.Endpoint != "" {
		p.line("peers find it at %s", o.Endpoint)
	}
	if o.Management != nil {
		switch {
		case *o.Management:
			p.line("%s: zone %s may manage this machine; --manage no changes that", p.yellow("peers may manage it"), o.Zone)
		default:
			p.line("peers may not manage it: zone %s reaches what is behind this machine, and its name server; --manage yes changes that", o.Zone)
		}
	}
	drawAgain(p, o)
	drawNotes(p, o.Notes)
	if !o.DryRun {
		p.line("next: `provision wireguard add phone`")
	}
}

// drawTunnelChange shows what was done, or would be.
func drawTunnelChange(p *page, o agent.WireguardOutcome) {
	if !o.DryRun {
		drawEffects(p, o.Result)
		for _, r := range o.Result.Foreign {
			p.line("%s %s was changed by somebody else, and is left", p.yellow("!"), p.ref(r))
		}
		drawNotes(p, warnings(o.Result.Notes))
		if o.Result.Writes > 0 {
			p.line("%s (%s, %s)", p.green("done"), count(o.Result.Writes, "write"), o.Took.Round(time.Millisecond))
		}
		return
	}
	if o.Plan.Empty() {
		p.line("%s", p.green("nothing would be changed on the machine"))
	}
	for _, c := range o.Plan.Changes {
		drawChange(p, c)
	}
	drawNotes(p, o.Plan.Notes)
}

func drawAgain(p *page, o agent.WireguardOutcome) {
	if len(o.Again) > 0 {
		p.line("%s: their files say something else now: %s", p.yellow("tell these peers"), strings.Join(o.Again, ", "))
	}
}

// foreignLeft ends a command with status 2 where something of somebody else's was left.
func foreignLeft(r provision.Result) error {
	if len(r.Foreign) > 0 {
		return errDifferences
	}
	return nil
}
