package dhcp4

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// Query is a client whose answer somebody wants to know.
type Query struct {
	HW       lease.HW
	ClientID string // raw; empty: that of its newest lease, if it has one
	// Type is the message; 0 is a DISCOVER. With a REQUEST, Addr is what the client remembers (INIT-REBOOT).
	Type        uint8
	Addr        netip.Addr
	Hostname    string
	VendorClass string
	UserClass   string
	Arch        []uint16
	Requests    []uint8    // nil: what Linux clients ask for
	Relay       netip.Addr // giaddr; invalid: it is on the link itself
}

// usual is about what dhclient, systemd-networkd and NetworkManager ask for.
var usual = []uint8{1, 3, 6, 12, 15, 26, 28, 42, 51, 54, 58, 59, 114, 119, 121}

// Packet is the message that such a client sends.
func (q Query) Packet() []byte {
	var b wire.Builder
	kind := q.Type
	if kind == 0 {
		kind = wire.Discover
	}
	b.PutU8(wire.OptMessageType, kind)
	if q.ClientID != "" {
		b.Put(wire.OptClientID, []byte(q.ClientID))
	}
	h := wire.Header{Op: wire.BootRequest, HType: q.HW.Type, HLen: uint8(min(len(q.HW.Addr), 16)), XID: 1, GIAddr: q.Relay}
	copy(h.CHAddr[:], q.HW.Addr)
	if q.Addr.IsValid() {
		if kind == wire.Inform || kind == wire.Release {
			h.CIAddr = q.Addr
		} else {
			b.PutAddr(wire.OptRequestedIP, q.Addr)
		}
	}
	for _, o := range [...]struct {
		code uint8
		v    string
	}{{wire.OptHostname, q.Hostname}, {wire.OptVendorClass, q.VendorClass}, {wire.OptUserClass, q.UserClass}} {
		if o.v != "" {
			b.Put(o.code, []byte(o.v))
		}
	}
	if len(q.Arch) > 0 {
		var v []byte
		for _, a := range q.Arch {
			v = binary.BigEndian.AppendUint16(v, a)
		}
		b.Put(wire.OptArch, v)
	}
	list := q.Requests
	if list == nil {
		list = usual
	}
	if len(list) > 0 {
		b.Put(wire.OptRequestList, list)
	}
	return b.Append(nil, &h, nil, wire.Limit(1500, 1500))
}

// Answer is what the client would get.
type Answer struct {
	Reply  []byte // the exact message, but for xid; empty for silence
	Dest   Dest
	Reason string
	Detail string
	Probe  bool // the address would be probed first
	Text   string
}

// Explain answers a query as Handle would, with the difference that nothing comes of it: t is a copy of the lease
// table that is thrown away afterwards (a new table with the same networks, and Restore of All). Rate limits do not
// count.
func Explain(r *Rules, env Env, l *link.Link, t Leases, q Query) (Answer, error) {
	h := NewHandler(t)
	if q.ClientID == "" {
		for _, n := range r.Networks(l.Name) {
			if b := newest(t.ByHW(n, q.HW), func(*lease.Lease) bool { return true }); b != nil {
				q.ClientID = b.ClientID
				break
			}
		}
	}
	in := Arrival{Link: l, To: netip.AddrFrom4([4]byte{255, 255, 255, 255}), Again: true}
	if q.Relay.IsValid() {
		in.From = netip.AddrPortFrom(q.Relay, ServerPort)
	}
	var out Outcome
	raw := q.Packet()
	h.Handle(r, env, in, raw, &out)
	a := Answer{}
	if out.Probe.IsValid() {
		a.Probe, in.Probed = true, out.Probe
		h.Handle(r, env, in, raw, &out)
	}
	a.Reply, a.Dest, a.Reason, a.Detail = out.Reply, out.Dest, out.Entry.Reason, out.Entry.Detail
	var s strings.Builder
	if len(a.Reply) == 0 {
		fmt.Fprintf(&s, "no answer: %s", a.Reason)
		if a.Detail != "" {
			fmt.Fprintf(&s, " (%s)", a.Detail)
		}
		s.WriteByte('\n')
	} else {
		fmt.Fprintf(&s, "%s (%s), %s\n", out.Entry.Reply, a.Reason, a.Dest)
		if a.Probe {
			fmt.Fprintf(&s, "after an ARP probe for %s\n", out.Entry.Addr)
		}
		text, err := Describe(a.Reply)
		if err != nil {
			return a, fmt.Errorf("cannot read back the reply: %w", err)
		}
		s.WriteString(text)
		for _, c := range out.Dropped {
			fmt.Fprintf(&s, "no room for %s\n", option.Name(c))
		}
	}
	for _, e := range out.Events {
		fmt.Fprintf(&s, "%s\n", e.Detail)
	}
	a.Text = s.String()
	return a, nil
}
