package networkmanager

import (
	"crypto/sha1"
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

func parse(data []byte) (*keyfile.File, error) { return keyfile.Parse(data) }

// ProfilePath is our own profile for a NIC that nobody configures.
func ProfilePath(name string) string {
	return etcProfiles + "provision-" + strings.Map(func(r rune) rune {
		if r <= 0x20 || r == 0x7f || r == '/' {
			return '_'
		}
		return r
	}, name) + ".nmconnection"
}

// ownProfile handles a NIC that has, or must get, a profile of ours: one that has no
// configuration while NetworkManager makes no profile by itself. It reports whether
// the NIC is done with.
func (p *plan) ownProfile(n backends.NIC) bool {
	at := ProfilePath(n.Link.Name)
	have, exists := p.f.Files[at]
	ours := exists && have.Ours()
	if !ours {
		if !n.BringUp {
			return false
		}
		off, isOff := p.conf.noAutoDefault(p.f, n.Link)
		if !isOff {
			return false // NetworkManager's own profile comes, and conf.d gives it the metrics
		}
		p.note("info", n.Link.Name, "NetworkManager makes no profile for it (%s, %s): it gets %s", off.value, off.source(), at)
	}
	if exists && !ours {
		p.errs = append(p.errs, fmt.Errorf("cannot configure %s: %s exists and was not written by provision: remove or rename it", n.Link.Name, at))
		return true
	}
	if n.Optional && !ours {
		p.note("info", n.Link.Name, "NetworkManager cannot mark a NIC optional: the boot waits no longer than for the first family that answers, but where nobody answers at all on its network, NetworkManager-wait-online holds it back for up to a minute")
	}
	w := file.Secret(at, profileText(n), 0o600, "nobody configures "+n.Link.Name+": "+n.Why)
	p.files = append(p.files, file.Dir(path.Dir(at), "holds the profile of "+n.Link.Name), w)
	p.idle = append(p.idle, n.Link.Selector())
	p.own = append(p.own, w.Ref)
	if ours {
		// A changed metric of an active profile moves like any other edit.
		p.edited = append(p.edited, w.Ref)
		p.act = append(p.act, n.Link.Selector())
	} else {
		p.made = append(p.made, w.Ref)
	}
	if n.Metric4 != nil && n.DHCP4 {
		p.watch(n, 4, *n.Metric4)
	}
	if n.Metric6 != nil && n.DHCP6 {
		p.watch(n, 6, *n.Metric6)
	}
	return true
}

// profileText is our profile. It has a fixed UUID, made of the NIC, so that the same
// NIC never gets two.
func profileText(n backends.NIC) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n[connection]\nid=provision-%s\nuuid=%s\ntype=ethernet\ninterface-name=%s\n", facts.Marker, n.Link.Name, uuid(n.Link), n.Link.Name)
	family := func(name string, on bool, metric *uint32) {
		fmt.Fprintf(&b, "\n[%s]\n", name)
		if !on {
			b.WriteString("method=disabled\n")
			return
		}
		b.WriteString("method=auto\n")
		if n.Optional {
			b.WriteString("may-fail=true\n")
		} else if name == "ipv4" {
			b.WriteString("may-fail=false\n")
		}
		if metric != nil {
			fmt.Fprintf(&b, "route-metric=%d\n", *metric)
		}
		if n.DemoteDNS {
			fmt.Fprintf(&b, "dns-priority=%d\n", dnsLast)
		}
	}
	family("ipv4", n.DHCP4, n.Metric4)
	family("ipv6", n.DHCP6, n.Metric6)
	return []byte(b.String())
}

// namespace is the UUID under which the NICs' UUIDs are made (RFC 9562, version 5).
var namespace = [16]byte{0x5b, 0x1c, 0x6d, 0x0e, 0x7a, 0x3f, 0x4c, 0x52, 0x9e, 0x1b, 0x2d, 0x84, 0x60, 0xaf, 0x37, 0xc9}

func uuid(l facts.Link) string {
	sum := sha1.Sum(append(namespace[:], l.Selector()...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
