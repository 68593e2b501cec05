package agent

import (
	"github.com/provision-net/provision/backends/client"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
)

// clients has the network manager told of the links whose host shares its connection, before the
// gadget is there: a manager that sees a new NIC looks once what to do with it. No server of ours
// has a rule for such a link.
func (a *Agent) clients(in gadget.Input, c gadget.Config, r gadget.Result) (gadget.Result, error) {
	var links []client.Link
	for _, l := range r.Links {
		if l.Router == gadget.RouterClient {
			links = append(links, client.Link{Name: l.Name, MAC: l.MAC})
		}
	}
	if len(links) == 0 {
		return r, nil
	}
	d, err := client.Plan(in.Facts, links)
	if err != nil {
		return r, err
	}
	// dhcpcd.conf is of both, and what the gadget wants in it stands beside.
	in.Facts = shared(in.Facts, d)
	if r, err = gadget.Plan(in, c); err != nil {
		return r, err
	}
	all := provision.Desired{}
	all.Append(d)
	all.Append(r.Desired)
	r.Desired = joined(all)
	return r, nil
}
