package wireguard

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

type planner struct {
	Input
	r     Result
	errs  []error
	calls []call
	told  []wireguard.Configured // of the present device
}

func (p *planner) fail(at, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("routing.wireguard.%s: %s", at, fmt.Sprintf(format, args...)))
}

func (p *planner) note(level, at, format string, args ...any) {
	p.r.Desired.Notes = append(p.r.Desired.Notes, provision.Note{Level: level, Subject: "routing.wireguard." + at, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) want(w ...provision.Want) { p.r.Desired.Wants = append(p.r.Desired.Wants, w...) }

// device plans one interface. Its configuration has no problems. Peers come after the device is up: a
// packet for one that is not there yet is lost either way, and a device without an address answers to
// nobody.
func (p *planner) device(name string, i Interface) {
	why := "routing.wireguard." + name
	private := p.key(name+".private-key", i.PrivateKey, i.PrivateKeyFile, "provision wireguard init")
	mark := i.FwMark
	if mark == 0 {
		mark = p.Marks[name]
	}
	w := wireguard.Want(wireguard.Spec{Name: name, PrivateKey: private, ListenPort: i.ListenPort, Fwmark: mark}, why)
	if p.Unprivileged && private == (wireguard.Key{}) {
		delete(w.Attrs, wireguard.AttrPrivateKey)
	}
	p.want(w)
	selector := "name:" + name
	var own []netip.Prefix
	for _, text := range i.Addresses {
		a := netip.MustParsePrefix(text)
		own = append(own, a)
		p.beside(name, a)
		p.want(address.Want(selector, a, why+".addresses", addressFlags(a)...))
	}
	p.want(link.UpMTU(selector, p.mtu(name, i, own), why))

	p.told = nil
	public := private.Public()
	var routed []netip.Prefix
	for _, peer := range sortedKeys(i.Peers) {
		allowed := p.peer(name, peer, mark, public, i.Peers[peer])
		if i.Route != RouteNone {
			routed = append(routed, allowed...)
		}
	}
	if len(p.told) > 0 {
		p.want(wireguard.WantEndpoints(name, p.told, why+": who is told when an endpoint is configured anew"))
	}
	for _, dst := range missing(routed, own) {
		if table, wanted := p.table(name, i, dst); wanted {
			p.want(route.Want(route.Spec{Key: route.Key{Dst: dst, Dev: selector, Metric: i.Metric, Table: table}}, why+": allowed-ips"))
		}
	}
	p.dns(name, i)
	p.lan(name, i)
	p.intents(name, i)
}

// beside warns of a network that another interface of this machine is in too: of the two only one is
// reached.
func (p *planner) beside(name string, a netip.Prefix) {
	for _, o := range p.Facts.Addrs {
		l, ok := p.Facts.LinkByIndex(o.Link)
		if ok && l.Name != name && o.Scope == "global" && !a.IsSingleIP() && !o.Prefix.IsSingleIP() && o.Prefix.Overlaps(a) {
			p.note("warning", name+".addresses", "%s is also the network of %s (%s): machines there and peers may have the same addresses, so give the tunnel another one", a.Masked(), l.Name, o.Prefix)
			return
		}
	}
}

// addressFlags: a tunnel has no neighbours who could have the same address; the address serves at once.
func addressFlags(a netip.Prefix) []string {
	if a.Addr().Is6() {
		return []string{address.NoDAD}
	}
	return nil
}

// peer wants one peer and returns its allowed-ips.
func (p *planner) peer(device, name string, mark uint32, own wireguard.Key, c Peer) []netip.Prefix {
	at := device + ".peers." + name
	s := wireguard.PeerSpec{Device: device, PersistentKeepalive: c.PersistentKeepalive}
	s.PublicKey, _ = wireguard.ParseKey(c.PublicKey) // judged before
	s.PresharedKey = p.key(at+".preshared-key", c.PresharedKey, c.PresharedKeyFile, "wg genpsk")
	if s.PublicKey == own {
		p.fail(at+".public-key", "is that of %s itself: give that of the other end", device)
	}
	for _, text := range c.AllowedIPs {
		a, _ := ParseAllowed(text)
		s.AllowedIPs = append(s.AllowedIPs, a)
	}
	if c.Endpoint != "" {
		s.Endpoint = p.endpoint(device, name, at, mark, s.PublicKey, c)
		host, port, _ := SplitEndpoint(c.Endpoint, false) // judged before
		p.told = append(p.told, wireguard.Configured{PublicKey: s.PublicKey, Endpoint: net.JoinHostPort(host, strconv.Itoa(int(port))), Address: s.Endpoint})
	}
	w := wireguard.WantPeer(s, "peer "+name+" of "+device)
	if p.Unprivileged && c.PresharedKeyFile != "" && s.PresharedKey == (wireguard.Key{}) {
		delete(w.Attrs, wireguard.AttrPresharedKey)
	}
	p.want(w)
	return s.AllowedIPs
}

// endpoint is where a peer is called, invalid while its name has no address.
func (p *planner) endpoint(device, name, at string, mark uint32, public wireguard.Key, c Peer) netip.AddrPort {
	host, port, _ := SplitEndpoint(c.Endpoint, false) // judged before
	a, err := netip.ParseAddr(host)
	list := []netip.Addr{a}
	if err != nil {
		p.r.Named = append(p.r.Named, Named{Device: device, Peer: name, PublicKey: public, Host: host, Port: port})
		if list = p.Resolved[host]; len(list) == 0 {
			p.note("info", at+".endpoint", "%s has no address yet: provision watch asks again until it has", host)
			return netip.AddrPort{}
		}
	}
	// Each address may be the one that answers, and a kill switch has to let all of them out.
	for _, a := range list {
		p.calls = append(p.calls, call{device, name, a.WithZone("")})
		p.r.Intents.Endpoints = append(p.r.Intents.Endpoints, intent.Endpoint{Tunnel: device, Proto: "udp", Addr: a.WithZone(""), Port: port, Mark: mark, Why: "peer " + name + " of " + device})
	}
	return netip.AddrPortFrom(list[0], port)
}

// key reads a key as it is given, or from its file.
func (p *planner) key(at, text, path, maker string) wireguard.Key {
	if path == "" {
		k, _ := wireguard.ParseKey(text) // judged before
		return k
	}
	f, ok := p.Keys[path]
	if !ok {
		f.Err = fs.ErrNotExist
	}
	switch {
	case p.Unprivileged && errors.Is(f.Err, fs.ErrPermission):
	case errors.Is(f.Err, fs.ErrNotExist):
		p.fail(at+"-file", "%s is not there: `%s` makes a key", path, maker)
	case f.Err != nil:
		p.fail(at+"-file", "%s cannot be read: %v", path, f.Err)
	case f.Mode.Perm()&0o077 != 0:
		p.fail(at+"-file", "others may read %s (mode %04o), and who has read the key is you: chmod 600 %s, and make a new key if somebody could", path, f.Mode.Perm(), path)
	case f.UID != 0 && !p.Unprivileged:
		p.fail(at+"-file", "%s belongs to user %d, not to root: chown root %s", path, f.UID, path)
	default:
		k, err := wireguard.ParseKey(strings.TrimSpace(string(f.Text)))
		if err == nil && k == (wireguard.Key{}) {
			err = errors.New("it is empty, or all zeros")
		}
		if err != nil {
			p.fail(at+"-file", "%s holds no key: %v; `%s` makes one", path, err, maker)
		}
		return k
	}
	return wireguard.Key{}
}
