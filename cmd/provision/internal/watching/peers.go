package watching

import (
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard/health"
)

// Peers is the job that looks after handshakes; feed makes the watch look.
func Peers(w health.World, feed func(watch.Event)) *health.Job {
	return &health.Job{World: w, Tell: func(what string) {
		feed(watch.Event{Parts: facts.PartLinks, Count: 1, Causes: []watch.Cause{{What: what}}})
	}}
}
