package gadget

import (
	"github.com/provision-net/provision/provision/intent"
)

// Zone is the firewall's zone that the links are in.
const Zone = "gadget"

// intents says what the links need of the firewall. What is served on them the roof says.
func (p *planner) intents() {
	for _, l := range p.r.Links {
		why := "gadget: " + l.Name
		if l.Router == RouterClient {
			continue
		}
		p.r.Intents.Members = append(p.r.Intents.Members, intent.Member{Zone: Zone, Interfaces: []string{l.Name}, Why: why})
	}
}
