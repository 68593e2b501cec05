// Package route is static routes: kind "route". They are made with this program's own protocol
// number, by which they are told from everybody else's.
//
// A reference's name is what makes a route another one to the kernel (net/ipv4/fib_trie.c,
// net/ipv6/ip6_fib.c): family, table, type, destination, device and metric.
//
//	inet table 100 default dev name:eth1
//	inet table 100 192.0.2.0/24 dev mac:08:00:27:aa:bb:cc metric 10
//	inet6 table 1000 unreachable default metric 4278198272
//
// IPv4 routes without a metric (0, which beats all others) have none in the name; IPv6 ones always
// have one, since the kernel makes 1024 of none.
//
// Attributes: "gateway", "source" (preferred source address), "mtu" (bytes), "onlink" ("true": the
// gateway is on the link though no route says so) and "proto" (rtnetlink(7), RTPROT_*; a constructor
// asks for 158). What is not there is empty.
//
// A route that somebody else made in the same place is shown with its own proto. Set takes the
// place of one that was made by hand or by a static configuration (boot, static), which comes back
// when it goes; what a daemon or the kernel keeps (dhcp, ra, kernel, routing daemons) it refuses
// to touch.
package route

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "route"

// Protocol is the number in every route that this program makes (rtnetlink(7): above RTPROT_STATIC
// the kernel does not interpret it).
const Protocol = 158

// Names of the attributes.
const (
	AttrGateway = "gateway"
	AttrSource  = "source"
	AttrMTU     = "mtu"
	AttrOnLink  = "onlink"
	AttrProto   = "proto"
)

// Main is the number of the kernel's main table (RT_TABLE_MAIN).
const Main = 254

// Worst is a metric for a route that must lose against every other one.
const Worst = 4278198272

// Types of route beside unicast, which is the empty one.
const (
	Unreachable = "unreachable" // "network unreachable" at once
	Blackhole   = "blackhole"   // silence
	Prohibit    = "prohibit"    // "communication prohibited"
	Throw       = "throw"       // as if the table had no route: the next rule decides
)

// Key is a parsed name.
type Key struct {
	Family int // 4 or 6
	Table  uint32
	Type   string       // empty: unicast
	Dst    netip.Prefix // 0.0.0.0/0 and ::/0 are the default
	Dev    string       // selector; empty for the other types
	Metric uint32
}

// String is the canonical name.
func (k Key) String() string {
	b := make([]byte, 0, 64)
	b = append(b, familyWord(k.Family)...)
	b = append(b, " table "...)
	b = strconv.AppendUint(b, uint64(k.Table), 10)
	if k.Type != "" {
		b = append(append(b, ' '), k.Type...)
	}
	b = append(b, ' ')
	if k.Dst.Bits() == 0 {
		b = append(b, "default"...)
	} else {
		b = k.Dst.AppendTo(b)
	}
	if k.Dev != "" {
		b = append(append(b, " dev "...), k.Dev...)
	}
	if k.Metric != 0 || k.Family == 6 {
		b = strconv.AppendUint(append(b, " metric "...), uint64(k.Metric), 10)
	}
	return string(b)
}

func familyWord(family int) string {
	if family == 6 {
		return "inet6"
	}
	return "inet"
}

// Ref names the route.
func (k Key) Ref() provision.Ref { return provision.Ref{Kind: Kind, Name: k.String()} }

// Spec is a route that should be there.
type Spec struct {
	Key
	Gateway netip.Addr // none: the destination is on the link. An IPv6 one serves IPv4 too (RFC 8950)
	Source  netip.Addr // none: the kernel chooses
	MTU     uint32     // 0: the device's
	OnLink  bool
}

// Default6 is the metric that the kernel gives to IPv6 routes without one (IP6_RT_PRIO_USER).
const Default6 = 1024

// normal brings a key to the form that the kernel knows.
func (k Key) normal() Key {
	k.Dst = k.Dst.Masked()
	if k.Family == 0 {
		k.Family = 6
		if k.Dst.Addr().Is4() {
			k.Family = 4
		}
	}
	if !k.Dst.IsValid() {
		k.Dst = Any(k.Family)
	}
	if k.Family == 6 && k.Metric == 0 {
		k.Metric = Default6
	}
	if k.Table == 0 {
		k.Table = Main
	}
	return k
}

// Any is the destination of a default route.
func Any(family int) netip.Prefix {
	if family == 6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// Want asks for the route, and for nothing more than s says. A key without a family takes that of
// its destination, one without a destination is a default route, table 0 is the main one.
func Want(s Spec, why string) provision.Want {
	return provision.Want{Ref: s.normal().Ref(), Attrs: s.attrs(), Why: why}
}

// Absent asks that there is no such route.
func Absent(k Key, why string) provision.Want {
	return provision.Want{Ref: k.normal().Ref(), Why: why}
}

func (s Spec) attrs() provision.Attrs {
	a := provision.Attrs{AttrGateway: "", AttrSource: "", AttrMTU: "", AttrOnLink: "", AttrProto: strconv.Itoa(Protocol)}
	if s.Gateway.IsValid() {
		a[AttrGateway] = s.Gateway.String()
	}
	if s.Source.IsValid() {
		a[AttrSource] = s.Source.String()
	}
	if s.MTU != 0 {
		a[AttrMTU] = strconv.FormatUint(uint64(s.MTU), 10)
	}
	if s.OnLink {
		a[AttrOnLink] = "true"
	}
	return a
}

// Parse reads a name and refuses what is not in its canonical form.
func Parse(name string) (Key, error) {
	bad := func(format string, args ...any) (Key, error) {
		return Key{}, fmt.Errorf("route %q: %s", name, fmt.Sprintf(format, args...))
	}
	var k Key
	family, rest, _ := strings.Cut(name, " ")
	switch family {
	case "inet":
		k.Family = 4
	case "inet6":
		k.Family = 6
	default:
		return bad("want inet or inet6, not %q", family)
	}
	word := func() (w string) { w, rest, _ = strings.Cut(rest, " "); return w }
	number := func(after string) (uint32, error) {
		w := word()
		n, err := strconv.ParseUint(w, 10, 32)
		if err != nil {
			return 0, fmt.Errorf("route %q: %q after %s is no number", name, w, after)
		}
		return uint32(n), nil
	}
	var err error
	if w := word(); w != "table" {
		return bad("want table NUMBER after the family, not %q", w)
	}
	if k.Table, err = number("table"); err != nil {
		return Key{}, err
	}
	w := word()
	switch w {
	case Unreachable, Blackhole, Prohibit, Throw:
		k.Type = w
		w = word()
	}
	if k.Dst, err = destination(w, k.Family); err != nil {
		return bad("%v", err)
	}
	for rest != "" {
		switch w := word(); w {
		case "dev":
			k.Dev = word()
		case "metric":
			if k.Metric, err = number("metric"); err != nil {
				return Key{}, err
			}
		default:
			return bad("want dev or metric, not %q", w)
		}
	}
	switch {
	case k.Type == "" && k.Dev == "":
		return bad("wants a device: dev name:eth0")
	case k.Type != "" && k.Dev != "":
		return bad("%s routes have no device", k.Type)
	case k.String() != name || k.normal() != k:
		return bad("is written %q", k.normal())
	}
	return k, nil
}

func destination(w string, family int) (netip.Prefix, error) {
	if w == "default" {
		return Any(family), nil
	}
	p, err := netip.ParsePrefix(w)
	if err != nil || p.Addr().Is4() != (family == 4) || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no destination of that family: want default or a prefix", w)
	}
	return p, nil
}
