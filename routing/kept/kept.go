// Package kept is the state that a kernel forgets at a reboot and that no network manager
// brings back: the own nf_tables table, routes, policy rules and kernel parameters. Apply
// writes it to a file beside the rest, as one more want; `provision restore` sets it before
// the network comes up, and `provision watch` keeps it. So a wrong edit of the configuration
// cannot open a firewall at the next boot: what was committed last is what comes back.
package kept

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"unicode/utf8"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/file"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
)

// Path of the file. It is 0600: a table's comments and addresses are nobody else's business.
const Path = "/var/lib/provision/kernel.json"

// MaxBytes is the most that Parse takes; large sets are not in the file but beside it, by digest.
const MaxBytes = 16 << 20

// version of the file's format.
const version = 1

// State is what the file holds.
type State struct {
	Wants []provision.Want
	// Switch is the kill switch, nil when there is none: it has a life of its own beside the wants.
	Switch *Switch
	// Lists are the lists whose addresses are in sets of the own table, which have a life of their own too.
	Lists lists.Config
	// Endpoints are the peers that are called by name: where they are is found out again and again.
	Endpoints []wireguard.Named
	// Resolved is what their names meant when they were committed: a plan that asked again would open
	// a kill switch for another address each time.
	Resolved map[string][]netip.Addr
	// NameServers were asked beside the tunnels before theirs took the place in resolv.conf(5).
	NameServers []netip.AddrPort
	// Proxies are answered for on LANs; the kernel forgets them with the LAN's device too.
	Proxies []watch.ProxyLink
}

// Switch is what a kill switch is made from, and where its rules stand.
type Switch struct {
	Input killswitch.Input `json:"input"`
	// Priority is that of the first of its policy rules: three of detours, then those that lead
	// into the tunnel's table.
	Priority uint32 `json:"priority"`
}

type state struct {
	Version int          `json:"version"`
	Wants   []want       `json:"wants"`
	Switch  *Switch      `json:"kill_switch,omitempty"`
	Lists   lists.Config `json:"lists,omitempty"`
	// Endpoints has fields of its own: a key is text.
	Endpoints []endpoint              `json:"endpoints,omitempty"`
	Resolved  map[string][]netip.Addr `json:"resolved,omitempty"`
	Proxies   []watch.ProxyLink       `json:"proxies,omitempty"`
	Servers   []netip.AddrPort        `json:"name_servers,omitempty"`
}

type endpoint struct {
	Device    string `json:"device"`
	Peer      string `json:"peer"`
	PublicKey string `json:"public_key"`
	Host      string `json:"host"`
	Port      uint16 `json:"port"`
}

type want struct {
	Kind  string            `json:"kind"`
	Name  string            `json:"name"`
	Attrs map[string]string `json:"attrs"`
	Why   string            `json:"why,omitempty"`
	Mode  provision.Mode    `json:"mode,omitempty"`
}

// Of picks from wants what belongs into the file, in the same order. kinds are the kinds of
// kernel state; what should be absent is not there after a boot anyway.
func Of(wants []provision.Want, kinds ...string) []provision.Want {
	var out []provision.Want
	for _, w := range wants {
		for _, k := range kinds {
			if w.Kind == k && w.Attrs != nil && w.Mode != provision.Report {
				out = append(out, w)
			}
		}
	}
	return out
}

// Want asks for the file with this state in it.
func Want(k State) (provision.Want, error) {
	s := state{Version: version, Switch: k.Switch, Lists: k.Lists, Resolved: k.Resolved, Proxies: k.Proxies, Servers: k.NameServers}
	for _, e := range k.Endpoints {
		s.Endpoints = append(s.Endpoints, endpoint{e.Device, e.Peer, e.PublicKey.String(), e.Host, e.Port})
	}
	for _, w := range k.Wants {
		for k, v := range w.Attrs {
			if !utf8.ValidString(v) {
				return provision.Want{}, fmt.Errorf("cannot keep %s: its %s is not text", w.Ref, k)
			}
		}
		s.Wants = append(s.Wants, want{w.Kind, w.Name, w.Attrs, w.Why, w.Mode})
	}
	text, err := s.text()
	if err != nil {
		return provision.Want{}, fmt.Errorf("cannot keep the kernel's state: %w", err)
	}
	if len(text) > MaxBytes {
		return provision.Want{}, fmt.Errorf("cannot keep the kernel's state: it takes %d bytes, more than %d", len(text), MaxBytes)
	}
	return file.Secret(Path, append(text, '\n'), 0o600, "what is put back after a reboot"), nil
}

// Parse reads the file.
func Parse(text []byte) (State, error) {
	if len(text) > MaxBytes {
		return State{}, fmt.Errorf("%s is larger than %d bytes", Path, MaxBytes)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return State{}, fmt.Errorf("%s cannot be read: %w; `provision apply` writes it anew", Path, err)
	}
	if s.Version != version {
		return State{}, fmt.Errorf("%s has version %d and this program knows %d: `provision apply` writes it anew", Path, s.Version, version)
	}
	out := State{Switch: s.Switch, Lists: s.Lists, Resolved: s.Resolved, Proxies: s.Proxies, NameServers: s.Servers}
	var errs []error
	for i, w := range s.Wants {
		if w.Kind == "" || w.Name == "" || w.Attrs == nil {
			errs = append(errs, fmt.Errorf("%s: entry %d names nothing", Path, i+1))
			continue
		}
		out.Wants = append(out.Wants, provision.Want{Ref: provision.Ref{Kind: w.Kind, Name: w.Name}, Attrs: w.Attrs, Why: w.Why, Mode: w.Mode})
	}
	for i, e := range s.Endpoints {
		key, err := wgresource.ParseKey(e.PublicKey)
		if err != nil || e.Device == "" || e.Host == "" {
			errs = append(errs, fmt.Errorf("%s: endpoint %d names no peer", Path, i+1))
			continue
		}
		out.Endpoints = append(out.Endpoints, wireguard.Named{Device: e.Device, Peer: e.Peer, PublicKey: key, Host: e.Host, Port: e.Port})
	}
	return out, errors.Join(errs...)
}
