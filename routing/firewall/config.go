// Package firewall is the policy language of the router: zones, groups and rules as a person
// writes them, judged all at once and compiled to one nf_tables table.
//
// The order in which a packet meets things is the classic one and built in: loopback;
// established and related; ICMPv6 that IPv6 cannot do without (RFC 4890); invalid; services that
// need broadcast or multicast; noise, dropped without a word; management; services of this
// machine; the rules, in the order they are written; what the zone does with the rest, logged
// with a limit for each source.
package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/intent"
)

// Policy is what Compile compiles: three keys of the "routing" slice.
type Policy struct {
	Zones    Zones  `yaml:"zones" help:"interfaces that are treated alike, by the zone's name"`
	Groups   Groups `yaml:"groups" help:"lists of addresses by name, for source and destination of rules"`
	Firewall Config `yaml:"firewall" help:"rules and the few switches around them"`
}

// Wanted says whether there is to be a table at all: without a zone, and without anybody who
// asks for one, Compile would make a table that lets in nothing but answers.
func (p Policy) Wanted(in intent.Set) bool {
	return p.walls(in) || slices.ContainsFunc(in.Forwards, func(f intent.Forward) bool { return f.To == "" }) ||
		slices.ContainsFunc(in.Members, func(m intent.Member) bool { return m.Manage == "no" })
}

// walls says whether there is to be a firewall: what is not allowed is refused. Without one the
// table only passes on and hides what forwards to the way out ask for.
func (p Policy) walls(in intent.Set) bool {
	return len(p.Zones) > 0 || len(p.Firewall.Rules) > 0 || slices.ContainsFunc(in.Members, func(m intent.Member) bool { return !m.Joins })
}

// Zones are interfaces that are treated alike, by name.
type Zones map[string]Zone

// Groups are lists of addresses, prefixes, ranges (a-b) and other groups, IPv4 and IPv6 mixed.
type Groups map[string][]string

// Zone is a side of the router. OpenWrt and firewalld have the same word for it.
type Zone struct {
	Interfaces     []string `yaml:"interfaces" help:"names of interfaces, or beginnings with a star (usb*); they may come and go"`
	Side           string   `yaml:"side" enum:"inside,outside" help:"whom it faces: towards outside refused packets are dropped and nobody manages or pings this machine; without it a zone with masquerade, or called outside, wan, internet or public, is outside"`
	Masquerade     bool     `yaml:"masquerade" default:"false" help:"hide what leaves here behind this interface's address: all IPv4, and of IPv6 what masquerade-ipv6 says"`
	MasqueradeIPv6 string   `yaml:"masquerade-ipv6" enum:"auto,yes,no" default:"auto" help:"of IPv6 hide all (yes, NAT66), nothing (no), or only sources the internet cannot answer (auto: fc00::/7)"`
	Management     *bool    `yaml:"management" help:"this machine may be managed from here (firewall.management); the default is true inside and false outside"`
	Input          string   `yaml:"input" enum:"allow,deny,reject" help:"what becomes of packets from here to this machine that no rule decides; the default is reject inside and deny outside"`
	Forward        string   `yaml:"forward" enum:"allow,deny,reject" help:"what becomes of packets from here through this machine that no rule decides; the default is reject inside and deny outside"`
	Log            *bool    `yaml:"log" default:"true" help:"log what is refused because no rule decides it, with a limit for each source"`
	AntiSpoofing   bool     `yaml:"anti-spoofing" default:"false" help:"drop packets whose answer would not leave here (strict reverse path, both families); not for zones with asymmetric routes"`
	MSS            uint16   `yaml:"mss" help:"largest TCP segment, in bytes, of connections that enter or leave here; without it mss-clamp decides"`
}

// Config is the rest of the policy.
type Config struct {
	Management      Management `yaml:"management" help:"who may manage this machine"`
	Ping            string     `yaml:"ping" enum:"no,inside,any" default:"inside" help:"who may ping this machine"`
	OwnTraffic      string     `yaml:"own-traffic" enum:"allow,listed" default:"allow" help:"what this machine may send itself: everything but what rules with source-interface self refuse, or only own-services, rules and what its own jobs need"`
	OwnServices     []string   `yaml:"own-services" default:"dns, ntp, http, https" help:"with own-traffic listed: what this machine may reach, written as the port of a rule"`
	OtherInterfaces string     `yaml:"other-interfaces" enum:"deny,allow" default:"deny" help:"packets between this machine and interfaces of no zone, and between such interfaces"`
	MSSClamp        string     `yaml:"mss-clamp" enum:"auto,no" default:"auto" help:"lower the segment size of forwarded TCP connections to what the path's MTU leaves"`
	LogLimit        string     `yaml:"log-limit" default:"10/minute" help:"log lines for each source of what is refused, and for each rule with log: number/second, minute or hour"`
	LogGroup        *uint16    `yaml:"log-group" help:"send what is logged to this nflog group (ulogd, tcpdump -i nflog:N) and not to the kernel's log"`
	Rules           []Rule     `yaml:"rules" help:"the first rule that fits decides"`
}

// Management says who may manage this machine, from zones with management.
type Management struct {
	From     []string `yaml:"from" help:"addresses or groups; without it anybody in a zone with management"`
	Services []string `yaml:"services" default:"ssh" help:"what may be reached, written as the port of a rule"`
}

// Rule has the ten fields of the classic rule sheet. What is not given is any.
type Rule struct {
	SourceInterface      string   `yaml:"source-interface" help:"zone or interface that it comes from, self for what this machine sends; without it any zone"`
	Source               []string `yaml:"source" help:"addresses, prefixes, ranges (a-b) or groups, IPv4 and IPv6 mixed"`
	NATSource            string   `yaml:"nat-source" help:"hide the source: auto (all IPv4 and IPv6 of fc00::/7 behind the outgoing address), no (not even where the zone does), or an address, a range or a prefix, one for each family with a comma between"`
	DestinationInterface string   `yaml:"destination-interface" help:"zone or interface that it leaves by, self for this machine; without it any zone and this machine"`
	Destination          []string `yaml:"destination" help:"addresses as the sender sees them: addresses, prefixes, ranges (a-b) or groups"`
	NATDestination       string   `yaml:"nat-destination" help:"send it to this address instead: address, address:port, prefix, or self:port, one for each family with a comma between; a family that is not named goes on untouched if destination has addresses of it"`
	Port                 []string `yaml:"port" help:"protocol/port (tcp/80, udp/5000-5010), a protocol (icmp, icmpv6, icmp/echo-request, gre, proto/41) or a service by name (ssh, dns, https)"`
	Action               string   `yaml:"action" enum:"allow,deny,reject" help:"allow it, drop it without a word, or refuse it with an answer"`
	Log                  bool     `yaml:"log" default:"false" help:"write a line to the log for each connection, with a limit"`
	Note                 string   `yaml:"note" help:"for people; kept as the comment of what is compiled"`
}

// Problem is something wrong in the policy. Path is relative to the "routing" key:
// "firewall.rules[2].destination".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Note is something that a person should know and that stops nothing.
type Note struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Words of the language.
const (
	anyWord  = "any"
	selfWord = "self"
	inside   = "inside"
	outside  = "outside"
	allow    = "allow"
	deny     = "deny"
	reject   = "reject"
)
