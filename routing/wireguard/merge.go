package wireguard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Added is what stands in Folder.
type Added struct {
	Interfaces map[string]Interface
	Peers      map[string]map[string]Peer // by interface, by name
}

// Merge puts what commands added beside what the configuration file says. What both say is refused:
// nobody could tell which of them counts. c is not changed.
func (c Config) Merge(added Added) (Config, []Problem) {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	merged := make(Config, len(c)+len(added.Interfaces))
	maps.Copy(merged, c)
	for _, name := range sortedKeys(added.Interfaces) {
		if _, twice := merged[name]; twice {
			add(name, "is in the configuration file and in %s/%s.yaml: keep one of them", Folder, name)
			continue
		}
		merged[name] = added.Interfaces[name]
	}
	for _, name := range sortedKeys(added.Peers) {
		i, ok := merged[name]
		if !ok {
			add(name, "has peers in %s/%s and is no interface: `provision wireguard init` makes one, or remove the folder", Folder, name)
			continue
		}
		peers := make(map[string]Peer, len(i.Peers)+len(added.Peers[name]))
		maps.Copy(peers, i.Peers)
		for _, p := range sortedKeys(added.Peers[name]) {
			if _, twice := peers[p]; twice {
				add(name+".peers."+p, "is in the configuration file and in %s/%s/%s.yaml: keep one of them", Folder, name, p)
				continue
			}
			peers[p] = added.Peers[name][p]
		}
		i.Peers = peers
		merged[name] = i
	}
	return merged, out
}

// With is c and one interface more. c is not changed.
func (c Config) With(name string, i Interface) Config {
	out := make(Config, len(c)+1)
	maps.Copy(out, c)
	out[name] = i
	return out
}

// KeyFiles are the files with keys that Plan has to be given, sorted.
func (c Config) KeyFiles() []string {
	var out []string
	for _, i := range c {
		if i.PrivateKeyFile != "" {
			out = append(out, i.PrivateKeyFile)
		}
		for _, p := range i.Peers {
			if p.PresharedKeyFile != "" {
				out = append(out, p.PresharedKeyFile)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Hosts are the endpoints that are given by name, sorted, each once.
func (c Config) Hosts() []string {
	var out []string
	for _, i := range c {
		for _, p := range i.Peers {
			host, _, why := SplitEndpoint(p.Endpoint, false)
			if _, err := netip.ParseAddr(host); p.Endpoint != "" && why == "" && err != nil {
				out = append(out, host)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Inline is where a key stands in c itself and not in a file of its own; empty where none does.
func (c Config) Inline() string {
	for _, name := range sortedKeys(c) {
		if c[name].PrivateKey != "" {
			return name + ".private-key"
		}
		for _, peer := range sortedKeys(c[name].Peers) {
			switch p := c[name].Peers[peer]; {
			case p.PresharedKey != "":
				return name + ".peers." + peer + ".preshared-key"
			case p.Client != nil && p.Client.PrivateKey != "":
				return name + ".peers." + peer + ".client.private-key"
			}
		}
	}
	return ""
}

// Has reports whether a device is one of c.
func (c Config) Has(device string) bool {
	_, ok := c[device]
	return ok
}

// Full are the devices with route full, sorted: each needs a lane of package policy.
func (c Config) Full() []string {
	var out []string
	for _, name := range sortedKeys(c) {
		if c[name].Route == RouteFull {
			out = append(out, name)
		}
	}
	return out
}

// BadInterface says what is wrong with a name of an interface; empty is nothing. It is what wg-quick
// takes (the file's name), so that import and export keep it.
func BadInterface(name string) string {
	switch {
	case name == "":
		return "is no name of an interface: call it wg0"
	case len(name) > 15:
		return fmt.Sprintf("%q is longer than the 15 letters that the kernel knows", name)
	case name == "." || name == ".." || strings.Trim(name, letters+"_=+.-") != "":
		return fmt.Sprintf("%q is no name of an interface: letters, digits, _ = + . and - are taken", name)
	case name == "lo" || name == "all" || name == "default":
		return name + " has a meaning of its own in the kernel: call it wg0"
	}
	return ""
}

// BadPeer says what is wrong with a name of a peer; empty is nothing. It is also the name of a file.
func BadPeer(name string) string {
	switch {
	case name == "":
		return "is no name: call the peer by what it is, such as phone"
	case len(name) > 63:
		return fmt.Sprintf("%q is longer than 63 letters", name)
	case strings.Trim(name, letters+"_.-") != "" || strings.Trim(name[:1], "_.-") == "":
		return fmt.Sprintf("%q is no name of a peer: letters, digits, _ . and - are taken, a letter or digit first", name)
	}
	return ""
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
