package gadget

import (
	"github.com/provision-net/provision/provision/intent"
)

// Zone is the firewall's zone that the links are in.
const Zone = "gadget"

// intents says what the links need of the firewall. They join one that is there and ask for none,
// so that a machine without a firewall stays as open as it was; a way out is asked for by those
// that are to have one, to whatever has the default route. What is served on them the roof says.
func (p *planner) intents() {
	for _, l := range p.r.Links {
		if l.Router == RouterClient {
			continue // it is a way out itself
		}
		why := "gadget " + l.Gadget + ": router " + l.Router + " on " + l.Name
		p.r.Intents.Members = append(p.r.Intents.Members, intent.Member{Zone: Zone, Interfaces: []string{l.Name}, Joins: true, Why: why})
		if l.Router == RouterFull || l.Router == RouterSplit {
			p.r.Intents.Forwards = append(p.r.Intents.Forwards, intent.Forward{From: Zone, Interfaces: []string{l.Name}, Destinations: l.Routes, NAT: "auto", Why: why})
		}
	}
}
