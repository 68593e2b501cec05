package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/provision-net/provision/provision"
	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/health"
)

// WireguardSeen is where it is kept what was seen of peers, until the next boot.
const WireguardSeen = "/run/provision/wireguard-seen.json"

// WireguardList is what there is of WireGuard.
type WireguardList struct {
	Interfaces []WireguardInterface `json:"interfaces"`
	Notes      []string             `json:"notes,omitempty"`
}

// WireguardInterface is one interface. Up and Userspace are as the machine has it.
type WireguardInterface struct {
	Name       string          `json:"name"`
	Ours       bool            `json:"configured"`
	Up         bool            `json:"up"`
	Userspace  bool            `json:"userspace,omitempty"`
	PublicKey  string          `json:"public_key,omitempty"`
	ListenPort uint16          `json:"listen_port,omitempty"`
	Addresses  []string        `json:"addresses,omitempty"`
	Endpoint   string          `json:"endpoint,omitempty"` // where peers find this machine
	Zone       string          `json:"zone,omitempty"`
	Management *bool           `json:"management,omitempty"`
	Peers      []WireguardLine `json:"peers"`
	Warnings   []string        `json:"warnings,omitempty"`
}

// WireguardLine is one peer.
type WireguardLine struct {
	Name       string   `json:"name,omitempty"` // empty: nobody configured it
	PublicKey  string   `json:"public_key"`
	AllowedIPs []string `json:"allowed_ips"`
	Endpoint   string   `json:"endpoint,omitempty"`
	// Handshake is when the last one was.
	Handshake time.Time     `json:"latest_handshake,omitzero"`
	Age       time.Duration `json:"handshake_age_ns,omitempty"`
	Alive     bool          `json:"alive"`
	Received  uint64        `json:"received_bytes"`
	Sent      uint64        `json:"sent_bytes"`
	Keepalive uint16        `json:"persistent_keepalive,omitempty"`
	KeyKept   bool          `json:"key_kept"` // its private key is kept here
	Warnings  []string      `json:"warnings,omitempty"`
}

// WireguardPeers lists interfaces and peers, and what is wrong with them as far as it shows. With watch
// it looks again every second for so long: two devices with one key show themselves soon.
func (a *Agent) WireguardPeers(ctx context.Context, device string, watch time.Duration) (WireguardList, error) {
	out := WireguardList{Interfaces: []WireguardInterface{}}
	c, err := a.routingConfig()
	if err != nil {
		return out, err
	}
	if os.Geteuid() != 0 {
		out.Notes = append(out.Notes, "only root can read which peers there are (sudo)")
	}
	var live map[string]*keys.Device
	before, seen := health.History{}, health.History{}
	if !a.offline() {
		if live, before, seen, err = a.lookAtTunnels(ctx, watch); err != nil {
			return out, err
		}
	}
	names := slices.Sorted(maps.Keys(c.WireGuard))
	for _, n := range slices.Sorted(maps.Keys(live)) {
		if !c.WireGuard.Has(n) {
			names = append(names, n)
		}
	}
	now := time.Now()
	for _, name := range names {
		if device != "" && name != device {
			continue
		}
		l := describe(name, c.WireGuard, live[name], now, before[name], seen[name])
		if _, there := live[name]; !there && !a.offline() {
			l.Warnings = append(l.Warnings, "there is no such device: `provision apply` makes it")
		}
		out.Interfaces = append(out.Interfaces, l)
	}
	if device != "" && len(out.Interfaces) == 0 {
		_, err := chooseTunnel(c.WireGuard, device)
		return out, err
	}
	return out, nil
}

// lookAtTunnels reads the devices and notes what is seen.
func (a *Agent) lookAtTunnels(ctx context.Context, watch time.Duration) (live map[string]*keys.Device, before, seen health.History, err error) {
	before, seen = readSeen(), readSeen()
	if watch > 0 {
		provision.Waiting{Text: "watching peers", Limit: watch}.Tell(ctx)
	}
	end := time.Now().Add(watch)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if live, err = liveTunnels(ctx); err != nil {
			return nil, before, seen, err
		}
		now := time.Now()
		for _, d := range live {
			if d != nil {
				seen.Note(d, now)
			}
		}
		if now.After(end) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, before, seen, context.Cause(ctx)
		}
	}
	if len(live) > 0 {
		writeSeen(seen) // who may not remember it sees it all the same
	}
	return live, before, seen, nil
}

func readSeen() health.History {
	h := health.History{}
	if text, err := readBounded(WireguardSeen, 16<<20); err == nil && json.Unmarshal(text, &h) != nil {
		return health.History{}
	}
	return h
}

func writeSeen(h health.History) {
	text, err := json.Marshal(h)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	dir := filepath.Dir(WireguardSeen)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return
	}
	f, err := os.CreateTemp(dir, ".seen-") // mode 0600
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), WireguardSeen)
	}
	if err != nil {
		os.Remove(f.Name())
	}
}

// describe puts together what is configured and what is.
func describe(name string, c wireguard.Config, d *keys.Device, now time.Time, before, seen map[string]health.Seen) WireguardInterface {
	i, ours := c[name]
	out := WireguardInterface{Name: name, Ours: ours, Peers: []WireguardLine{}, Addresses: i.Addresses, ListenPort: i.ListenPort, Endpoint: i.PublicEndpoint, Zone: i.FirewallZone(), Management: i.Management}
	if k, err := keys.ParseKey(i.PrivateKey); err == nil && k != (keys.Key{}) {
		out.PublicKey = k.Public().String()
	}
	if d != nil {
		out.Up, out.Userspace, out.PublicKey, out.ListenPort = d.Up, d.Userspace, d.PublicKey.String(), d.ListenPort
		if ours && i.ListenPort != 0 && d.ListenPort != i.ListenPort {
			out.Warnings = append(out.Warnings, "it listens on another port than it should: `provision apply` puts it back")
		}
		if ours && !d.Up {
			out.Warnings = append(out.Warnings, "it is down: `provision apply` brings it up")
		}
	}
	known := map[keys.Key]bool{}
	for _, peer := range slices.Sorted(maps.Keys(i.Peers)) {
		p := i.Peers[peer]
		k, _ := keys.ParseKey(p.PublicKey)
		known[k] = true
		line := WireguardLine{Name: peer, PublicKey: p.PublicKey, AllowedIPs: p.AllowedIPs, Keepalive: p.PersistentKeepalive}
		h := faring(peer, p)
		var allowed []netip.Prefix
		for _, text := range p.AllowedIPs {
			if a, why := wireguard.ParseAllowed(text); why == "" {
				allowed = append(allowed, a)
			}
		}
		h.Allowed = keys.FormatAllowedIPs(allowed)
		if cl := p.Client; cl != nil {
			line.KeyKept = cl.PrivateKey != ""
		}
		if d != nil {
			live := d.Peer(k)
			line.live(live, now)
			line.Warnings = health.Warnings(h, live, before[p.PublicKey], seen[p.PublicKey], now)
		}
		out.Peers = append(out.Peers, line)
	}
	if d == nil {
		return out
	}
	for n := range d.Peers {
		p := &d.Peers[n]
		if known[p.PublicKey] {
			continue
		}
		line := WireguardLine{PublicKey: p.PublicKey.String(), AllowedIPs: []string{}, Keepalive: p.PersistentKeepalive}
		for _, a := range p.AllowedIPs {
			line.AllowedIPs = append(line.AllowedIPs, a.String())
		}
		line.live(p, now)
		if ours {
			line.Warnings = []string{"nobody configured it: somebody else added it"}
		}
		out.Peers = append(out.Peers, line)
	}
	return out
}

// faring is what matters of a peer for how it fares.
func faring(name string, p wireguard.Peer) health.Peer {
	h := health.Peer{Name: name, Calls: p.Endpoint != "", Own: p.PersistentKeepalive}
	if p.Client != nil {
		h.Keepalive = p.Client.PersistentKeepalive
	}
	return h
}

// watchedPeers are those of the configuration's file, those that commands added, and those of the overlay.
// What cannot be read now is not watched: apply says what is wrong with it.
func (a *Agent) watchedPeers(c routing.Config) health.Watched {
	if added, err := a.wireguardAdded(); err == nil {
		if merged, err := mergeWireguard(c.WireGuard, added); err == nil {
			c.WireGuard = merged
		}
	}
	out := health.Watched{}
	for device, i := range c.WithOverlay().WireGuard {
		for name, p := range i.Peers {
			k, err := keys.ParseKey(p.PublicKey)
			if err != nil {
				continue
			}
			if out[device] == nil {
				out[device] = map[keys.Key]health.Peer{}
			}
			out[device][k] = faring(name, p)
		}
	}
	return out
}

func (l *WireguardLine) live(p *keys.Peer, now time.Time) {
	if p == nil {
		return
	}
	if p.Endpoint.IsValid() {
		l.Endpoint = p.Endpoint.String()
	}
	l.Received, l.Sent = p.Received, p.Sent
	if !p.LastHandshake.IsZero() {
		l.Handshake, l.Age = p.LastHandshake.UTC(), max(now.Sub(p.LastHandshake), 0)
	}
	l.Alive = health.Alive(p.LastHandshake, now)
}
