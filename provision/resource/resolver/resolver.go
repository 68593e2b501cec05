// Package resolver is the name servers of a link, kind "resolver", where somebody else keeps them and
// gives them to all programs: systemd-resolved by D-Bus, resolvconf(8) and openresolv by their command.
// Files of others (resolv.conf(5), NetworkManager's) are kind "file".
//
// A reference's name is the owner and the link: "systemd-resolved wg0". Attributes, words separated by
// a blank: "servers", addresses in their order; "domains" in their order, those that only route
// questions with a ~ before them, "~." for all questions (not of Debian's resolvconf, which drops what
// resolv.conf(5) has no word for); and of systemd-resolved "default-route", true
// or false: questions that fit no domain are asked here too.
package resolver

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// Kind of reference.
const Kind = "resolver"

// Owners.
const (
	Resolved   = "systemd-resolved"
	Resolvconf = "resolvconf" // Debian's
	Openresolv = "openresolv"
)

// Attributes.
const (
	AttrServers = "servers"
	AttrDomains = "domains"
	AttrDefault = "default-route"
)

// Spec is what a link's resolver is.
type Spec struct {
	Owner, Link string
	Servers     []netip.Addr
	Domains     []string
	Default     bool // of systemd-resolved
}

// Ref names the resolver of a link.
func Ref(owner, link string) provision.Ref {
	return provision.Ref{Kind: Kind, Name: owner + " " + link}
}

// Want asks for it. Debian's resolvconf keeps nothing but what resolv.conf(5) has a word for
// (normalize-resolvconf), so of domains it is told those to search.
func Want(s Spec, why string) provision.Want {
	domains := s.Domains
	if s.Owner == Resolvconf {
		domains = slices.DeleteFunc(slices.Clone(domains), func(d string) bool { return strings.HasPrefix(d, "~") })
	}
	a := provision.Attrs{AttrServers: join(s.Servers), AttrDomains: strings.Join(domains, " ")}
	if s.Owner == Resolved {
		a[AttrDefault] = strconv.FormatBool(s.Default)
	}
	return provision.Want{Ref: Ref(s.Owner, s.Link), Attrs: a, Why: why}
}

func join(list []netip.Addr) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = a.String()
	}
	return strings.Join(words, " ")
}

// Link is what systemd-resolved keeps for one.
type Link struct {
	Servers []netip.Addr
	Domains []string
	Default bool
}

// Bus is systemd-resolved (org.freedesktop.resolve1(5)).
type Bus interface {
	Link(ctx context.Context, index int) (Link, error)
	SetLink(ctx context.Context, index int, l Link) error
	// Revert forgets what was set.
	Revert(ctx context.Context, index int) error
	Close()
}

// Files reads Debian's folder; a file that is not there is fs.ErrNotExist.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
}

// Resource is the resolvers of the links of this machine.
type Resource struct {
	// Open connects to systemd-resolved; nil, nil means that it does not run.
	Open func(ctx context.Context) (Bus, error)
	// Index is that of a link, 0 where there is none.
	Index  func(ctx context.Context, name string) (int, error)
	Files  Files
	Runner host.Runner
}
