package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/overlay/tree"
)

// Overlay says how the spanning tree of the overlay stands. asked: nodes were asked, which needs root.
func (a *Agent) Overlay(ctx context.Context) (status tree.Status, asked bool, err error) {
	c := a.Config.Routing.Overlay
	if !c.Enabled() {
		return status, false, fmt.Errorf("%w: there is no overlay under routing of %s", ErrConfig, a.Source)
	}
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, fmt.Errorf("%w: routing.overlay.%s: %s", ErrConfig, p.Path, p.Text))
	}
	if err := errors.Join(errs...); err != nil {
		return status, false, err
	}
	seen, err := lookAtOverlay(ctx, c)
	if err != nil {
		return status, false, err
	}
	return tree.Report(seen), seen.Asked, nil
}

// overlayHosts are the nodes of the overlay, by name in the local domain. What the file says of a name goes
// before.
func overlayHosts(c dnsdhcp.Config, o overlay.Config) []dnsdhcp.Host {
	var out []dnsdhcp.Host
	for _, n := range o.Names() {
		if slices.ContainsFunc(c.Hosts, func(h dnsdhcp.Host) bool { return strings.EqualFold(h.Name, n.Node) }) {
			continue
		}
		h := dnsdhcp.Host{Name: n.Node}
		for _, a := range n.Addrs {
			h.Addresses = append(h.Addresses, a.String())
		}
		out = append(out, h)
	}
	return out
}
