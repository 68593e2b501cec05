package agent

import (
	"context"
	"fmt"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/firewall"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/killswitch"
)

// Firewall is the policy as it is compiled, and as it fares on this machine.
type Firewall struct {
	Table nft.Table `json:"table"`
	// Loaded: the kernel's table could be read; Differs says in what it is not the compiled one.
	Loaded   bool              `json:"loaded"`
	Differs  string            `json:"differs,omitempty"`
	Cuts     []firewall.Cut    `json:"cuts,omitempty"`
	Others   []foreign.Product `json:"others,omitempty"`
	Findings []foreign.Finding `json:"findings,omitempty"`
	Notes    []provision.Note  `json:"notes,omitempty"`
	// Switch is how the kill switch stands, as far as a watch runs that knows.
	Switch *killswitch.State `json:"kill_switch,omitempty"`
}

// Firewall compiles the policy and compares it with the machine.
func (a *Agent) Firewall(ctx context.Context) (Firewall, error) {
	f, err := a.Facts(ctx)
	if err != nil {
		return Firewall{}, err
	}
	r, err := a.wayOut(ctx, f)
	if err != nil {
		return Firewall{}, err
	}
	if r.Table == nil {
		return Firewall{}, fmt.Errorf("%w: %s names no zones and no kill switch under routing, so there is no firewall", ErrConfig, a.Source)
	}
	out := Firewall{Table: *r.Table, Cuts: r.Cuts, Notes: r.Desired.Notes}
	if a.offline() {
		return out, nil
	}
	seen, err := a.seen(ctx, f)
	if err != nil {
		return out, err
	}
	out.Others, out.Findings = foreign.Detect(seen), foreign.Report(seen, r.Flows)
	out.Notes = append(out.Notes, foreign.Notes(seen)...)
	live, err := a.live(ctx)
	if err != nil {
		return out, nil // who may not read it still learns the rest
	}
	out.Loaded = true
	switch {
	case live == nil:
		out.Differs = "it is not loaded"
	case nft.Format(*live) != nft.Format(*r.Table):
		out.Differs = "it is loaded, and not as it is compiled"
	}
	return out, nil
}

// Live is the kernel's own table; nil when there is none.
func (a *Agent) Live(ctx context.Context) (*nft.Table, error) { return a.live(ctx) }
