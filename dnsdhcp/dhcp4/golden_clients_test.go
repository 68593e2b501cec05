package dhcp4

import (
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// clientScripts are those about who the client is and what state it is in.
var clientScripts = map[string]func(*testing.T) *world{
	"names": func(t *testing.T) *world {
		w := newWorld(t, lab())
		list := []uint8{1, 12}
		w.say("option 12, mended", message{kind: discover, hw: ether(1), opts: opts(12, "My Box\x00"), list: list})
		w.say("81 in ASCII, before 12; the server shall update", message{kind: discover, hw: ether(1), opts: opts(12, "other", 81, "\x01\x00\x00web.example.com"), list: list})
		w.say("81 in DNS encoding, the client would update", message{kind: discover, hw: ether(1), opts: opts(81, "\x04\x00\x00\x03web\x00"), list: list})
		w.say("81 asks for no records", message{kind: discover, hw: ether(1), opts: opts(12, "web", 81, "\x0c\x00\x00\x03web\x00"), list: list})
		w.say("a name that nobody may have", message{kind: discover, hw: ether(1), opts: opts(12, "wpad", 81, "\x01\x00\x00isatap"), list: list})
		w.say("rubbish", message{kind: discover, hw: ether(1), opts: opts(12, "a\x1b[2Jb", 81, "\x05\xff\xff\x3fweb"), list: list})
		w.say("the first holder", message{kind: request, hw: ether(1), opts: opts(12, "web", 50, a100, 54, self), list: list})
		w.say("and a second one", message{kind: discover, hw: ether(2), opts: opts(12, "web", 81, "\x01\x00\x00web"), list: list})
		return w
	},
	"boot": func(t *testing.T) *world {
		n := lab()
		n.Boot = Boot{File: "pxelinux.0", Arch: map[uint16]string{7: "ipxe.efi", 16: "http://10.0.0.1/boot.efi"}, IPXE: "http://10.0.0.1/menu.ipxe"}
		n.Router, n.DNS, n.Domain = NoRouter, nil, ""
		w := newWorld(t, n)
		list := []uint8{1, 66, 67}
		pxe := "PXEClient:Arch:00000:UNDI:002001"
		w.say("BIOS", message{kind: discover, hw: ether(1), opts: opts(60, pxe, 93, "\x00\x00"), list: list})
		w.say("UEFI", message{kind: discover, hw: ether(1), opts: opts(60, pxe, 93, "\x00\x07"), list: list})
		w.say("iPXE by user class", message{kind: discover, hw: ether(1), opts: opts(60, pxe, 93, "\x00\x07", 77, "iPXE"), list: list})
		w.say("iPXE by its options, RFC 3004 class", message{kind: discover, hw: ether(1), opts: opts(93, "\x00\x07", 175, "\xb1\x01\x02", 77, "\x04iPXE"), list: list})
		w.say("UEFI over HTTP", message{kind: discover, hw: ether(1), opts: opts(60, "HTTPClient:Arch:00016", 93, "\x00\x10"), list: list})
		w.say("UEFI over HTTP of an architecture without a URL", message{kind: discover, hw: ether(1), opts: opts(60, "HTTPClient:Arch:00007", 93, "\x00\x07"), list: list})
		n.Boot.IPXE, n.Boot.Server = "", addr("10.0.0.5")
		w.configure(n)
		w.say("iPXE does not load itself", message{kind: discover, hw: ether(1), opts: opts(93, "\x00\x07", 77, "iPXE"), list: list})
		w.say("iPXE in a BIOS loads what it is given", message{kind: discover, hw: ether(1), opts: opts(93, "\x00\x00", 77, "iPXE"), list: list})
		return w
	},
	"identity": func(t *testing.T) *world {
		w := newWorld(t, lab())
		w.say("boot loader, without identifier", message{kind: discover, hw: ether(1), list: []uint8{1}})
		w.say("takes it", message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self), list: []uint8{1}})
		w.say("the system, with one, has the same address", message{kind: discover, hw: ether(1), opts: opts(61, "\xffsystem"), list: []uint8{1}})
		w.say("takes it", message{kind: request, hw: ether(1), opts: opts(61, "\xffsystem", 50, a100, 54, self), list: []uint8{1}})
		w.clk.Advance(time.Minute)
		w.say("renews it", message{kind: request, hw: ether(1), ci: a100, to: self, opts: opts(61, "\xffsystem"), list: []uint8{1}})
		w.say("boot loader again", message{kind: discover, hw: ether(1), list: []uint8{1}})
		w.say("another system of the same machine is another client", message{kind: discover, hw: ether(1), opts: opts(61, "\xffsecond"), list: []uint8{1}})
		return w
	},
	"clones": func(t *testing.T) *world {
		w := newWorld(t, lab())
		id := opts(61, "\xffmachine-id", 12, "vm")
		w.say("the first", message{kind: discover, hw: ether(1), opts: id, list: []uint8{1}})
		w.say("the second, at the same time", message{kind: discover, hw: ether(2), opts: id, list: []uint8{1}})
		w.say("the first takes its offer", message{kind: request, hw: ether(1), opts: with(id, 50, a100, 54, self), list: []uint8{1}})
		w.say("so does the second", message{kind: request, hw: ether(2), opts: with(id, 50, addr("10.0.0.101"), 54, self), list: []uint8{1}})
		for i := range 2 {
			w.clk.Advance(30 * time.Minute)
			w.say("the first renews", message{kind: request, hw: ether(1), ci: a100, to: self, opts: id, list: []uint8{1}})
			w.say("the second renews", message{kind: request, hw: ether(2), ci: addr("10.0.0.101"), to: self, opts: id, list: []uint8{1}})
			if i == 0 {
				w.say("an address of the other is refused", message{kind: request, hw: ether(2), opts: with(id, 50, a100), list: []uint8{1}})
			}
		}
		w.say("the first goes", message{kind: release, hw: ether(1), ci: a100, to: self, opts: id})
		w.say("the second keeps its address", message{kind: request, hw: ether(2), ci: addr("10.0.0.101"), to: self, opts: id, list: []uint8{1}})
		return w
	},
	"read-only": func(t *testing.T) *world {
		n := lab()
		w := newWorld(t, n)
		a := w.lease(ether(1), nil)
		w.ro = true
		w.say("a new client", message{kind: discover, hw: ether(2), list: []uint8{1}})
		w.say("a new client's REQUEST", message{kind: request, hw: ether(2), opts: opts(50, addr("10.0.0.101"), 54, self), list: []uint8{1}})
		w.clk.Advance(30 * time.Minute)
		w.say("a lease is as long as storage knows", message{kind: request, hw: ether(1), ci: a, to: self, list: []uint8{1}})
		w.clk.Advance(29 * time.Minute)
		w.say("but not too short", message{kind: request, hw: ether(1), ci: a, to: self, list: []uint8{1}})
		w.say("nor is an offer", message{kind: discover, hw: ether(1), list: []uint8{1}})
		w.clk.Advance(119 * time.Second)
		w.say("within the grace", message{kind: request, hw: ether(1), ci: a, to: self, list: []uint8{1}})
		w.clk.Advance(119 * time.Second)
		w.say("to its end", message{kind: request, hw: ether(1), ci: a, to: self, list: []uint8{1}})
		w.clk.Advance(119 * time.Second)
		w.say("beyond it", message{kind: request, hw: ether(1), ci: a, to: self, list: []uint8{1}})
		w.ro = false
		w.say("written again", message{kind: request, hw: ether(1), ci: a, to: self, list: []uint8{1}})
		return w
	},
	"full": func(t *testing.T) *world {
		w := newWorld(t, lab())
		for i := range 4 {
			w.lease(ether(1+i), nil)
		}
		w.say("no address left", message{kind: discover, hw: ether(9)})
		w.say("whoever has one is answered", message{kind: discover, hw: ether(1), list: []uint8{1}})
		w.clk.Advance(time.Hour + time.Second)
		w.say("the longest unused of those that ran out", message{kind: discover, hw: ether(9), list: []uint8{1}})
		return w
	},
	"refused": func(t *testing.T) *world {
		w := newWorld(t, lab())
		w.say("an OFFER", message{kind: wire.Offer, hw: ether(1)})
		w.say("type 13", message{kind: 13, hw: ether(1)})
		w.say("REQUEST without address", message{kind: request, hw: ether(1)})
		w.say("SELECTING without address", message{kind: request, hw: ether(1), opts: opts(54, self)})
		w.say("nobody", message{kind: discover, hw: lease.HW{Type: 1, Addr: "\x00\x00\x00\x00\x00\x00"}})
		w.say("nobody's address, but with an identifier", message{kind: discover, hw: lease.HW{Type: 1, Addr: "\x00\x00\x00\x00\x00\x00"}, opts: opts(61, "\x00id", 50, a100), list: []uint8{1}})
		w.say("no address, but with an identifier", message{kind: discover, hw: lease.HW{Type: 1}, opts: opts(61, "\x00id", 50, a100), list: []uint8{1}})
		w.link.Addrs = nil
		w.say("no address on the link", message{kind: discover, hw: ether(1)})
		w.link.Addrs = []link.Addr{{Prefix: prefix("10.0.0.1/24"), Tentative: true}}
		w.say("no address that is ours for certain", message{kind: discover, hw: ether(1)})
		w.link.Name = "wlan0"
		w.say("another link", message{kind: discover, hw: ether(1)})
		return w
	},
	"two-networks": func(t *testing.T) *world {
		w := newWorld(t, lab(), func(c *Config, n *[]lease.Network) {
			b := lab()
			b.Name, b.Prefix, b.Domain = "two", prefix("10.2.0.0/24"), "two.lan"
			c.Networks = append(c.Networks, b)
			*n = append(*n, lease.Network{Name: "two", Prefix: b.Prefix, Pools: pools("10.2.0.100", "10.2.0.100")})
		})
		w.link.Addrs = []link.Addr{{Prefix: prefix("169.254.1.1/16")}, {Prefix: prefix("10.2.0.1/24")}, {Prefix: prefix("10.0.0.1/24")}}
		w.say("the first by default, and our address in it", message{kind: discover, hw: ether(1), list: []uint8{3, 15}})
		w.say("the second by the wish", message{kind: discover, hw: ether(2), list: []uint8{3, 15}, opts: opts(50, addr("10.2.0.100"))})
		w.say("taken, with any of our addresses as server", message{kind: request, hw: ether(2), list: []uint8{3, 15}, opts: opts(50, addr("10.2.0.100"), 54, self)})
		w.say("renewed", message{kind: request, hw: ether(2), list: []uint8{3, 15}, ci: addr("10.2.0.100"), to: addr("10.2.0.1")})
		return w
	},
	"probe": func(t *testing.T) *world {
		n := lab()
		n.Probe = true
		w := newWorld(t, n)
		w.say("an address that nobody known has had", message{kind: discover, hw: ether(1)})
		w.say("found free", message{kind: discover, hw: ether(1), probed: a100})
		w.say("taken", message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self)})
		w.say("its own needs no probe", message{kind: discover, hw: ether(1)})
		return w
	},
	"small": func(t *testing.T) *world {
		n := lab()
		n.Search = []string{strings.Repeat("a", 60) + ".example", strings.Repeat("b", 60) + ".example"}
		n.Options = []option.Option{mustOption(t, "root-path", strings.Repeat("r", 200)), mustOption(t, "merit", strings.Repeat("m", 120)), mustOption(t, "wpad", strings.Repeat("w", 90))}
		w := newWorld(t, n)
		m := message{kind: discover, hw: ether(1), list: []uint8{1, 3, 6, 252, 119, 17, 14}, opts: opts(57, []byte{2, 64}, 61, "\xffidentifier")}
		w.say("fields of BOOTP are used where options do not fit into 576 bytes", m)
		m.gi, m.opts[82] = addr("10.0.0.1"), []byte(strings.Repeat("\x01\x01x", 50))
		return w
	},
}
