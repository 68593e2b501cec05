package agent

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/lookup"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/names"
)

// resolveLimit is how long all names together may take: a plan without them is a plan, and the watch
// asks again.
const resolveLimit = 4 * time.Second

// resolved are the addresses of peers that are called by name: those that were committed, and of others
// what the name servers beside the tunnels say now. mask are the bits of marks that are ours. The second
// result are the servers that have to be remembered.
func (a *Agent) resolved(ctx context.Context, f *facts.Facts, c wireguard.Config, mask uint32) (map[string][]netip.Addr, []netip.AddrPort) {
	hosts := c.Hosts()
	if len(hosts) == 0 || a.offline() {
		return nil, nil
	}
	var old kept.State
	if text, err := a.committed(); err == nil && text != nil {
		old, _ = kept.Parse(text) // what is wrong with it others say
	}
	lost := names.Lost(f, c, old.NameServers)
	out := old.Resolved
	known := map[string][]netip.Addr{}
	mark := mask & -mask // of what no tunnel takes
	if os.Geteuid() != 0 {
		mark = 0
	}
	var tunnels []string
	for name := range c {
		tunnels = append(tunnels, name)
	}
	// Those that a kill switch lets be asked come first: the others wait for their time out in vain.
	servers := slices.Concat(a.Config.Routing.KillSwitch.Bootstrap(), lost, names.Servers(f, tunnels))
	ctx, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, host := range hosts {
		if list := out[host]; len(list) > 0 {
			mu.Lock()
			known[host] = list
			mu.Unlock()
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			list, err := lookup.Addrs(ctx, host, servers, mark)
			if err != nil || len(list) == 0 {
				return // the plan says so
			}
			mu.Lock()
			defer mu.Unlock()
			known[host] = list
		}()
	}
	wg.Wait()
	return known, lost
}
