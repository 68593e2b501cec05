package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/overlay"
)

// WithOverlay is c with the tunnel below the overlay beside the other interfaces of WireGuard, as who
// reads keys, asks for names or lists peers wants it. An overlay that has problems adds nothing, and who
// does it twice gets the same.
func (c Config) WithOverlay() Config {
	if len(c.Overlay.Problems()) == 0 {
		for name, i := range c.Overlay.WireGuard() {
			if _, twice := c.WireGuard[name]; !twice {
				c.WireGuard = c.WireGuard.With(name, i)
			}
		}
	}
	return c
}

// overlayProblems are those of the overlay, with devices that are somebody else's here too.
func (c Config) overlayProblems() []overlay.Problem {
	out := c.Overlay.Problems()
	if len(out) > 0 {
		return out
	}
	for name, i := range c.Overlay.WireGuard() {
		if have, twice := c.WireGuard[name]; twice && !reflect.DeepEqual(have, i) {
			out = append(out, overlay.Problem{Path: "interface", Text: name + " is under wireguard too: give the overlay's device another name"})
		}
	}
	return out
}

// bridged lets frames between the wires pass a policy, which is for routed packets: where br_netfilter is
// loaded, as docker has it, they go through the forward chains too, also of a bridge that is made later.
func (c Config) bridged(t nft.Table) nft.Table {
	if !c.Overlay.Enabled() {
		return t
	}
	t.Chains = slices.Clone(t.Chains)
	for i, chain := range t.Chains {
		if chain.Base != nil && chain.Base.Hook == "forward" {
			t.Chains[i].Rules = append(foreign.Exempt([]string{c.Overlay.Switch()}), chain.Rules...)
		}
	}
	return t
}

// wires plans what is above the tunnel.
func (c Config) wires(in Input) (overlay.Result, error) {
	path := c.Overlay.PrivateKeyFile
	f, known := in.WireGuard.Keys[path]
	if c.Overlay.Enabled() && (!known || errors.Is(f.Err, fs.ErrNotExist)) {
		return overlay.Result{}, fmt.Errorf("routing.overlay.private-key-file: %s is not there: `(umask 077; wg genkey > %s)` makes a key, and `wg pubkey < %s` prints what %s has under public-key", path, path, path, c.Overlay.Node)
	}
	// What else is wrong with the file the tunnel's plan says.
	k, _ := wgresource.ParseKey(strings.TrimSpace(string(f.Text)))
	return overlay.Plan(overlay.Input{Facts: in.Facts, PrivateKey: k}, c.Overlay)
}
