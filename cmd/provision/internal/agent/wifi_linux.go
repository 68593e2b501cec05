package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/backends/wifi"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	air "github.com/provision-net/provision/provision/host/wifi"
	"github.com/provision-net/provision/provision/resource/wlan"
	"github.com/provision-net/provision/provision/resource/wpaconf"
)

// wifiResources registers what the planner of Wi-Fi wants beside files.
func (a *Agent) wifiResources(e *provision.Engine, root *host.Root) {
	e.Resources[wpaconf.Kind] = &wpaconf.Resource{FS: root}
	if !a.offline() {
		actor := &wlan.Actor{Log: a.Log, Files: root}
		e.Actors[wlan.KindReconfigure], e.Actors[wlan.KindCountry] = actor, actor
	}
}

// wifiWatch hears of failures while they happen.
type wifiWatch struct{ nm *air.NMWatch }

func (w wifiWatch) Close() { w.nm.Close() }

func (a *Agent) watchWifi(ctx context.Context, l facts.Link) wifiWatch {
	if a.offline() {
		return wifiWatch{}
	}
	return wifiWatch{air.WatchNM(ctx, l.Name)}
}

// onlySAE reports whether every access point of that name that was heard wants WPA3.
func (a *Agent) onlySAE(ctx context.Context, l facts.Link, ssid string) bool {
	if a.offline() || l.Index == 0 {
		return false
	}
	cells, _ := air.Around(ctx, l.Index) // what was not heard decides nothing
	seen := false
	for _, c := range cells {
		if c.SSID == ssid {
			if c.PSK || !c.SAE {
				return false
			}
			seen = true
		}
	}
	return seen
}

// wifiPoll is how often the device is asked while it joins: an association takes a second or more.
const wifiPoll = 250 * time.Millisecond

// awaitWifi waits until the device has joined the network, or has not.
func (a *Agent) awaitWifi(ctx context.Context, w wifiWatch, l facts.Link, n wifi.Network, limit time.Duration, out *WifiOutcome) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stage, in := air.Trying, ""
	provision.Waiting{Text: "joining " + wifi.Show(n.SSID), Limit: limit}.Tell(ctx)
	tick := time.NewTicker(wifiPoll)
	defer tick.Stop()
	for refused := 0; ; {
		stage, in = wifiStage(ctx, w, l, n.SSID)
		switch stage {
		case air.WrongKey, air.Rejected:
			// A first try may fail for other reasons: it counts when it is still so a little later.
			if refused++; refused > 8 {
				out.say(stage, in, n, l)
				return
			}
		case air.Joined:
			if cells, err := air.Around(ctx, l.Index); err == nil {
				for _, c := range cells {
					if c.Associated {
						out.Signal = c.Signal
					}
				}
			}
			out.say(stage, in, n, l)
			return
		case air.Elsewhere:
			out.say(stage, in, n, l)
			return
		default:
			refused = 0
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	// Time is up: what was heard says more than that nothing happened.
	ctx = context.WithoutCancel(ctx)
	if cells, err := air.Around(ctx, l.Index); err == nil && stage == air.Trying && !n.Hidden {
		here := slices.ContainsFunc(cells, func(c air.Cell) bool { return c.SSID == n.SSID })
		wpa3 := here && !slices.ContainsFunc(cells, func(c air.Cell) bool { return c.SSID == n.SSID && (c.PSK || !c.SAE) })
		switch {
		case !here:
			stage = air.NotFound
		case wpa3 && n.Security == wifi.PSK:
			stage = air.Rejected
		}
	}
	out.say(stage, in, n, l)
}

// wifiStage asks the kernel first, then who joins.
func wifiStage(ctx context.Context, w wifiWatch, l facts.Link, ssid string) (stage air.Stage, in string) {
	all, err := air.Read(ctx)
	if err == nil {
		for _, s := range all {
			// A station whose key is still being agreed on is associated, and dormant (operstates.rst).
			if s.Name == l.Name && s.SSID != "" && operUp(l.Name) {
				if s.SSID == ssid {
					return air.Joined, s.SSID
				}
				return air.Elsewhere, s.SSID
			}
		}
	}
	c, err := air.OpenControl(air.ControlDir, l.Name)
	if err == nil {
		defer c.Close()
		if s, err := c.Stage(ctx, ssid); err == nil && s != air.Joined && s != air.Elsewhere {
			return s, ""
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return air.Trying, ""
	}
	return w.nm.Stage(), ""
}

func operUp(name string) bool {
	b, err := os.ReadFile(filepath.Join("/sys/class/net", name, "operstate"))
	return err == nil && strings.TrimSpace(string(b)) == "up"
}

// say puts the outcome into words.
func (out *WifiOutcome) say(stage air.Stage, in string, n wifi.Network, l facts.Link) {
	out.Stage = string(stage)
	name := wifi.Show(n.SSID)
	switch stage {
	case air.Joined:
		out.Said = fmt.Sprintf("%s has joined %q", l.Name, name)
	case air.Elsewhere:
		out.Said = fmt.Sprintf("%s stays in %q, which works; it joins %q when that is gone", l.Name, wifi.Show(in), name)
	case air.WrongKey:
		out.Said = fmt.Sprintf("the access point of %q refuses: the passphrase is most likely wrong; add it again with the right one", name)
	case air.NotFound:
		out.Said = fmt.Sprintf("no access point called %q was heard: it is out of reach, switched off, on a channel that is not allowed here (--country), or spelt otherwise (`provision wifi list` shows what is heard; --hidden where it hides its name)", name)
	case air.Rejected:
		out.Said = fmt.Sprintf("the access point of %q does not take this machine: it may want another security (--wpa3), or the device cannot do what it wants", name)
	default:
		out.Said = fmt.Sprintf("%s has not joined %q yet; it goes on trying (`provision wifi list` shows how it stands)", l.Name, name)
	}
}

// carried names the far end of an SSH session that comes in by a network.
func (a *Agent) carried(ctx context.Context, f *facts.Facts, n wifi.Network) string {
	l, ok := f.LinkByName(n.Device)
	if !ok || a.offline() {
		return ""
	}
	all, err := air.Read(ctx)
	if err != nil || !slices.ContainsFunc(all, func(s air.Network) bool { return s.Name == l.Name && s.SSID == n.SSID }) {
		return ""
	}
	for _, s := range f.SSH {
		for _, addr := range f.Addrs {
			if addr.Link == l.Index && addr.Prefix.Addr().WithZone("") == s.Local.Addr().Unmap().WithZone("") {
				return s.Remote.Addr().String()
			}
		}
	}
	return ""
}

// hear fills in the devices and returns what is in the air.
func (a *Agent) hear(ctx context.Context, f *facts.Facts, out *WifiList) heard {
	h := heard{}
	if a.offline() {
		return h
	}
	country, err := air.Country(ctx)
	if err != nil {
		out.Notes = append(out.Notes, err.Error())
	}
	joined, err := air.Read(ctx)
	if err != nil {
		out.Notes = append(out.Notes, err.Error())
	}
	blocked := wifi.Blocked(f)
	for _, l := range f.Links {
		if l.DevType != "wlan" {
			continue
		}
		d := WifiDevice{Name: l.Name, Blocked: blocked, Country: country}
		in := ""
		for _, s := range joined {
			if s.Index == l.Index && s.SSID != "" {
				in, d.Joined = s.SSID, wifi.Show(s.SSID)
			}
		}
		cells, err := air.Around(ctx, l.Index)
		if err != nil {
			out.Notes = append(out.Notes, err.Error())
		}
		for _, c := range cells {
			n := WifiNetwork{SSID: c.SSID, Device: l.Name, Signal: c.Signal, Security: security(c), Joined: c.Associated || c.SSID == in && in != ""}
			if c.Associated {
				d.Signal = c.Signal
			}
			if have, ok := h[c.SSID]; !ok || have.Signal < n.Signal {
				if ok {
					n.Joined = n.Joined || have.Joined
				}
				h[c.SSID] = &heardNetwork{WifiNetwork: n}
			}
		}
		out.Devices = append(out.Devices, d)
	}
	return h
}

func security(c air.Cell) string {
	switch {
	case c.PSK && c.SAE:
		return "psk, sae"
	case c.PSK:
		return wifi.PSK
	case c.SAE:
		return wifi.SAE
	case c.Encrypted:
		return "802.1X"
	}
	return wifi.Open
}
