package dhcp4

import (
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

const (
	discover = wire.Discover
	request  = wire.Request
	decline  = wire.Decline
	release  = wire.Release
	inform   = wire.Inform
)

var (
	self = addr("10.0.0.1")
	a100 = addr("10.0.0.100")
)

// TestGolden holds the answers in readable form; each script is one file of testdata.
func TestGolden(t *testing.T) {
	scripts := map[string]func(*testing.T) *world{
		"acquire": func(t *testing.T) *world {
			w := newWorld(t, lab())
			w.say("DISCOVER", message{kind: discover, hw: ether(1), opts: opts(12, "Ann's Phone")})
			w.say("REQUEST of the offer, through broadcast", message{kind: request, hw: ether(1), flags: 0x8000, opts: opts(12, "Ann's Phone", 50, a100, 54, self)})
			w.clk.Advance(30 * time.Minute)
			w.say("RENEW", message{kind: request, hw: ether(1), ci: a100, to: self})
			w.clk.Advance(30 * time.Minute)
			w.say("REBIND", message{kind: request, hw: ether(1), ci: a100})
			w.say("reboot (INIT-REBOOT)", message{kind: request, hw: ether(1), opts: opts(50, a100)})
			w.say("RELEASE", message{kind: release, hw: ether(1), ci: a100, to: self, opts: opts(54, self)})
			w.say("DISCOVER of another client gets another address", message{kind: discover, hw: ether(2)})
			w.say("DISCOVER gets the old address again", message{kind: discover, hw: ether(1)})
			return w
		},
		"order-and-lists": func(t *testing.T) *world {
			n := lab()
			n.Search, n.NTP, n.MTU = []string{"lan", "lab.lan"}, []netip.Addr{{}, addr("10.0.0.9")}, 1400
			n.CaptivePortal = "https://portal.lan/api"
			n.Options = []option.Option{
				mustOption(t, "tzdb-timezone", "Europe/Berlin"), mustOption(t, "posix-timezone", "CET-1CEST"), mustOption(t, "wpad", "http://lan/wpad.dat"),
				mustOption(t, "vendor-encap!", "hex:0104"),
			}
			w := newWorld(t, n)
			w.say("everything, in its own order", message{kind: discover, hw: ether(1), list: []uint8{252, 114, 119, 101, 100, 42, 26, 28, 6, 3, 1, 15}})
			w.say("no request list", message{kind: discover, hw: ether(1), nolist: true})
			w.say("nothing but the mask", message{kind: discover, hw: ether(1), list: []uint8{1}})
			return w
		},
		"router-none": func(t *testing.T) *world {
			n := lab()
			n.Router, n.DNS, n.Routes = NoRouter, nil, []netip.Prefix{prefix("10.8.0.0/16")}
			w := newWorld(t, n)
			w.say("all ways out asked for", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 6, 33, 121, 249}})
			w.say("no list", message{kind: discover, hw: ether(1), nolist: true})
			return w
		},
		"router-split": func(t *testing.T) *world {
			n := lab()
			n.Router, n.Routes = SplitRouter, []netip.Prefix{prefix("10.8.0.0/16"), prefix("192.168.7.0/25")}
			w := newWorld(t, n)
			w.say("121", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 6, 121}})
			w.say("121 and 249", message{kind: discover, hw: ether(1), list: []uint8{249, 1, 3, 121}})
			w.say("neither", message{kind: discover, hw: ether(1), list: []uint8{1, 3}})
			return w
		},
		"router-full": func(t *testing.T) *world {
			n := lab()
			n.Routes = []netip.Prefix{prefix("10.8.0.0/16")}
			w := newWorld(t, n)
			w.say("121 holds the default route", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 121}})
			n.RouterAddr = addr("10.0.0.254")
			w.configure(n)
			w.say("another router", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 121}})
			n.Routes = nil
			w.configure(n)
			w.say("nothing to tell but that: 3 is enough, 121 says the same", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 121}})
			n.Options = []option.Option{mustOption(t, "classless-static-route", "172.16.0.0/12 via 10.0.0.7")}
			w.configure(n)
			w.say("routes by option", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 121, 249}})
			n.Options = []option.Option{mustOption(t, "router")}
			w.configure(n)
			w.say("router turned off by option", message{kind: discover, hw: ether(1), list: []uint8{1, 3}})
			n.Routes = []netip.Prefix{prefix("10.8.0.0/16")}
			w.configure(n)
			w.say("and so no default route in 121", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 121}})
			n.Router = NoRouter
			n.Options = []option.Option{mustOption(t, "router!", "10.0.0.8", "10.0.0.9"), mustOption(t, "121!", "10.8.0.0/16 via 10.0.0.7")}
			w.configure(n)
			w.say("both by option, forced", message{kind: discover, hw: ether(1), list: []uint8{1}})
			n.Options = []option.Option{mustOption(t, "121", "10.8.0.0/16 via 10.0.0.7", "default via 10.0.0.3"), mustOption(t, "3", "10.0.0.8")}
			w.configure(n)
			w.say("a default route of its own", message{kind: discover, hw: ether(1), list: []uint8{1, 3, 121}})
			return w
		},
		"nak": func(t *testing.T) *world {
			w := newWorld(t, lab())
			w.lease(ether(1), nil)
			w.lease(ether(2), nil)
			w.say("reboot with an address of another network", message{kind: request, hw: ether(3), opts: opts(50, addr("192.168.1.5"), 61, "\x01me")})
			w.say("reboot with another address than it has", message{kind: request, hw: ether(1), opts: opts(50, addr("10.0.0.103"))})
			w.say("reboot of an unknown client with an address that is free", message{kind: request, hw: ether(4), opts: opts(50, addr("10.0.0.102"))})
			w.say("reboot of an unknown client with an address that is taken", message{kind: request, hw: ether(5), opts: opts(50, a100)})
			w.say("reboot of an unknown client with an address in no pool", message{kind: request, hw: ether(5), opts: opts(50, addr("10.0.0.50"))})
			w.say("offer taken that is another's by now", message{kind: request, hw: ether(5), opts: opts(50, a100, 54, self)})
			w.say("our own address", message{kind: request, hw: ether(5), opts: opts(50, self, 54, self)})
			w.say("renewal of an address of another network", message{kind: request, hw: ether(5), ci: addr("192.168.1.5"), to: self})
			return w
		},
		"not-authoritative": func(t *testing.T) *world {
			n := lab()
			n.Authoritative = false
			w := newWorld(t, n)
			w.say("reboot of an unknown client", message{kind: request, hw: ether(4), opts: opts(50, addr("10.0.0.102"))})
			w.say("renewal of an unknown client", message{kind: request, hw: ether(4), ci: addr("10.0.0.102"), to: self})
			w.say("another network is refused all the same", message{kind: request, hw: ether(4), opts: opts(50, addr("192.168.1.5"))})
			w.say("but not to who rebinds: that may be another server's client", message{kind: request, hw: ether(4), ci: addr("192.168.1.5")})
			w.lease(ether(1), nil)
			w.say("and a known client's wrong address", message{kind: request, hw: ether(1), opts: opts(50, addr("10.0.0.103"))})
			return w
		},
		"other-server": func(t *testing.T) *world {
			n := lab()
			w := newWorld(t, n)
			w.say("offer", message{kind: discover, hw: ether(1)})
			w.say("taken from another server", message{kind: request, hw: ether(1), opts: opts(50, addr("10.0.0.200"), 54, addr("10.0.0.2"))})
			w.say("its address is free at once", message{kind: discover, hw: ether(2), opts: opts(50, a100)})
			return w
		},
		"decline": func(t *testing.T) *world {
			w := newWorld(t, lab())
			a := w.lease(ether(1), nil)
			w.say("by somebody else", message{kind: decline, hw: ether(2), opts: opts(50, a, 54, self)})
			w.say("to another server", message{kind: decline, hw: ether(1), opts: opts(50, a, 54, addr("10.0.0.2"))})
			w.say("without server", message{kind: decline, hw: ether(1), opts: opts(50, a)})
			w.say("without address", message{kind: decline, hw: ether(1), opts: opts(54, self)})
			w.say("by the holder", message{kind: decline, hw: ether(1), opts: opts(50, a, 54, self)})
			if o := w.handle(message{kind: discover, hw: ether(1), opts: opts(50, a)}); yiaddr(t, o) == a {
				t.Error("the declined address is offered again")
			}
			w.clk.Advance(DefaultQuarantine + time.Second)
			w.say("after the quarantine it is given again", message{kind: discover, hw: ether(7), opts: opts(50, a)})
			return w
		},
		"release": func(t *testing.T) *world {
			w := newWorld(t, lab())
			a := w.lease(ether(1), nil)
			w.say("by somebody else", message{kind: release, hw: ether(2), ci: a, to: self, opts: opts(54, self)})
			w.say("to another server", message{kind: release, hw: ether(1), ci: a, opts: opts(54, addr("10.0.0.2"))})
			w.say("from another address", message{kind: release, hw: ether(1), ci: a, from: addr("10.0.0.77"), opts: opts(54, self)})
			w.say("without address", message{kind: release, hw: ether(1), opts: opts(54, self)})
			w.say("by the holder, who does not name us", message{kind: release, hw: ether(1), ci: a, to: self})
			w.say("twice", message{kind: release, hw: ether(1), ci: a, to: self})
			return w
		},
		"inform": func(t *testing.T) *world {
			n := lab()
			n.CaptivePortal = "urn:ietf:params:capport:unrestricted"
			n.Options = []option.Option{mustOption(t, "T1!", "60")}
			w := newWorld(t, n)
			w.say("INFORM", message{kind: inform, hw: ether(1), ci: addr("10.0.0.77"), to: self, list: []uint8{1, 6, 15, 51, 58, 59, 114}})
			w.say("without ciaddr, from its address", message{kind: inform, hw: ether(1), from: addr("10.0.0.77"), to: self})
			w.say("from nowhere", message{kind: inform, hw: ether(1), to: self})
			w.say("of another network", message{kind: inform, hw: ether(1), ci: addr("10.9.0.77"), to: self})
			if _, ok := w.table.At(addr("10.0.0.77")); ok {
				t.Error("INFORM has made a lease")
			}
			return w
		},
		"bootp": func(t *testing.T) *world {
			w := newWorld(t, lab(), func(c *Config, n *[]lease.Network) {
				(*n)[0].Reservations = []lease.Reservation{{Addr: addr("10.0.0.20"), HW: []lease.HW{ether(1)}, Name: "old"}}
				c.Hosts = []Host{{Name: "old", HW: []lease.HW{ether(1)}}}
				c.Networks[0].Boot.File = "vmunix"
			})
			w.say("with a reservation", message{hw: ether(1), noCookie: true})
			w.say("with a cookie and no message type", message{hw: ether(1)})
			w.say("without a reservation", message{hw: ether(2), noCookie: true})
			return w
		},
		"reservation": func(t *testing.T) *world {
			w := newWorld(t, lab(), func(c *Config, n *[]lease.Network) {
				(*n)[0].Reservations = []lease.Reservation{
					{Addr: addr("10.0.0.20"), HW: []lease.HW{ether(1)}, Name: "nas"},
					{Addr: addr("10.0.0.101"), ClientIDs: []string{"\x00printer"}, Name: "printer"},
				}
				c.Hosts = []Host{
					{Name: "nas", HW: []lease.HW{ether(1)}, LeaseTime: Infinite, Options: []option.Option{mustOption(t, "mtu!", "9000"), mustOption(t, "router")}},
					{Name: "printer", ClientIDs: []string{"\x00printer"}},
					{Name: "banned", HW: []lease.HW{ether(9)}, Ignore: true},
				}
			})
			w.say("outside of the pool, by MAC though it sends an identifier; its own options", message{kind: discover, hw: ether(1), opts: opts(61, "\xffabc"), list: []uint8{1, 3, 12}})
			w.say("taken; infinite", message{kind: request, hw: ether(1), opts: opts(61, "\xffabc", 50, addr("10.0.0.20"), 54, self)})
			w.say("inside of the pool, by identifier", message{kind: discover, hw: ether(2), opts: opts(61, "\x00printer")})
			w.say("nobody else gets it", message{kind: request, hw: ether(3), opts: opts(50, addr("10.0.0.101"))})
			w.say("and it gets no other", message{kind: request, hw: ether(2), opts: opts(61, "\x00printer", 50, addr("10.0.0.102"))})
			w.say("ignored", message{kind: discover, hw: ether(9)})
			return w
		},
		"lease-time": func(t *testing.T) *world {
			w := newWorld(t, lab())
			w.say("shorter than allowed", message{kind: discover, hw: ether(1), opts: opts(51, 1), list: []uint8{1}})
			w.say("within", message{kind: discover, hw: ether(1), opts: opts(51, 5000), list: []uint8{1}})
			w.say("infinite gets the longest", message{kind: discover, hw: ether(1), opts: opts(51, []byte{255, 255, 255, 255}), list: []uint8{1}})
			w.say("the ACK says the same as the offer", message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self, 51, 5000), list: []uint8{1}})
			w.clk.Advance(2 * time.Second)
			w.say("and again when the REQUEST comes again", message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self, 51, 5000), list: []uint8{1}})
			n := lab()
			n.Lease, n.Max, n.T1, n.T2 = 10*time.Minute, 0, time.Minute, 2*time.Minute
			w.configure(n)
			w.say("T1 and T2 configured", message{kind: discover, hw: ether(1), list: []uint8{1}})
			w.configure(n, func(c *Config, _ *[]lease.Network) {
				c.Hosts = []Host{{HW: []lease.HW{ether(1)}, Options: []option.Option{mustOption(t, "58", "30"), mustOption(t, "59", "90")}}}
			})
			w.say("T1 and T2 of one host", message{kind: discover, hw: ether(1), list: []uint8{1}})
			return w
		},
		"relayed": func(t *testing.T) *world {
			n := lab()
			n.Link, n.Relayed, n.Prefix, n.Name = "", true, prefix("172.16.5.0/24"), "far"
			n.RouterAddr, n.Probe = addr("172.16.5.1"), true
			w := newWorld(t, n)
			agent := "\x01\x04eth7\x02\x03abc"
			w.say("through a relay agent", message{kind: discover, hw: ether(1), gi: addr("172.16.5.1"), to: self, opts: opts(82, agent)})
			w.say("taken", message{kind: request, hw: ether(1), gi: addr("172.16.5.1"), to: self, opts: opts(82, agent, 50, addr("172.16.5.100"), 54, self)})
			w.say("link selection", message{kind: discover, hw: ether(2), gi: addr("10.99.0.1"), to: self, opts: opts(82, "\x05\x04\xac\x10\x05\x00")})
			w.say("subnet selection", message{kind: discover, hw: ether(2), gi: addr("10.99.0.1"), to: self, opts: opts(118, addr("172.16.5.0"))})
			w.say("server identifier override", message{kind: discover, hw: ether(3), gi: addr("172.16.5.1"), to: self, opts: opts(82, "\x0b\x04\xac\x10\x05\x01")})
			w.say("renewing straight to us", message{kind: request, hw: ether(1), ci: addr("172.16.5.100"), to: self})
			w.say("NAK goes through the relay agent, to be broadcast", message{kind: request, hw: ether(4), gi: addr("172.16.5.1"), to: self, opts: opts(50, addr("172.16.9.9"), 82, agent)})
			w.say("unknown relay agent", message{kind: discover, hw: ether(1), gi: addr("172.17.5.1"), to: self})
			w.say("the link itself has no network", message{kind: discover, hw: ether(1)})
			return w
		},
		"relay on the link": func(t *testing.T) *world {
			w := newWorld(t, lab())
			w.say("an access point that adds option 82", message{kind: discover, hw: ether(1), gi: addr("10.0.0.9"), to: self, list: []uint8{1}, opts: opts(82, "\x01\x04eth7")})
			w.say("one of another network", message{kind: discover, hw: ether(1), gi: addr("10.9.0.9"), to: self, list: []uint8{1}})
			return w
		},
		"destination": func(t *testing.T) *world {
			w := newWorld(t, lab())
			w.say("Ethernet without the flag", message{kind: discover, hw: ether(1), list: []uint8{1}})
			w.say("with the flag", message{kind: discover, hw: ether(1), flags: 0x8000, list: []uint8{1}})
			w.say("not Ethernet", message{kind: discover, hw: lease.HW{Type: 32, Addr: "\x01\x02\x03\x04\x05\x06\x07\x08"}, opts: opts(50, addr("10.0.0.101")), list: []uint8{1}})
			w.say("a ciaddr in a DISCOVER is no address to answer to", message{kind: discover, hw: ether(1), ci: addr("10.0.0.9"), list: []uint8{1}})
			n := lab()
			n.Broadcast = true
			w.configure(n)
			w.say("forced", message{kind: discover, hw: ether(1), list: []uint8{1}})
			return w
		},
		"ipv6-only": func(t *testing.T) *world {
			n := lab()
			n.IPv6Only = 30 * time.Minute
			w := newWorld(t, n)
			w.say("who does not ask needs IPv4", message{kind: discover, hw: ether(1), list: []uint8{1}})
			w.say("who asks gets no address", message{kind: discover, hw: ether(2), list: []uint8{1, 108}})
			w.say("nor by REQUEST", message{kind: request, hw: ether(2), list: []uint8{1, 108}, opts: opts(50, addr("10.0.0.101"), 54, self)})
			w.lease(ether(1), nil)
			w.say("one with a lease is told at the next renewal", message{kind: request, hw: ether(1), list: []uint8{1, 108}, ci: a100, to: self})
			n.IPv6Only, n.Options = 0, []option.Option{mustOption(t, "ipv6-only!", "600")}
			w.configure(n)
			w.say("never unasked, though the option is forced", message{kind: discover, hw: ether(1), list: []uint8{1}})
			if _, ok := w.table.Of("lab", "h\x01"+lease.Key(ether(2).Addr)); ok {
				t.Error("an address is kept for who needs none")
			}
			return w
		},
		"rapid-commit": func(t *testing.T) *world {
			n := lab()
			w := newWorld(t, n)
			w.say("not configured: an offer", message{kind: discover, hw: ether(1), opts: opts(80, ""), list: []uint8{1}})
			n.RapidCommit = true
			w.configure(n)
			w.say("configured: ACK", message{kind: discover, hw: ether(1), opts: opts(80, ""), list: []uint8{1}})
			w.say("who does not ask", message{kind: discover, hw: ether(2), list: []uint8{1}})
			return w
		},
	}
	for _, list := range []map[string]func(*testing.T) *world{scripts, clientScripts} {
		for name, script := range list {
			t.Run(name, func(t *testing.T) { script(t).golden() })
		}
	}
}

func mustOption(t testing.TB, name string, values ...string) option.Option {
	t.Helper()
	if name == "merit" {
		name, values = "14", []string{"hex:" + idString(values[0])}
	}
	o, err := option.Parse(name, values)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
