package wireguard

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision"
)

// EndpointsKind is where the configuration has the peers of a device, by the device's name. Where a peer
// is changes by itself when it roams (https://www.wireguard.com/#built-in-roaming), so what the device has
// is not compared with what is configured; what is configured is compared with what was before, and a
// peer for which it has changed is told once. Attribute: "endpoints", a line for each peer, sorted: its
// public key, a blank, the endpoint as it is configured, and, where that is a name, a blank and the address
// that it has.
const EndpointsKind = "wireguard-endpoints"

// AttrEndpoints is the attribute of EndpointsKind.
const AttrEndpoints = "endpoints"

// Endpoints is the folder of what is configured now, a file for each device.
const Endpoints = "/var/lib/provision"

// Configured is where the configuration has a peer.
type Configured struct {
	PublicKey Key
	Endpoint  string         // host:port
	Address   netip.AddrPort // of Endpoint; invalid where a name has none
}

// WantEndpoints asks that the peers of a device are told when one of these changes.
func WantEndpoints(device string, list []Configured, why string) provision.Want {
	lines := make([]string, 0, len(list))
	for _, c := range list {
		line := c.PublicKey.String() + " " + c.Endpoint
		if at := c.Address.String(); c.Address.IsValid() && at != c.Endpoint {
			line += " " + at
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return provision.Want{Ref: provision.Ref{Kind: EndpointsKind, Name: device}, Attrs: provision.Attrs{AttrEndpoints: strings.Join(lines, "\n")}, Why: why}
}

// configured reads the attribute, by key.
func configured(text string) (map[string]Configured, error) {
	out := map[string]Configured{}
	if text == "" {
		return out, nil
	}
	last := ""
	for line := range strings.SplitSeq(text, "\n") {
		w := strings.Split(line, " ")
		if len(w) != 2 && len(w) != 3 || line <= last {
			return nil, fmt.Errorf("%q is no public key, endpoint and address, in order", line)
		}
		last = line
		key, err := ParseKey(w[0])
		if err != nil || key == (Key{}) || key.String() != w[0] {
			return nil, fmt.Errorf("%q is no public key", w[0])
		}
		if _, twice := out[w[0]]; twice {
			return nil, fmt.Errorf("%q is there twice", w[0])
		}
		c := Configured{PublicKey: key, Endpoint: w[1]}
		if at, err := netip.ParseAddrPort(w[len(w)-1]); err == nil {
			c.Address = at
		} else if len(w) == 3 {
			return nil, fmt.Errorf("%q is no address and port", w[2])
		}
		out[w[0]] = c
	}
	return out, nil
}

// moved are the peers for which something else is configured now, sorted by key. Of those that were not
// configured before nothing is known: they count where the device does not know where they are.
func moved(have, want map[string]Configured, d *Device) []Configured {
	var out []Configured
	for key, w := range want {
		p := d.Peer(w.PublicKey)
		h, before := have[key]
		if p == nil || !w.Address.IsValid() || p.Endpoint == w.Address || before && h.Endpoint == w.Endpoint || !before && p.Endpoint.IsValid() {
			continue
		}
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].PublicKey.String() < out[j].PublicKey.String() })
	return out
}
