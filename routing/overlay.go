package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
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
