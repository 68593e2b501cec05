//go:build lab && linux

package serve

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// TestClients has five clients each do what a DHCP client does in its life. Renewal comes two seconds after the lease and rebinding
// four, so that all of it takes seconds. Both sides are looked at: what was on the wire, and which address the client then has.
func TestClients(t *testing.T) {
	need(t)
	for _, tt := range []struct {
		name string
		make func(t *testing.T) (*bed.Segment, client)
	}{
		{"dhclient", func(t *testing.T) (*bed.Segment, client) {
			s := bed.NewSegment(t)
			return s, &dhclient{newDirect(t, s)}
		}},
		{"udhcpc", func(t *testing.T) (*bed.Segment, client) {
			s := bed.NewSegment(t)
			return s, &udhcpc{newDirect(t, s)}
		}},
		{"dhcpcd", func(t *testing.T) (*bed.Segment, client) {
			s := bed.NewSegment(t)
			c := &dhcpcd{direct: newDirect(t, s)}
			bed.Mount(t, c.ns, "/var/lib/dhcpcd", "/run/dhcpcd")
			return s, c
		}},
		{"networkd", func(t *testing.T) (*bed.Segment, client) {
			s, m := bootOn(t, "bookworm-netplan", lab.Overlay{networkdFile: {Content: networkdConfig(false)}})
			return s, &networkd{machine: machine{m}, s: s, port: "isp0"}
		}},
		{"NetworkManager", func(t *testing.T) (*bed.Segment, client) {
			s, m := bootOn(t, "bookworm-nm", lab.Overlay{"/etc/NetworkManager/system-connections/eth0.nmconnection": {Mode: 0o600,
				Content: "[connection]\nid=eth0\nuuid=4b1f9f5e-3c53-4f0e-9c6e-7f6d0f9a0055\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\ndad-timeout=300\n[ipv6]\nmethod=disabled\n"}})
			return s, &networkManager{machine{m}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, c := tt.make(t)
			live(t, tt.name, s, c)
		})
	}
}

// bootOn boots a machine with eth0 on a segment; nothing of its network is started yet but what serves nobody.
func bootOn(t *testing.T, root string, files lab.Overlay) (*bed.Segment, *lab.Machine) {
	t.Helper()
	dir := lab.Root(t, root)
	w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{{Name: "eth0", Net4: "10.99.0.0/24", NoDHCP: true, NoRA: true}}})
	s := bed.OnWorld(t, w, "isp0")
	return s, lab.Boot(t, dir, w, lab.BootOpts{Config: lab.NoConfig, Overlay: files})
}

// life is one client's run through the matrix.
type life struct {
	t    *testing.T
	name string
	s    *bed.Segment
	c    client
	wire *bed.Capture
	addr netip.Addr // what the client has
	up   bool       // it runs
}

func live(t *testing.T, name string, s *bed.Segment, c client) {
	cfg := dhcp(55)
	cfg.Router = true
	cfg.T1, cfg.T2 = 2*time.Second, 4*time.Second
	if name == "networkd" {
		cfg.T2 = 8 * time.Second // it moves both by up to two seconds at random, and one that comes first ends the other
	}
	l := &life{t: t, name: name, s: s, c: c, wire: s.Capture(t)}
	server := s.Start(t, ours, cfg)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the wire has seen:\n%s", l.wire.Text(0))
		}
	})

	l.cell("acquire", func(t *testing.T) {
		mark := l.wire.Mark()
		c.start(t)
		req := l.expect(t, mark, "SELECTING")
		if !req.DHCP.ServerIdentifier().Equal(cfg.Net.Addr().AsSlice()) {
			t.Errorf("the client takes the offer of %v", req.DHCP.ServerIdentifier())
		}
		l.acked(t, mark, req)
	})
	l.cell("renew", func(t *testing.T) {
		mark := l.wire.Mark()
		c.renew(t)
		req := l.expect(t, mark, "RENEWING")
		l.asHolder(t, req)
		if req.Dst.Addr() != cfg.Net.Addr() {
			t.Errorf("the renewal went to %v, not to the server", req.Dst)
		}
		l.acked(t, mark, req)
	})
	l.cell("rebind", func(t *testing.T) {
		s.DropUnicast(true)
		defer s.DropUnicast(false)
		mark := l.wire.Mark()
		c.renew(t)
		req := l.expect(t, mark, "REBINDING")
		l.asHolder(t, req)
		l.acked(t, mark, req)
	})
	l.cell("reboot", func(t *testing.T) {
		before := l.addr
		c.crash(t)
		mark := l.wire.Mark()
		c.start(t)
		req := l.expect(t, mark, "INIT-REBOOT")
		if !req.DHCP.ClientIPAddr.IsUnspecified() || !req.DHCP.RequestedIPAddress().Equal(before.AsSlice()) || req.DstMAC != "ff:ff:ff:ff:ff:ff" {
			t.Errorf("that is no INIT-REBOOT for %v: %v", before, req)
		}
		l.acked(t, mark, req)
		if l.addr != before {
			t.Errorf("after the reboot the client has %v, before it had %v", l.addr, before)
		}
	})
	l.cell("release", func(t *testing.T) {
		mark := l.wire.Mark()
		c.release(t)
		l.up = false
		rel := l.expect(t, mark, "RELEASE")
		// The server identifier is a MUST (RFC 2131, table 5), which networkd leaves out after an INIT-REBOOT.
		if !rel.DHCP.ClientIPAddr.Equal(l.addr.AsSlice()) || rel.DHCP.ServerIdentifier() == nil && name != "networkd" {
			t.Errorf("a release names the address and the server: %v", rel)
		}
		lab.Await(t, 5*time.Second, func() error {
			if has := c.addrs(); slices.Contains(has, l.addr.String()) {
				return fmt.Errorf("the client still has %v", has)
			}
			return nil
		})
	})
	l.cell("decline", func(t *testing.T) {
		s.Occupy(l.addr)
		c.check(t)
		mark := l.wire.Mark()
		c.start(t)
		dec := l.expect(t, mark, "DECLINE")
		if !dec.DHCP.RequestedIPAddress().Equal(l.addr.AsSlice()) || dec.DHCP.ServerIdentifier() == nil {
			t.Errorf("a DECLINE names the address and the server: %v", dec)
		}
		taken := l.addr
		mark = dec.N
		req := l.expect(t, mark, "SELECTING")
		l.acked(t, mark, req)
		if l.addr == taken {
			t.Errorf("the client has %v again, which it declined", taken)
		}
	})
	l.cell("renumber", func(t *testing.T) {
		if !l.up { // the cell before was left out
			mark := l.wire.Mark()
			c.start(t)
			l.acked(t, mark, l.expect(t, mark, "SELECTING"))
		}
		server.Stop(syscall.SIGTERM)
		other := dhcp(56)
		other.T1, other.T2, other.Router = cfg.T1, cfg.T2, true
		mark := l.wire.Mark()
		server.Again(t, other)
		c.renew(t)
		nak := l.expect(t, mark, "NAK")
		if nak.Dst.Addr().String() != "255.255.255.255" || nak.DHCP.IPAddressLeaseTime(0) != 0 || !nak.DHCP.YourIPAddr.IsUnspecified() {
			t.Errorf("a NAK is broadcast and has no address and no lease time (RFC 2131, table 3): %v", nak)
		}
		req := l.expect(t, mark, "SELECTING")
		l.acked(t, mark, req)
		if !other.Net.Contains(l.addr) {
			t.Errorf("after the renumbering the client has %v", l.addr)
		}
	})
}

// cell is one cell of the matrix; one that the client cannot do is skipped with the reason.
func (l *life) cell(name string, f func(t *testing.T)) {
	if l.t.Failed() {
		return // what comes after depends on it
	}
	l.t.Run(name, func(t *testing.T) {
		if why := cannot[l.name][name]; why != "" {
			t.Skipf("%s cannot %s: %s", l.name, name, why)
		}
		if why := deviates[ours.Name()][l.name+" "+name]; why != "" {
			t.Skipf("%s with %s: %s", l.name, ours.Name(), why)
		}
		f(t)
	})
}

func (l *life) expect(t *testing.T, mark int, kind string) bed.Packet {
	t.Helper()
	return l.wire.Await(t, 15*time.Second, mark, kind, bed.Is(kind))
}

// asHolder checks a RENEWING or REBINDING request: it says which address it is about in ciaddr and nothing else (RFC 2131, table 4).
func (l *life) asHolder(t *testing.T, p bed.Packet) {
	t.Helper()
	if !p.DHCP.ClientIPAddr.Equal(l.addr.AsSlice()) || p.DHCP.ServerIdentifier() != nil || p.DHCP.RequestedIPAddress() != nil ||
		p.Kind() == "RENEWING" && p.Src.Addr() != l.addr { // networkd and NetworkManager rebind from 0.0.0.0
		t.Errorf("that is no renewal of %v: %v", l.addr, p)
	}
}

// acked waits for the answer to a request and for the client to have the address.
func (l *life) acked(t *testing.T, mark int, req bed.Packet) {
	t.Helper()
	ack := l.wire.Await(t, 5*time.Second, mark, "the ACK", func(p bed.Packet) bool {
		return p.Kind() == "ACK" && p.DHCP.TransactionID == req.DHCP.TransactionID && !p.At.Before(req.At)
	})
	if ack.DHCP.OpCode != dhcpv4.OpcodeBootReply || ack.DHCP.IPAddressLeaseTime(0) != 2*time.Minute {
		t.Errorf("the ACK has op %v and lease time %v", ack.DHCP.OpCode, ack.DHCP.IPAddressLeaseTime(0))
	}
	if !req.DHCP.ClientIPAddr.IsUnspecified() && ack.DstMAC == "ff:ff:ff:ff:ff:ff" {
		t.Errorf("a client with an address is answered by unicast: %v", ack)
	}
	l.up = true
	l.addr, _ = netip.AddrFromSlice(ack.DHCP.YourIPAddr.To4())
	lab.Await(t, 8*time.Second, func() error {
		if has := l.c.addrs(); len(has) != 1 || has[0] != l.addr.String() {
			return fmt.Errorf("the client was given %v and has %v", l.addr, has)
		}
		return nil
	})
}
