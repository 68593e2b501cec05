package agent

import (
	"context"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/host/lookup"
	"github.com/provision-net/provision/provision/resource/nft"
	resource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/names"
)

// endpoints is the machine as the job of endpoints by name sees it.
type endpoints struct {
	agent  *Agent
	guards func(device string) bool // a kill switch lets out what goes to its endpoints only
	tables Sets
}

// Device implements names.World.
func (endpoints) Device(ctx context.Context, name string) (*resource.Device, error) {
	return resource.Read(ctx, "", name)
}

// Lookup implements names.World.
func (e endpoints) Lookup(ctx context.Context, host string, mark uint32) ([]netip.Addr, error) {
	f, err := e.agent.Facts(ctx)
	if err != nil {
		return nil, err
	}
	tunnels, err := resource.Names(ctx, "")
	if err != nil {
		return nil, err
	}
	state, err := e.agent.kept()
	if err != nil {
		return nil, err
	}
	var first []netip.AddrPort
	if state.Switch != nil {
		first = state.Switch.Input.Config.Bootstrap()
	}
	return lookup.Addrs(ctx, host, slices.Concat(first, state.NameServers, names.Servers(f, tunnels)), mark)
}

// Point implements names.World.
func (endpoints) Point(ctx context.Context, n wireguard.Named, at netip.AddrPort) error {
	return resource.SetEndpoint(ctx, "", n.Device, n.PublicKey, at.String())
}

// Allow implements names.World.
func (e endpoints) Allow(ctx context.Context, n wireguard.Named, at netip.AddrPort) error {
	if !e.guards(n.Device) {
		return nil
	}
	set, element := killswitch.Resolved(at)
	return e.tables.Learn(ctx, nft.OwnFamily, nft.OwnTable, set, []nft.Element{element})
}
