// Package zone is what the server knows by itself: the local domains with the names of leases, hosts files and
// learnt addresses, the records of the configuration, the reverse zones of the served networks, and the names that
// no resolver may ask the world about. It answers before any upstream is thought of, so local names do not die with
// the uplink. It is a function of question, asker and the sources, which are read at that moment and not copied.
package zone

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Source knows addresses by name and the other way round: the lease table, reservations, hosts files, learnt
// addresses. Names are in lower case without a final dot. Both methods are called for every question and from several
// goroutines.
type Source interface {
	Addrs(name string) []netip.Addr // both families in any order; the caller only reads
	Name(addr netip.Addr) (string, bool)
}

// Lasting is a Source that knows how much longer a name and its address belong together; no answer outlives that.
type Lasting interface {
	Remaining(addr netip.Addr, now clock.Instant) (time.Duration, bool)
}

// Parents is a Source of names with dots that also knows which names have others below them: such a name exists
// (RFC 8020), though it may have no data.
type Parents interface {
	Below(name string) bool
}

// Domain is a local domain: nobody outside knows it or is asked about it.
type Domain struct {
	Name string // lab.lan; a final dot is optional
	// Networks limits which addresses of the sources are in this domain; empty for all. It is also what decides
	// the domain of a reverse name; the first of several matching domains is taken.
	Networks []netip.Prefix
	Sources  []Source // of single labels, best first: for each family the first that has an address counts
}

// Config is all that a Zone is made of.
type Config struct {
	Domains []Domain
	// Names are labels of this machine, in every local domain and bare, or names with dots as they are. They have
	// the addresses of View.Own. The first one is the name server of the local zones and the name in PTR records.
	Names []string
	// Inside are names with dots under which the world knows this machine. Whoever asks from inside (View.Outside is
	// false) gets the addresses of View.Own for A and AAAA, and no other; everything else is asked upstream.
	Inside []string
	// Records win over every source. Owners may begin with *. (RFC 4592). A TTL of 0 stands for Config.TTL.
	// A name outside of the local domains that has an address or an alias here or in Hosts is answered here for
	// A, AAAA, HTTPS, SVCB and ANY; other types of it come from where they always came from.
	Records []dns.RR
	// Hosts know whole names, with or without dots. They win over the sources of the domains.
	Hosts       []Source
	ExpandHosts bool // dotless names of Hosts are also in the local domains
	// Networks have their reverse zones here, whatever the length of the prefix.
	Networks []netip.Prefix
	// Routes, which may be nil, take names out of the special treatment below: who routes 10.in-addr.arpa to a
	// server of his own means it.
	Routes *Routes

	DomainNeeded bool // single labels never leave, but for the types that a validator needs
	BogusPriv    bool // nor do reverse names of private addresses (RFC 6303, 7793)
	FilterWin2k  bool // nor SOA, SRV and ANY with an underscore, like the option of that name elsewhere
	NoAppDNS     bool // use-application-dns.net does not exist: browsers then leave name resolution to the system
	// NAT64 is the prefix that clients are told of, if any: ipv4only.arpa then has it (RFC 8880, RFC 7050).
	NAT64 netip.Prefix

	TTL         uint32 // seconds, of everything that does not expire
	SourceTTL   uint32 // seconds at most, of what the sources of the domains know
	NegativeTTL uint32 // seconds, of "there is no such thing": a client that has just come must not wait long for its name
}

// Question is one question. Name is in lower case, fully qualified and in presentation form, as miekg/dns unpacks it.
type Question struct {
	Name        string
	Type, Class uint16
}

// View is who asks.
type View struct {
	Now clock.Instant
	// Own is what the names of this machine stand for: the addresses of the link that the question came in on.
	Own []netip.Addr
	// Outside: the asker has come in from afar (a tunnel), and Config.Inside is for those who have not.
	Outside bool
	// Machine is every address of this machine, for reverse names.
	Machine []netip.Addr
	// Domain is the one where single labels are looked for first; empty for the order of the configuration.
	Domain string
	// Filter has the types that this asker never gets: A, AAAA, HTTPS ...
	Filter []uint16
}

// Kind sorts answers for counters and caches.
type Kind uint8

const (
	NotOurs  Kind = iota // ask upstream
	Local                // data, or an alias
	NoData               // the name exists, that type does not
	NXDomain             // nor does the name
	Refused              // we do not talk about that
	Failed               // the local data contradicts itself: a loop of aliases
)

func (k Kind) String() string {
	return [...]string{"notours", "local", "nodata", "nxdomain", "refused", "failed"}[k]
}

// Why an answer is what it is, for traces.
const (
	ReasonRecord       = "record"        // configuration
	ReasonOwn          = "own"           // this machine
	ReasonHosts        = "hosts"         // hosts file
	ReasonSource       = "source"        // lease, reservation or learnt address
	ReasonDomain       = "local-domain"  // nothing in a domain of ours
	ReasonReverse      = "local-reverse" // nothing in a reverse zone of ours
	ReasonSpecial      = "special-use"   // RFC 6761 and its followers
	ReasonBogusPriv    = "bogus-priv"
	ReasonDomainNeeded = "domain-needed"
	ReasonRouteNever   = "never-forwarded"
	ReasonFilter       = "filtered"
	ReasonWin2k        = "filterwin2k"
	ReasonCanary       = "canary"
	ReasonAny          = "any" // RFC 8482
	ReasonClass        = "class"
	ReasonType         = "type"
	ReasonLoop         = "loop"
)

// Answer is what to say. Records are shared with the Zone: copy them before changing anything.
type Answer struct {
	Kind          Kind
	Rcode         int
	Authoritative bool
	Answer        []dns.RR
	Authority     []dns.RR // the SOA of negative answers (RFC 2308)
	// Chase is set if Answer ends in an alias of a name that is not ours: whoever can resolves it and appends.
	Chase  string
	Reason string
}
