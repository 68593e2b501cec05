package conf

import (
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/wireguard"
)

// Imported is a file of wg-quick in the words of the configuration.
type Imported struct {
	// Interface has no peers; its keys are inline.
	Interface wireguard.Interface
	Peers     map[string]wireguard.Peer
	// Lines are the commands and keys that are not simply another key, in the order of the file.
	Lines []Line
}

// Import says what the file means for the interface called device. Commands are never run: those that
// let peers through, hide them or open the port become policy, the rest is listed.
func Import(device string, f File) Imported {
	i := f.Interface
	m := importer{device: device, f: f}
	out := &m.out
	out.Interface = wireguard.Interface{PrivateKey: i.PrivateKey.String(), ListenPort: i.ListenPort, FwMark: i.FwMark, MTU: i.MTU, Route: m.route()}
	for _, a := range i.Addresses {
		out.Interface.Addresses = append(out.Interface.Addresses, a.String())
	}
	m.dns()
	if i.SaveConfig {
		m.line(i.at["saveconfig"], "SaveConfig = true", Left, "what wg(8) changes is not written back: change it with `provision wireguard`, or in the configuration")
	}
	for _, h := range i.Hooks {
		for _, words := range commands(h.Command, device) {
			m.hook(h, words)
		}
	}
	m.peers()
	sort.SliceStable(out.Lines, func(i, j int) bool { return out.Lines[i].Line < out.Lines[j].Line })
	return m.out
}

// Config is what was imported as one interface of a configuration.
func (i Imported) Config(device string) wireguard.Config {
	one := i.Interface
	one.Peers = i.Peers
	return wireguard.Config{device: one}
}

type importer struct {
	device string
	f      File
	out    Imported
}

func (m *importer) line(n int, text, standing, became string) {
	m.out.Lines = append(m.out.Lines, Line{n, text, standing, became})
}

// route is what Table and allowed IPs together mean to wg-quick.
func (m *importer) route() string {
	at, table := m.f.Interface.at["table"], m.f.Interface.Table
	switch table {
	case "off":
		m.line(at, "Table = off", Policy, "route: none")
		return wireguard.RouteNone
	case "", "auto":
	default:
		became := "routes of the allowed-ips in a table of their own: route is none, write them under routing.policy.routes with table: " + table
		if table == "main" || table == "254" {
			m.line(at, "Table = "+table, Policy, "route: split")
			return wireguard.RouteSplit
		}
		m.line(at, "Table = "+table, Left, became)
		return wireguard.RouteNone
	}
	halves := map[netip.Prefix]bool{}
	for _, p := range m.f.Peers {
		for _, a := range p.AllowedIPs {
			if a.Bits() == 0 {
				return wireguard.RouteFull
			}
			if a.Bits() == 1 {
				halves[a.Masked()] = true
			}
		}
	}
	// To wg-quick these are routes of the main table, and packets of the tunnel go into it unless somebody
	// gives the endpoint a route of its own.
	for _, low := range []string{"0.0.0.0/1", "::/1"} {
		l := netip.MustParsePrefix(low)
		if high := map[bool]string{true: "128.0.0.0/1", false: "8000::/1"}[l.Addr().Is4()]; halves[l] && halves[netip.MustParsePrefix(high)] {
			return wireguard.RouteFull
		}
	}
	return wireguard.RouteSplit
}

// dns: wg-quick asks these servers for every name (resolvconf -x), whatever leaves by the tunnel.
func (m *importer) dns() {
	i := m.f.Interface
	for _, a := range i.DNS {
		m.out.Interface.DNS = append(m.out.Interface.DNS, a.String())
	}
	if len(i.DNS) == 0 {
		if len(i.Search) > 0 {
			m.line(i.at["dns"], "DNS = "+strings.Join(i.Search, ", "), Left, "domains without a server to ask")
		}
		return
	}
	m.out.Interface.Domains = slices.Clone(i.Search)
	if m.out.Interface.Route != wireguard.RouteFull {
		m.out.Interface.Domains = append(m.out.Interface.Domains, "~.")
		m.line(i.at["dns"], "DNS", Policy, "every name is asked in the tunnel (domains: ~.), as wg-quick has it")
	}
}

func (m *importer) peers() {
	m.out.Peers = make(map[string]wireguard.Peer, len(m.f.Peers))
	for n, name := range m.f.names() {
		p := m.f.Peers[n]
		w := wireguard.Peer{PublicKey: p.PublicKey.String(), PresharedKey: p.PresharedKey.String(), Endpoint: p.Endpoint, PersistentKeepalive: p.PersistentKeepalive}
		seen := map[netip.Prefix]bool{}
		for _, a := range p.AllowedIPs {
			if !seen[a] {
				w.AllowedIPs = append(w.AllowedIPs, a.String())
			}
			seen[a] = true
		}
		for _, c := range p.cut {
			m.line(p.Line, "AllowedIPs = "+c, Partly, "wg cuts off the bits behind the length: it is the whole network; write the single address if that was meant")
		}
		m.out.Peers[name] = w
	}
}

// hook says what becomes of one command.
func (m *importer) hook(h Hook, words []string) {
	i := &m.out.Interface
	text := h.Key + " = " + strings.Join(words, " ")
	say := func(standing, became string) { m.line(h.Line, text, standing, became) }
	down := strings.HasSuffix(h.Key, "Down")
	rest := strings.Join(words[1:], " ")
	switch {
	case (words[0] == "iptables" || words[0] == "ip6tables") && len(words) > 1:
		r := iptables(words)
		if down && r.op == "D" {
			say(BuiltIn, "it goes with the interface")
			return
		}
		say(m.rule(r))
	case words[0] == "sysctl" && (strings.Contains(rest, "ip_forward=1") || strings.Contains(rest, ".forwarding=1")):
		say(BuiltIn, "forwarding is on where reach says anything")
	case words[0] == "sysctl" && strings.Contains(rest, "src_valid_mark=1"):
		say(BuiltIn, "a full tunnel sets it")
	case words[0] == "sysctl" && down:
		say(Left, "nobody knows whether others need it; reverting gives it its first value back")
	case words[0] == "ufw" && (rest == "route allow in on "+m.device || strings.HasPrefix(rest, "route allow in on "+m.device+" out on ")):
		m.reach(wireguard.ReachInternet)
		say(Policy, "reach: internet; routing.adapters: [ufw] tells ufw")
	case words[0] == "ufw" && down && strings.Contains(rest, "delete"):
		say(BuiltIn, "it goes with the interface")
	case words[0] == "wg" && len(words) == 5 && words[1] == "set" && words[2] == m.device && words[3] == "private-key" && strings.HasPrefix(words[4], "/") && i.PrivateKey == "":
		i.PrivateKeyFile = words[4]
		say(Policy, "private-key-file: "+words[4])
	case words[0] == "wg":
		// A preshared key may stand there.
		m.line(h.Line, h.Key+" = wg "+strings.Join(words[1:min(len(words), 2)], " ")+" ...", Left, "settings of WireGuard have keys of their own in the configuration")
	case words[0] == "ip" && len(words) > 1 && (strings.HasPrefix("rule", words[1]) || strings.HasPrefix("route", words[1]) || words[1] == "-6" || words[1] == "-4"):
		say(Left, "routes and rules are written under routing.policy")
	case words[0] == "resolvectl" || words[0] == "systemd-resolve" || words[0] == "resolvconf":
		say(Left, "dns and domains say which servers are asked")
	case words[0] == "iptables-restore" || words[0] == "nft" || words[0] == "firewall-cmd" || words[0] == "ufw":
		say(Left, "what peers may is said by reach and zone, and by routing.firewall.rules")
	default:
		m.line(h.Line, masked(text), Left, "it is not run; a command at a change of the interface is a reaction under routing.watch.reactions")
	}
}

// masked hides what may be a key.
func masked(text string) string {
	words := strings.Fields(text)
	for n, w := range words {
		if k, err := keys.ParseKey(strings.Trim(w, `"'<>()`)); err == nil && k != (keys.Key{}) {
			words[n] = "(key)"
		}
	}
	return strings.Join(words, " ")
}

func (m *importer) reach(what string) {
	if i := &m.out.Interface; !slices.Contains(i.Reach, what) {
		i.Reach = append(i.Reach, what)
		slices.Sort(i.Reach)
		if what == wireguard.ReachInternet {
			i.NAT = "no" // until something hides them
		}
	}
}

// rule says what becomes of a rule of iptables.
func (m *importer) rule(r rule) (standing, became string) {
	i := &m.out.Interface
	added := r.op == "A" || r.op == "I"
	switch {
	case r.clamp && r.target == "TCPMSS":
		return BuiltIn, "the firewall does it (mss-clamp: auto)"
	case !added || r.other:
		return Left, "what peers may is said by reach and zone, and by routing.firewall.rules"
	case r.table == "nat" && r.chain == "POSTROUTING" && r.target == "MASQUERADE" && r.out != m.device:
		m.reach(wireguard.ReachInternet)
		if i.NAT == "no" {
			i.NAT = "auto"
		}
		if r.six && slices.ContainsFunc(m.f.Interface.Addresses, func(a netip.Prefix) bool {
			return a.Addr().Is6() && !a.Addr().IsPrivate() && !a.Addr().IsLinkLocalUnicast()
		}) {
			i.NAT = "yes"
		}
		return Policy, "reach: internet, nat: " + i.NAT
	case r.table != "filter" || r.target != "ACCEPT":
		return Left, "it is written as a rule under routing.firewall.rules"
	case r.chain == "FORWARD" && r.known && (r.in == m.device || r.out == m.device || r.in == "" && r.out == ""):
		return BuiltIn, "answers come back by themselves"
	case r.chain == "FORWARD" && r.in == m.device && r.out == m.device && r.proto == "":
		m.reach(wireguard.ReachPeers)
		return Policy, "reach: peers"
	case r.chain == "FORWARD" && r.in == m.device && r.out != "" && r.proto == "":
		m.reach(wireguard.ReachInternet)
		return Policy, "reach: internet; if " + r.out + " is no way out, name its zone there"
	case r.chain == "FORWARD" && r.in == m.device && r.proto == "":
		m.reach(wireguard.ReachInternet)
		m.reach(wireguard.ReachPeers)
		return Policy, "reach: internet, peers; a LAN in a zone of its own is named there too"
	case r.chain == "FORWARD" && r.out == m.device && r.in == "" && r.proto == "":
		return Partly, "answers come back by themselves; who else is to call peers gets a rule under routing.firewall.rules"
	case r.chain == "INPUT" && r.proto == "udp" && r.dport != "" && r.dport == strconv.Itoa(int(i.ListenPort)):
		return BuiltIn, "listen-port opens it"
	case r.chain == "INPUT" && r.in == m.device && r.proto == "" && r.src == "":
		yes := true
		i.Management = &yes
		return Policy, "management: true"
	}
	return Left, "it is written as a rule under routing.firewall.rules"
}
