package dhcp4

import (
	"strings"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
)

// Flags of option 81 (RFC 4702 section 2.1).
const (
	fqdnS = 1 // the server updates A records
	fqdnO = 2 // the server does not do what the client asked for
	fqdnE = 4 // the name is in DNS encoding
	fqdnN = 8 // the server updates nothing
)

// hostname finds out what the client would like to be called: option 81, or else 12 (RFC 4702 section 3.1). A client
// that wants no records in DNS has no name.
func (x *exchange) hostname() {
	raw := ""
	if v := x.p.Get(wire.OptFQDN); len(v) >= 3 {
		if v[0]&fqdnN != 0 {
			return
		}
		raw = fqdnLabel(v)
	}
	if raw == "" {
		raw = string(x.p.Get(wire.OptHostname))
	}
	if raw == "" {
		return
	}
	if label, ok := x.r.label(raw); ok {
		x.c.Hostname, x.name = label, label
		x.out.Entry.Name = label
	}
}

// fqdnLabel is the first label of the name in option 81, whatever its encoding: E, or the ASCII that is deprecated.
func fqdnLabel(v []byte) string {
	flags, name := v[0], v[3:]
	if flags&fqdnE == 0 {
		s, _, _ := strings.Cut(string(name), ".")
		return s
	}
	if len(name) == 0 || name[0] > 63 || len(name) < 1+int(name[0]) {
		return ""
	}
	return string(name[1 : 1+int(name[0])])
}

// names puts 12 and 81: what the client is called here.
func (x *exchange) names() {
	label := x.name
	if x.host != nil && x.host.Name != "" {
		label = x.host.Name
	}
	if label != "" && x.wants(wire.OptHostname, true) {
		x.b.Put(wire.OptHostname, []byte(label))
	}
	v := x.p.Get(wire.OptFQDN)
	if len(v) < 3 {
		return
	}
	// Section 4: E as the client sent it. Both result codes are 255, for old clients. S with O says that we do it although
	// the client would have.
	flags := v[0] & fqdnE
	switch {
	case label != "" && v[0]&fqdnN == 0:
		flags |= fqdnS
	default:
		flags |= fqdnN
	}
	if flags&fqdnS != v[0]&fqdnS {
		flags |= fqdnO
	}
	x.tmp = append(x.tmp[:0], flags, 255, 255)
	if label != "" {
		name := label
		if x.n.Domain != "" {
			name += "." + strings.TrimSuffix(x.n.Domain, ".")
		}
		if flags&fqdnE == 0 {
			x.tmp = append(x.tmp, name...)
		} else {
			for l := range strings.SplitSeq(name, ".") {
				x.tmp = append(append(x.tmp, byte(min(len(l), 63))), l[:min(len(l), 63)]...)
			}
			x.tmp = append(x.tmp, 0)
		}
	}
	x.b.PutCopy(wire.OptFQDN, x.tmp)
}
