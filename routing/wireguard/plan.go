package wireguard

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

// Input is what Plan decides from.
type Input struct {
	Facts *facts.Facts
	// Judged: who asks has asked for the configuration's Problems already, and it has none.
	Judged bool
	// Keys are the files that Config.KeyFiles names, by path.
	Keys map[string]KeyFile
	// Unprivileged: who asks may not read keys, and only wants to know. Wants have no keys then.
	Unprivileged bool
	// Resolved are the addresses of endpoints that are given by name, by host, the best first. What is
	// missing is left to the job that asks for names again.
	Resolved map[string][]netip.Addr
	// Marks are the packet marks of what tunnels send themselves, by device; an Interface's own wins.
	Marks map[string]uint32
	// Tables are those of devices by which everything leaves: what these send themselves does not look
	// there, by its mark.
	Tables map[string]uint32
	// Static are routes of the main table that the configuration has beside.
	Static []Way
	// MTU is what the path leaves, by device, in bytes. What is missing is taken from Facts.
	MTU map[string]int
}

// KeyFile is a file with a key as the roof read it.
type KeyFile struct {
	Text []byte
	Mode fs.FileMode
	UID  int   // owner
	Err  error // why it could not be read
}

// Result is what Plan says.
type Result struct {
	// Desired has, for each interface in the order of names: the device, its addresses, the link up
	// with its MTU, peers, routes.
	Desired provision.Desired
	Intents intent.Set
	// Full are the devices with route full: the lanes of package policy lead to them.
	Full []string
	// Named are the endpoints that are given by name.
	Named []Named
	// Proxies are the LANs on which this machine answers for peers.
	Proxies []Proxy
}

// Named is an endpoint by name.
type Named struct {
	Device    string
	Peer      string // its name in the configuration
	PublicKey wireguard.Key
	Host      string
	Port      uint16
}

// Plan says what should exist. The error lists everything that is wrong, a line for each, and then
// nothing is wanted. Nothing is wanted when c is empty.
func Plan(in Input, c Config) (Result, error) {
	var errs []error
	if !in.Judged {
		for _, p := range c.Problems() {
			errs = append(errs, fmt.Errorf("routing.wireguard.%s: %s", p.Path, p.Text))
		}
	}
	if len(errs) > 0 {
		return Result{}, errors.Join(errs...)
	}
	p := planner{Input: in}
	for _, name := range sortedKeys(c) {
		p.device(name, c[name])
	}
	p.loops(c)
	if len(p.errs) > 0 {
		return Result{}, errors.Join(p.errs...)
	}
	p.r.Full = c.Full()
	return p.r, nil
}
