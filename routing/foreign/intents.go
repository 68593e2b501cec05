package foreign

import (
	"slices"

	"github.com/provision-net/provision/provision/intent"
)

// Flows says what is let through where the wings get all that they ask for: the devices of a zone
// to those of another, the services of this machine, and the outer packets of tunnels. A service
// without devices is on every device that is in a zone.
func Flows(s intent.Set) []Flow {
	var out []Flow
	add := func(f Flow) {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	var all []string
	zones := map[string][]string{}
	for _, m := range s.Members {
		for _, dev := range m.Interfaces {
			if !slices.Contains(zones[m.Zone], dev) {
				zones[m.Zone] = append(zones[m.Zone], dev)
			}
			if !slices.Contains(all, dev) {
				all = append(all, dev)
			}
		}
	}
	for _, f := range s.Forwards {
		for _, in := range zones[f.From] {
			for _, to := range zones[f.To] {
				if in != to {
					add(Flow{In: in, Out: to, Why: f.Why})
				}
			}
		}
	}
	for _, v := range s.Services {
		devices := v.Interfaces
		if len(devices) == 0 {
			devices = all
		}
		ports := v.Ports
		if len(ports) == 0 {
			ports = []uint16{0}
		}
		for _, dev := range devices {
			for _, port := range ports {
				add(Flow{In: dev, Family: v.Family, Proto: v.Proto, Port: port, Why: v.Why})
			}
		}
	}
	for _, e := range s.Endpoints {
		f := Flow{Family: 4, Proto: e.Proto, Port: e.Port, Why: e.Why}
		if e.Addr.Is6() && !e.Addr.Is4In6() {
			f.Family = 6
		}
		if e.Proto != "udp" && e.Proto != "tcp" {
			f.Proto, f.Port = "", 0 // protocol 41 has no ports
		}
		add(f)
	}
	return out
}
