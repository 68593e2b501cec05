//go:build lab && linux

package serve

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// talker is one client of the packet script: what it has been told so far, and by whom.
type talker struct {
	t   *testing.T
	s   *bed.Speaker
	cfg bed.Config
	mac net.HardwareAddr
	n   int
	// Of the last OFFER or ACK.
	addr netip.Addr
}

var zero = netip.IPv4Unspecified()

// option is a modification of a message.
type option = dhcpv4.Modifier

func with(code uint8, value ...byte) option {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(code), value))
}
func withAddr(code uint8, a netip.Addr) option { return with(code, a.AsSlice()...) }
func requested(a netip.Addr) option            { return withAddr(50, a) }
func serverID(a netip.Addr) option             { return withAddr(54, a) }
func ciaddr(a netip.Addr) option               { return dhcpv4.WithClientIP(a.AsSlice()) }
func asks(codes ...byte) option                { return with(55, codes...) }

// relay is the relay agent of the script, and the network that it relays from.
var (
	relay        = netip.MustParseAddr("10.57.0.9")
	relayedFrom  = netip.MustParsePrefix("10.57.0.0/24")
	relayedFirst = netip.MustParseAddr("10.57.0.100")
)

func relayed(m *dhcpv4.DHCPv4) {
	m.GatewayIPAddr = relay.AsSlice()
	m.HopCount = 1
	m.Options.Update(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, []byte{1, 4, 'p', 'o', 'r', 't', 2, 2, 0xab, 0xcd}))
}

func (k *talker) message(kind dhcpv4.MessageType, mods ...option) *dhcpv4.DHCPv4 {
	k.n++
	m, err := dhcpv4.New(append([]option{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(k.mac),
		dhcpv4.WithTransactionID(dhcpv4.TransactionID{k.mac[4], k.mac[5], byte(k.n), 0x5e}), asks(1, 3, 6, 15, 28, 51, 58, 59)}, mods...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	return m
}

// silence is how long a server is listened to that is expected to say nothing.
const silence = 400 * time.Millisecond

// ask sends a message where a client in its state sends it and describes the answer.
func (k *talker) ask(kind dhcpv4.MessageType, mods ...option) string {
	return k.raw(k.message(kind, mods...).ToBytes())
}

func (k *talker) raw(b []byte) string {
	from, to := netip.AddrFrom4([4]byte(b[12:16])), bed.Broadcast
	switch {
	case [4]byte(b[24:28]) != [4]byte{}:
		from, to = relay, k.cfg.Net.Addr()
	case !from.IsUnspecified() && b[10]&0x80 == 0:
		to = k.cfg.Net.Addr()
	}
	if k.cfg.Net.Contains(from) {
		k.s.Own(from, k.mac) // else the answer waits for its hardware address
		defer k.s.Disown(from)
	}
	p, ok := k.s.Ask(silence, from, to, b)
	if !ok {
		return "silence"
	}
	if y, ok := netip.AddrFromSlice(p.DHCP.YourIPAddr.To4()); ok && !y.IsUnspecified() && p.Kind() != "NAK" {
		defer func() { k.addr = y }()
	}
	return k.describe(p)
}

// describe is an answer as text, without what servers are free to choose: an address of the pool is called so, and the one which
// the client had is "same".
func (k *talker) describe(p bed.Packet) string {
	d := p.DHCP
	name := func(ip net.IP) string {
		a, ok := netip.AddrFromSlice(ip.To4())
		switch {
		case !ok || a.IsUnspecified():
			return "0"
		case a == k.addr:
			return "same"
		case relayedFrom.Contains(a) && !a.Less(relayedFirst):
			return "relayed-pool"
		case !k.cfg.First.IsValid() || a.Less(k.cfg.First) || k.cfg.Last.Less(a):
			return a.String()
		}
		return "pool"
	}
	to := "unicast"
	if p.DstMAC == "ff:ff:ff:ff:ff:ff" {
		to = "broadcast"
	}
	f := []string{p.Kind(), "to=" + to + ":" + fmt.Sprint(p.Dst.Port())}
	add := func(key, value string) { f = append(f, key+"="+value) }
	add("dst", name(p.Dst.Addr().AsSlice()))
	add("ciaddr", name(d.ClientIPAddr))
	add("yiaddr", name(d.YourIPAddr))
	add("siaddr", name(d.ServerIPAddr))
	add("giaddr", name(d.GatewayIPAddr))
	add("flags", fmt.Sprintf("%04x", d.Flags))
	add("size", map[bool]string{true: "<300", false: ">=300"}[len(p.Payload) < 300])
	codes := make([]int, 0, len(d.Options))
	for c := range d.Options {
		codes = append(codes, int(c))
	}
	sort.Ints(codes)
	for _, c := range codes {
		if c == 53 || c == 56 { // the kind, and an explanation for people
			continue
		}
		add(fmt.Sprintf("opt%d", c), fmt.Sprintf("%x", d.Options[uint8(c)]))
	}
	return strings.Join(f, " ")
}

// conversation is one case of the packet script: it returns the answers that count.
type conversation struct {
	name string
	talk func(k *talker) []string
}

func one(kind dhcpv4.MessageType, mods ...option) func(k *talker) []string {
	return func(k *talker) []string { return []string{k.ask(kind, mods...)} }
}

// dora makes the client a holder.
func (k *talker) dora() string {
	k.ask(dhcpv4.MessageTypeDiscover)
	return k.ask(dhcpv4.MessageTypeRequest, requested(k.addr), serverID(k.cfg.Net.Addr()))
}

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
)

func at(host byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 55, 0, host}) }

func edit(k *talker, kind dhcpv4.MessageType, f func(b []byte) []byte, mods ...option) []string {
	return []string{k.raw(f(k.message(kind, mods...).ToBytes()))}
}

var reservedMAC = net.HardwareAddr{2, 0x55, 0, 0, 9, 9}

var conversations = []conversation{
	{"discover", one(discover)},
	{"discover, broadcast flag", one(discover, dhcpv4.WithBroadcast(true))},
	{"discover, wants a free address of the pool", one(discover, requested(at(150)))},
	{"discover, wants an address of another subnet", one(discover, requested(netip.MustParseAddr("192.168.7.7")))},
	{"discover, reserved", func(k *talker) []string { k.mac = reservedMAC; return []string{k.ask(discover)} }},
	{"discover, wants a reserved address of somebody else", one(discover, requested(at(50)))},
	{"discover, client identifier", one(discover, with(61, 0, 'a', 'b', 'c'))},
	{"discover, rapid commit is off", one(discover, with(80))},
	{"discover, wants a minute", one(discover, with(51, 0, 0, 0, 60))},
	{"discover, wants a day", one(discover, with(51, 0, 1, 0x51, 0x80))},
	{"discover, asks for all that is configured", one(discover, asks(1, 3, 6, 26, 42, 108, 114, 119))},
	{"discover, nothing asked for", one(discover, func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionParameterRequestList) })},
	{"discover, 576 bytes are the most", one(discover, with(57, 2, 64), asks(1, 3, 6, 26, 42, 108, 114, 119))},
	{"discover, 64 bytes are the most", one(discover, with(57, 0, 64))},
	{"discover, secs swapped", one(discover, func(m *dhcpv4.DHCPv4) { m.NumSeconds = 0x0100 })},
	{"discover, relayed with option 82", one(discover, relayed)},
	{"request, relayed with option 82", func(k *talker) []string {
		k.ask(discover, relayed)
		return []string{k.ask(request, relayed, requested(k.addr), serverID(k.cfg.Net.Addr()))}
	}},
	{"selecting", func(k *talker) []string { return []string{k.dora()} }},
	{"selecting, broadcast flag", func(k *talker) []string {
		k.ask(discover)
		return []string{k.ask(request, requested(k.addr), serverID(k.cfg.Net.Addr()), dhcpv4.WithBroadcast(true))}
	}},
	{"selecting, another server", func(k *talker) []string {
		k.ask(discover)
		return []string{k.ask(request, requested(k.addr), serverID(at(2)))}
	}},
	{"selecting, what was not offered", func(k *talker) []string {
		k.ask(discover)
		return []string{k.ask(request, requested(at(177)), serverID(k.cfg.Net.Addr()))}
	}},
	{"selecting, never offered anything", one(request, requested(at(178)), serverID(at(1)))},
	{"selecting, another subnet's address", one(request, requested(netip.MustParseAddr("192.168.7.8")), serverID(at(1)))},
	{"selecting, an old address in ciaddr", func(k *talker) []string {
		k.ask(discover)
		m := k.message(request, requested(k.addr), serverID(k.cfg.Net.Addr()), ciaddr(netip.MustParseAddr("192.168.7.9")), dhcpv4.WithBroadcast(true))
		return []string{k.raw(m.ToBytes())}
	}},
	{"selecting twice", func(k *talker) []string {
		k.dora()
		return []string{k.ask(request, requested(k.addr), serverID(at(1)))}
	}},
	{"renewing", func(k *talker) []string { k.dora(); return []string{k.ask(request, ciaddr(k.addr))} }},
	{"renewing, unknown", one(request, ciaddr(at(179)))},
	{"renewing, another subnet", one(request, ciaddr(netip.MustParseAddr("192.168.7.9")))},
	{"rebinding", func(k *talker) []string {
		k.dora()
		return []string{k.ask(request, ciaddr(k.addr), dhcpv4.WithBroadcast(true))}
	}},
	{"rebinding, another subnet", one(request, ciaddr(netip.MustParseAddr("192.168.7.9")), dhcpv4.WithBroadcast(true))},
	{"init-reboot", func(k *talker) []string { k.dora(); return []string{k.ask(request, requested(k.addr))} }},
	{"init-reboot, not its address", func(k *talker) []string { k.dora(); return []string{k.ask(request, requested(at(180)))} }},
	{"init-reboot, unknown", one(request, requested(at(181)))},
	{"init-reboot, another subnet", one(request, requested(netip.MustParseAddr("192.168.7.9")))},
	{"init-reboot, another subnet, relayed", one(request, relayed, requested(netip.MustParseAddr("192.168.7.9")))},
	{"inform", one(dhcpv4.MessageTypeInform, ciaddr(at(20)))},
	{"inform makes no lease", func(k *talker) []string {
		k.ask(dhcpv4.MessageTypeInform, ciaddr(at(182)))
		other := &talker{t: k.t, s: k.s, cfg: k.cfg, mac: slices.Clone(k.mac)}
		other.mac[3] = 0x77
		return []string{other.ask(discover, requested(at(182)))}
	}},
	{"release, and again", func(k *talker) []string {
		k.dora()
		return []string{k.ask(dhcpv4.MessageTypeRelease, ciaddr(k.addr), serverID(at(1))), k.ask(discover)}
	}},
	{"release to another server", func(k *talker) []string {
		k.dora()
		return []string{k.ask(dhcpv4.MessageTypeRelease, ciaddr(k.addr), serverID(at(2))), k.ask(request, requested(k.addr))}
	}},
	{"decline, and again", func(k *talker) []string {
		k.dora()
		return []string{k.ask(dhcpv4.MessageTypeDecline, requested(k.addr), serverID(at(1))), k.ask(discover)}
	}},
	{"decline, to another server", func(k *talker) []string {
		k.dora()
		return []string{k.ask(dhcpv4.MessageTypeDecline, requested(k.addr), serverID(at(2))), k.ask(request, requested(k.addr))}
	}},
	{"no end option", func(k *talker) []string {
		return edit(k, discover, func(b []byte) []byte {
			i := slices.Index(b[240:], 255)
			if j := strings.LastIndexByte(string(b), 255); j > 0 {
				i = j - 240
			}
			return b[:240+i]
		})
	}},
	{"a reply", func(k *talker) []string { return edit(k, discover, func(b []byte) []byte { b[0] = 2; return b }) }},
	{"no cookie", func(k *talker) []string { return edit(k, discover, func(b []byte) []byte { b[236] = 0; return b }) }},
	{"no message type", func(k *talker) []string {
		return edit(k, discover, func(b []byte) []byte { return b }, func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionDHCPMessageType) })
	}},
	{"an option longer than the packet", func(k *talker) []string {
		return edit(k, discover, func(b []byte) []byte { return append(b[:244], 12, 200, 'x') })
	}},
	{"message type 99", one(99)},
	{"an offer to the server", one(dhcpv4.MessageTypeOffer)},
}
