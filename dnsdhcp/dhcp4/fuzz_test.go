package dhcp4

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// check holds what is true of every outcome.
func (w *world) check(in Arrival, raw []byte) {
	w.t.Helper()
	o := &w.out
	if o.Entry.Reason == "" || o.Entry.What == "" {
		w.t.Errorf("no reason: %+v", o.Entry)
	}
	var req wire.Packet
	err := req.Decode(raw)
	if len(o.Reply) == 0 {
		if o.Entry.Reply != "" || o.Wait {
			w.t.Errorf("a reply that is none: %+v", o.Entry)
		}
		return
	}
	if err != nil || req.Op != wire.BootRequest {
		w.t.Fatalf("%s to what is no request: %v", o.Entry.Reply, err)
	}
	var p wire.Packet
	if err := p.Decode(o.Reply); err != nil {
		w.t.Fatalf("reply cannot be read: %v", err)
	}
	lib, err := dhcpv4.FromBytes(o.Reply)
	if err != nil {
		w.t.Fatalf("the library refuses the reply: %v", err)
	}
	if uint8(lib.MessageType()) != p.Type() || lib.TransactionID != [4]byte(raw[4:8]) || p.Doubled > 0 || p.Op != wire.BootReply ||
		p.CHAddr != req.CHAddr || p.GIAddr != req.GIAddr {
		w.t.Errorf("%+v to %+v", p.Header, req.Header)
	}
	size, _ := req.U16(wire.OptMaxSize)
	if len(o.Reply) > max(wire.Limit(int(size), w.link.MTU), 548) {
		w.t.Errorf("%d bytes for a client that takes %d", len(o.Reply), size)
	}
	inside := false
	for i := range w.rules.networks {
		inside = inside || w.rules.networks[i].Prefix.Contains(p.YIAddr)
	}
	if !p.YIAddr.IsUnspecified() && (!inside || isOwn(&w.link, p.YIAddr)) {
		w.t.Errorf("yiaddr %s", p.YIAddr)
	}
	d := o.Dest
	if d.Path == 0 || !d.To.IsValid() || d.IfIndex != w.link.Index || !isOwn(&w.link, d.From) || d.Path == Direct && (d.HW != o.Client.HW || len(d.HW.Addr) != 6) {
		w.t.Errorf("dest %+v", d)
	}
	if p.Type() == wire.Nak && (p.Has(wire.OptLeaseTime) || !p.YIAddr.IsUnspecified() || d.Path == Direct) {
		w.t.Errorf("NAK with a lease: %+v", p.Header)
	}
	if p.Type() == wire.Ack && req.Type() != wire.Inform {
		l, ok := w.table.At(p.YIAddr)
		if !ok || l.State != lease.Bound || l.Key != o.Client.Key {
			w.t.Errorf("ACK of %s, which the table has as %+v", p.YIAddr, l)
		}
		if s, ok := p.U32(wire.OptLeaseTime); !ok || s < 60 {
			w.t.Errorf("lease time %d", s)
		}
	}
	if string(p.Get(wire.OptClientID)) != string(req.Get(wire.OptClientID)) && !contains(o.Dropped, wire.OptClientID) {
		w.t.Error("the client identifier did not come back")
	}
	if !req.GIAddr.IsUnspecified() && string(p.Get(wire.OptRelayAgent)) != string(req.Get(wire.OptRelayAgent)) && !contains(o.Dropped, wire.OptRelayAgent) {
		w.t.Error("the relay agent's information did not come back")
	}
	if p.Has(wire.OptV6Only) && !req.Requests(wire.OptV6Only) {
		w.t.Error("option 108 unasked (RFC 8925 section 3.3)")
	}
}

func contains(list []uint8, c uint8) bool {
	for _, x := range list {
		if x == c {
			return true
		}
	}
	return false
}

// unique: no address has two live holders; the table has one entry for each, so this is about clients with two.
func (w *world) unique() {
	w.t.Helper()
	seen := map[netip.Addr]bool{}
	holders := map[string]netip.Addr{}
	for _, l := range w.table.All() {
		if seen[l.Addr] {
			w.t.Errorf("%s is there twice", l.Addr)
		}
		seen[l.Addr] = true
		if l.State == lease.Bound {
			k := l.Network + " " + string(l.Key)
			if o, ok := holders[k]; ok {
				w.t.Errorf("client %x has %s and %s", l.Key, o, l.Addr)
			}
			holders[k] = l.Addr
		}
	}
}

// FuzzHandle gives arbitrary packets, two at a time, to a small world.
func FuzzHandle(f *testing.F) {
	for _, m := range []message{
		{kind: discover, hw: ether(1), opts: opts(12, "box", 81, "\x05\x00\x00\x03box\x00")},
		{kind: discover, hw: ether(2), opts: opts(61, "\xffid", 57, []byte{2, 64}, 93, "\x00\x07", 77, "iPXE", 80, ""), list: []uint8{1, 3, 121, 249, 108, 119, 252}},
		{kind: request, hw: ether(1), opts: opts(50, addr("10.0.0.100"), 54, self)},
		{kind: request, hw: ether(1), ci: addr("10.0.0.100")},
		{kind: request, hw: ether(3), opts: opts(50, addr("10.0.0.102"))},
		{kind: decline, hw: ether(1), opts: opts(50, addr("10.0.0.100"), 54, self)},
		{kind: release, hw: ether(1), ci: addr("10.0.0.100"), opts: opts(54, self)},
		{kind: inform, hw: ether(1), ci: addr("10.0.0.77")},
		{kind: discover, hw: ether(4), gi: addr("172.16.0.1"), opts: opts(82, "\x01\x02ab\x0b\x04\x0a\x00\x00\x63")},
		{hw: ether(5), noCookie: true},
	} {
		f.Add(m.packet(), message{kind: discover, hw: ether(9)}.packet(), uint8(0))
		f.Add(message{kind: request, hw: ether(1), opts: opts(50, addr("10.0.0.100"))}.packet(), m.packet(), uint8(7))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, how uint8) {
		n := lab()
		n.Identity = Identity(how % 3)
		n.RapidCommit, n.Authoritative, n.Probe, n.Broadcast = how&4 != 0, how&8 == 0, how&16 != 0, how&32 != 0
		n.Search, n.Routes = []string{"lan", "lab.lan"}, []netip.Prefix{prefix("10.8.0.0/16")}
		n.Boot = Boot{File: "boot", IPXE: "http://boot/ipxe"}
		if how&64 != 0 {
			n.IPv6Only = time.Hour
		}
		w := newWorld(t, n, func(c *Config, nets *[]lease.Network) {
			far := lab()
			far.Name, far.Link, far.Relayed, far.Prefix = "far", "", true, prefix("172.16.0.0/24")
			c.Networks = append(c.Networks, far)
			*nets = append(*nets, lease.Network{Name: "far", Prefix: far.Prefix, Pools: pools("172.16.0.100", "172.16.0.101")})
			(*nets)[0].Reservations = []lease.Reservation{{Addr: addr("10.0.0.20"), HW: []lease.HW{ether(5)}, Name: "five"}}
			c.Hosts = []Host{{Name: "five", HW: []lease.HW{ether(5)}, Options: []option.Option{mustOption(t, "mtu!", "1400")}}}
		})
		for i, raw := range [][]byte{first, second, first, second} {
			in := Arrival{Link: &w.link, From: netip.AddrPortFrom(netip.IPv4Unspecified(), 68), To: everybody}
			w.ro = i == 3 && how&128 != 0
			w.h.Handle(w.rules, w.env(), in, raw, &w.out)
			w.check(in, raw)
			if w.out.Probe.IsValid() {
				in.Again, in.Probed = true, w.out.Probe
				w.h.Handle(w.rules, w.env(), in, raw, &w.out)
				w.check(in, raw)
			}
			for _, r := range w.out.Records {
				w.table.Written(r)
			}
			w.unique()
			w.clk.Advance(time.Minute)
		}
	})
}
