package wireguard

import (
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// manyPeers are n peers, the first with enough prefixes for several messages.
func manyPeers(n, prefixes int) (change, Device) {
	k, port, mark := key(1), uint16(51820), uint32(0x10000)
	c := change{privateKey: &k, listenPort: &port, fwmark: &mark}
	d := Device{PrivateKey: k, PublicKey: k.Public(), ListenPort: port, Fwmark: mark}
	for i := range n {
		p := Peer{PublicKey: Key{0: byte(i), 1: byte(i >> 8), 2: 1}, PresharedKey: Key{3: byte(i), 4: 1}, PersistentKeepalive: uint16(i + 1)}
		p.Endpoint = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 7)
		if i%2 == 1 {
			p.Endpoint = netip.MustParseAddrPort("[fe80::1%7]:51820")
		}
		p.AllowedIPs = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)}
		for j := range prefixes {
			if i == 0 {
				p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 2: byte(j >> 8), 3: byte(j)}), 64))
			}
		}
		c.peers = append(c.peers, peerChange{publicKey: p.PublicKey, presharedKey: &p.PresharedKey, endpoint: p.Endpoint, keepalive: &p.PersistentKeepalive, allowed: p.AllowedIPs})
		d.Peers = append(d.Peers, p)
	}
	return c, d
}

// What is sent in however many messages is read as the same again, and no message is too long.
func TestMessagesAreReadAgain(t *testing.T) {
	for _, tt := range []struct{ peers, prefixes, limit, least int }{
		{0, 0, messageLimit, 1}, {1, 0, messageLimit, 1}, {1, 2000, messageLimit, 3}, {1000, 0, messageLimit, 5}, {30, 40, 600, 10},
	} {
		c, want := manyPeers(tt.peers, tt.prefixes)
		msgs := c.messages(3, tt.limit)
		var got Device
		if err := decodeDevice(&got, msgs); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %d peers are read, and not the same", tt, len(got.Peers))
		}
		if len(msgs) < tt.least {
			t.Errorf("%+v: only %d messages", tt, len(msgs))
		}
		for _, m := range msgs {
			if len(m) > tt.limit+2*peerMost {
				t.Errorf("%+v: a message of %d bytes", tt, len(m))
			}
		}
	}
}

// What happens once is in the first message of a device or a peer alone: flags by linux/wireguard.h.
func TestOnceOnly(t *testing.T) {
	c, _ := manyPeers(1, 100)
	c.replacePeers = true
	c.peers[0].replaceAllowed = true
	c.peers = append(c.peers, peerChange{publicKey: key(5), remove: true}, peerChange{publicKey: key(6), updateOnly: true})
	msgs := c.messages(3, 1000)
	if len(msgs) < 3 {
		t.Fatalf("%d messages show nothing", len(msgs))
	}
	flags := map[Key][]uint32{}
	for i, m := range msgs {
		attrs, err := netdev.ParseAttrs(m[4:])
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range attrs {
			switch a.Kind {
			case devIndex:
			case devPeers | unix.NLA_F_NESTED:
				list, _ := netdev.ParseAttrs(a.Data)
				for _, one := range list {
					var k Key
					f := uint32(0)
					fields, _ := netdev.ParseAttrs(one.Data)
					for _, x := range fields {
						switch x.Kind {
						case peerPublicKey:
							copy(k[:], x.Data)
						case peerFlags:
							f = uint32(number(x.Data))
						}
					}
					flags[k] = append(flags[k], f)
				}
			default:
				if i > 0 {
					t.Errorf("message %d has the attribute %d again", i, a.Kind)
				}
			}
		}
	}
	first := flags[c.peers[0].publicKey]
	for i, f := range first {
		if i == 0 && f != peerReplaceAllowed || i > 0 && f != peerUpdateOnly {
			t.Errorf("flags of the first peer: %v", first)
		}
	}
	if !reflect.DeepEqual(flags[key(5)], []uint32{peerRemove}) || !reflect.DeepEqual(flags[key(6)], []uint32{peerUpdateOnly}) {
		t.Errorf("flags %v", flags)
	}
}

func FuzzDecodeDevice(f *testing.F) {
	for _, n := range []int{0, 3} {
		c, _ := manyPeers(n, 4)
		for _, m := range c.messages(3, 400) {
			f.Add(m)
		}
	}
	f.Add(rtnl.AppendAttr(genlHeader(0), devPeers, rtnl.AppendAttr(nil, 0, rtnl.AppendAttr(nil, peerAllowed, rtnl.AppendAttr(nil, 0, rtnl.AppendAttr(nil, allowedBits, []byte{33}))))))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Device
		if err := decodeDevice(&d, [][]byte{b, b}); err != nil {
			return
		}
		for i := range d.Peers {
			// Addresses of the kernel are set again when a removal is gone back on.
			if _, err := parseAllowedIPs(d.Peers[i].attrs()[AttrAllowedIPs]); err != nil {
				t.Errorf("what is read cannot be set: %v", err)
			}
		}
		_ = d.attrs()
	})
}
