package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sort"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/wireguard"
)

// routingConfig is the slice "routing" with the interfaces and peers that commands added, and the tunnel
// of the overlay.
func (a *Agent) routingConfig() (routing.Config, error) {
	added, err := a.wireguardAdded()
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		added, err = wireguard.Added{}, nil // who may not read them plans without
	}
	c := a.Config.Routing
	if err == nil {
		c.WireGuard, err = mergeWireguard(c.WireGuard, added)
	}
	return c.WithOverlay(), err
}

func mergeWireguard(c wireguard.Config, added wireguard.Added) (wireguard.Config, error) {
	merged, problems := c.Merge(added)
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("routing.wireguard.%s: %s", p.Path, p.Text))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return merged, nil
}

// wireguardInput is what the tunnels' plan needs of this machine beside facts.
func (a *Agent) wireguardInput(c wireguard.Config) wireguard.Input {
	return wireguard.Input{Keys: a.keyFiles(c), Unprivileged: os.Geteuid() != 0 && !a.offline()}
}

// resolving are the devices on which peers ask this machine for names, sorted: those that it is a
// router for, and those whose peers were told nothing else.
func resolving(c wireguard.Config) []string {
	var out []string
	for name, i := range c {
		asks := len(i.Reach) > 0
		for _, p := range i.Peers {
			asks = asks || p.Client != nil && len(p.Client.DNS) == 0
		}
		if asks && i.Route != wireguard.RouteFull {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// tunnelRules are the rules for these devices: nothing but names is served to peers, who have their
// addresses already. What the file says of a device goes before.
func tunnelRules(c dnsdhcp.Config, devices []string) []dnsdhcp.Rule {
	off := false
	var out []dnsdhcp.Rule
	for _, d := range devices {
		if _, said := ruleOf(c, d); said {
			continue
		}
		out = append(out, dnsdhcp.Rule{Match: dnsdhcp.Match{Name: d},
			DHCP4: dnsdhcp.DHCP4{Enabled: &off}, RA: dnsdhcp.RA{Enabled: &off}, DHCP6: dnsdhcp.DHCP6{Enabled: &off}, MDNS: dnsdhcp.MDNS{Enabled: &off},
			DNS: dnsdhcp.LinkDNS{OwnNames: &off}})
	}
	return out
}

// insideNames are the names by which peers find this machine. A phone that is at home finds it by them
// too, and by the router's public address only where that leads back in.
func insideNames(have []string, c wireguard.Config) []string {
	out := slices.Clone(have)
	add := func(endpoint string) {
		host, _, why := wireguard.SplitEndpoint(endpoint, true)
		if _, err := netip.ParseAddr(host); endpoint == "" || why != "" || err == nil || !slices.Contains([]byte(host), '.') || slices.Contains(out, host) {
			return
		}
		out = append(out, host)
	}
	for _, i := range c {
		if i.ListenPort == 0 {
			continue
		}
		add(i.PublicEndpoint)
		for _, p := range i.Peers {
			if p.Client != nil {
				add(p.Client.Endpoint)
			}
		}
	}
	sort.Strings(out[len(have):])
	return out
}
