package dhcp6

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/provision-net/provision/dnsdhcp/link"
)

var (
	testDUID = []byte{0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	clientID = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 9}
	group    = netip.MustParseAddr("ff02::1:2")
)

func testLink() link.Link {
	var addrs []link.Addr
	for _, s := range []string{"10.0.0.1/24", "fe80::1/64", "2001:db8::1/64", "fd00::1/64"} {
		addrs = append(addrs, link.Addr{Prefix: netip.MustParsePrefix(s), Valid: link.Infinite, Preferred: link.Infinite})
	}
	return link.Link{Name: "usb0", Index: 7, Up: true, Carrier: true, MTU: 1500, Addrs: addrs}
}

func testConfig() Config {
	return Config{
		DNSSelf: true, DNS: []netip.Addr{netip.MustParseAddr("2001:db8::53")}, Search: []string{"lab.example", "home.arpa."},
		NTPSelf: true, Refresh: time.Hour, CaptivePortal: "https://portal.example/api",
	}
}

// message is a client's: kind, transaction 0a0b0c, and options.
func message(kind byte, options ...[]byte) []byte {
	return append([]byte{kind, 10, 11, 12}, bytes.Join(options, nil)...)
}

func opt(code uint16, body ...byte) []byte { return appendOption(nil, code, body) }

func oro(codes ...byte) []byte {
	var b []byte
	for _, c := range codes {
		b = append(b, 0, c)
	}
	return opt(optRequest, b...)
}

func ask(data []byte) Packet {
	return Packet{Data: data, Src: netip.MustParseAddrPort("[fe80::9]:546"), Dst: group, Index: 7}
}

func answer(p Packet) Outcome {
	c, l := testConfig(), testLink()
	return Answer(&c, &l, testDUID, p)
}

func TestReplyGolden(t *testing.T) {
	o := answer(ask(message(typeInformationRequest, opt(optClientID, clientID...), opt(8, 0, 0), oro(23, 24, 31, 32, 56, 103, 7))))
	want := strings.Join([]string{
		"070a0b0c",                          // REPLY
		"0001000a" + "00030001020000000009", // client
		"00020012" + "00040102030405060708090a0b0c0d0e0f10", // server
		"00170020" + "fd000000000000000000000000000001" + "20010db8000000000000000000000053",
		"00180018" + "036c6162076578616d706c6500" + "04686f6d65046172706100",
		"001f0010" + "fd000000000000000000000000000001",
		"00200004" + "00000e10",
		"00380014" + "00010010" + "fd000000000000000000000000000001",
		"0067001a" + "68747470733a2f2f706f7274616c2e6578616d706c652f617069",
	}, "")
	if got := hex.EncodeToString(o.Reply); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o.To.String() != "[fe80::9]:546" || o.From.String() != "fe80::1" || o.Reason != ReasonAnswered ||
		o.What != "INFORMATION-REQUEST" || !bytes.Equal(o.MAC, clientID[4:]) {
		t.Errorf("%+v", o)
	}
}

// TestReplyByLibrary has the other implementation read what we write.
func TestReplyByLibrary(t *testing.T) {
	o := answer(ask(message(typeInformationRequest, oro(23, 24, 31, 32, 56))))
	m, err := dhcpv6.MessageFromBytes(o.Reply)
	if err != nil {
		t.Fatal(err)
	}
	if m.Options.ClientID() != nil || m.MessageType != dhcpv6.MessageTypeReply {
		t.Errorf("%v", m)
	}
	if d := m.Options.DNS(); len(d) != 2 || !d[0].Equal(net.ParseIP("fd00::1")) {
		t.Errorf("%v", d)
	}
	if s := m.Options.DomainSearchList(); strings.Join(s.Labels, " ") != "lab.example home.arpa" {
		t.Errorf("%v", s)
	}
	if n := m.Options.NTPServers(); len(n) != 1 || !n[0].Equal(net.ParseIP("fd00::1")) {
		t.Errorf("%v", n)
	}
	if r := m.Options.InformationRefreshTime(0); r != time.Hour {
		t.Errorf("%v", r)
	}
}

func TestOnlyWhatIsAsked(t *testing.T) {
	for _, c := range []struct {
		options []byte
		want    []uint16
	}{
		{oro(23), []uint16{optServerID, optDNS}},
		{oro(), []uint16{optServerID}},
		{oro(99), []uint16{optServerID}},
		{nil, []uint16{optServerID, optDNS, optSearch}},
		{append(oro(23), oro(32)...), []uint16{optServerID, optDNS, optRefresh}},
	} {
		o := answer(ask(message(typeInformationRequest, c.options)))
		var got []uint16
		if len(o.Reply) < 4 || eachOption(o.Reply[4:], func(code uint16, _ []byte) { got = append(got, code) }) != "" {
			t.Fatalf("%x: %+v", c.options, o)
		}
		if len(got) != len(c.want) {
			t.Errorf("%x: %v, want %v", c.options, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%x: %v, want %v", c.options, got, c.want)
			}
		}
	}
	// Nothing configured: an answer all the same, so that the host stops asking.
	l := testLink()
	if o := Answer(&Config{}, &l, testDUID, ask(message(typeInformationRequest, oro(23, 24, 31, 32, 56, 103)))); len(o.Reply) != 4+4+18 {
		t.Errorf("%x", o.Reply)
	}
}

func TestSilence(t *testing.T) {
	good := message(typeInformationRequest, oro(23))
	with := func(f func(*Packet)) Packet {
		p := ask(good)
		f(&p)
		return p
	}
	many := message(typeInformationRequest)
	for range maxOptions + 1 {
		many = append(many, opt(8, 0, 0)...)
	}
	for name, c := range map[string]struct {
		p    Packet
		want string
	}{
		"other interface":         {with(func(p *Packet) { p.Index = 8 }), ReasonWrongLink},
		"no source":               {with(func(p *Packet) { p.Src = netip.MustParseAddrPort("[::]:546") }), ReasonSource},
		"multicast source":        {with(func(p *Packet) { p.Src = netip.MustParseAddrPort("[ff02::1]:546") }), ReasonSource},
		"mapped source":           {with(func(p *Packet) { p.Src = netip.MustParseAddrPort("[::ffff:1.2.3.4]:546") }), ReasonSource},
		"source elsewhere":        {with(func(p *Packet) { p.Src = netip.MustParseAddrPort("[2001:db8:1::1]:546") }), ReasonSource},
		"unicast":                 {with(func(p *Packet) { p.Dst = netip.MustParseAddr("fe80::1") }), ReasonUnicast},
		"empty":                   {ask(nil), ReasonShort},
		"short":                   {ask(good[:3]), ReasonShort},
		"cut":                     {ask(good[:len(good)-1]), ReasonMalformed},
		"torn option header":      {ask(append(message(typeInformationRequest), 0, 1, 0)), ReasonMalformed},
		"long":                    {ask(append(bytes.Clone(good), make([]byte, maxMessage)...)), ReasonLong},
		"many options":            {ask(many), ReasonMalformed},
		"solicit":                 {ask(message(typeSolicit, opt(optClientID, clientID...))), ReasonStateful},
		"request":                 {ask(message(3)), ReasonStateful},
		"confirm":                 {ask(message(4)), ReasonStateful},
		"renew":                   {ask(message(5)), ReasonStateful},
		"rebind":                  {ask(message(6)), ReasonStateful},
		"release":                 {ask(message(8)), ReasonStateful},
		"decline":                 {ask(message(9)), ReasonStateful},
		"advertise":               {ask(message(2)), ReasonNotForServer},
		"reply":                   {ask(message(7)), ReasonNotForServer},
		"reconfigure":             {ask(message(10)), ReasonNotForServer},
		"relay reply":             {ask(message(13)), ReasonNotForServer},
		"type 0":                  {ask(message(0)), ReasonUnknownType},
		"lease query":             {ask(message(14)), ReasonUnknownType},
		"other server":            {ask(message(typeInformationRequest, opt(optServerID, 0, 3, 0, 1, 1, 1, 1, 1, 1, 1))), ReasonOtherServer},
		"empty server":            {ask(message(typeInformationRequest, opt(optServerID))), ReasonOtherServer},
		"IA_NA":                   {ask(message(typeInformationRequest, opt(optIANA, make([]byte, 12)...))), ReasonIA},
		"IA_TA":                   {ask(message(typeInformationRequest, opt(optIATA, make([]byte, 4)...))), ReasonIA},
		"IA_PD":                   {ask(message(typeInformationRequest, opt(optIAPD, make([]byte, 12)...))), ReasonIA},
		"client-id of nothing":    {ask(message(typeInformationRequest, opt(optClientID))), ReasonClientID},
		"long client-id":          {ask(message(typeInformationRequest, opt(optClientID, make([]byte, 131)...))), ReasonClientID},
		"two client-ids":          {ask(message(typeInformationRequest, opt(optClientID, clientID...), opt(optClientID, clientID...))), ReasonMalformed},
		"relay without a message": {ask(relayed(0, nil)[:34]), ReasonMalformed},
		"short relay header":      {ask([]byte{12, 0, 1}), ReasonMalformed},
		"empty relayed message":   {ask(relayed(0, nil)), ReasonShort},
		"relayed solicit":         {ask(relayed(0, message(typeSolicit))), ReasonStateful},
		"two relayed messages":    {ask(append(relayed(0, good), opt(optRelayMessage, good...)...)), ReasonMalformed},
		"nine relays":             {ask(nested(good, maxRelays+1)), ReasonRelayDepth},
	} {
		o := answer(c.p)
		if o.Reply != nil || o.Reason != c.want {
			t.Errorf("%s: %q, want %q; %x", name, o.Reason, c.want, o.Reply)
		}
	}
	l := testLink()
	l.Addrs = nil
	c := testConfig()
	if o := Answer(&c, &l, testDUID, ask(good)); o.Reason != ReasonNoAddress {
		t.Errorf("%+v", o)
	}
	// Our own identifier is no obstacle.
	if o := answer(ask(message(typeInformationRequest, opt(optServerID, testDUID...)))); o.Reply == nil {
		t.Errorf("%+v", o)
	}
}

// relayed wraps a message as a relay does.
func relayed(hops byte, inner []byte, options ...[]byte) []byte {
	b := make([]byte, 34)
	b[0], b[1] = typeRelayForward, hops
	copy(b[2:], netip.MustParseAddr("2001:db8:7::1").AsSlice())
	copy(b[18:], netip.MustParseAddr("fe80::9").AsSlice())
	return append(append(b, bytes.Join(options, nil)...), opt(optRelayMessage, inner...)...)
}

func nested(b []byte, n int) []byte {
	for i := range n {
		b = relayed(byte(i), b)
	}
	return b
}

func TestRelayed(t *testing.T) {
	inner := message(typeInformationRequest, opt(optClientID, 0, 9, 1, 2), oro(23))
	lla := opt(optClientLLA, 0, 1, 2, 0, 0, 0, 0, 5)
	p := ask(relayed(1, relayed(0, inner, lla, opt(optInterfaceID, 'a', 'b')), opt(optInterfaceID), opt(37, 1, 2, 3, 4)))
	p.Src = netip.MustParseAddrPort("[2001:db8:9::9]:5470") // a relay may be anywhere
	p.Dst = netip.MustParseAddr("2001:db8::1")              // and knows our address
	o := answer(p)
	if o.Reason != ReasonAnswered || o.To.String() != "[2001:db8:9::9]:547" || o.From != p.Dst || !bytes.Equal(o.MAC, []byte{2, 0, 0, 0, 0, 5}) {
		t.Fatalf("%+v", o)
	}
	d, err := dhcpv6.FromBytes(o.Reply)
	if err != nil {
		t.Fatal(err)
	}
	outer := d.(*dhcpv6.RelayMessage)
	next := outer.Options.RelayMessage().(*dhcpv6.RelayMessage)
	m, err := d.GetInnerMessage()
	if err != nil {
		t.Fatal(err)
	}
	if outer.MessageType != dhcpv6.MessageTypeRelayReply || outer.HopCount != 1 || next.HopCount != 0 ||
		!outer.LinkAddr.Equal(net.ParseIP("2001:db8:7::1")) || !next.PeerAddr.Equal(net.ParseIP("fe80::9")) ||
		string(next.Options.InterfaceID()) != "ab" || len(outer.GetOption(dhcpv6.OptionInterfaceID)) != 1 || len(outer.Options.Options) != 2 {
		t.Errorf("%v", outer.LongString(0))
	}
	if m.TransactionID != [3]byte{10, 11, 12} || len(m.Options.DNS()) != 2 {
		t.Errorf("%v", m)
	}
	// The deepest nesting, and a relay that uses a port of its own.
	p.Data = nested(message(typeInformationRequest), maxRelays)
	if o := answer(p); o.Reason != ReasonAnswered {
		t.Errorf("%+v", o)
	}
	p.Data = relayed(0, inner, opt(optRelayPort, 0, 0))
	if o := answer(p); o.To.Port() != 5470 || !bytes.Contains(o.Reply, opt(optRelayPort, 0, 0)) {
		t.Errorf("%+v", o)
	}
}

func TestValidate(t *testing.T) {
	good := testConfig()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, breakIt := range map[string]func(*Config){
		"name server 10.0.0.1": func(c *Config) { c.DNS = []netip.Addr{netip.MustParseAddr("10.0.0.1")} },
		"15 time servers":      func(c *Config) { c.NTP = make([]netip.Addr, 16) },
		"is no domain name":    func(c *Config) { c.Search = []string{strings.Repeat("a", 64)} },
		"is longer than 255":   func(c *Config) { c.Search = []string{strings.Repeat("abcdefg.", 32)} },
		"more than 512": func(c *Config) {
			c.Search = []string{strings.Repeat("abc.", 50), strings.Repeat("abd.", 50), strings.Repeat("abe.", 50)}
		},
		"the refresh time":         func(c *Config) { c.Refresh = time.Minute },
		"the captive portal's":     func(c *Config) { c.CaptivePortal = "http://portal.example" },
		"search domain \"\" is no": func(c *Config) { c.Search = []string{""} },
	} {
		c := testConfig()
		breakIt(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

type memory map[string][]byte

func (m memory) Load(key string) ([]byte, bool) { b, ok := m[key]; return b, ok }
func (m memory) Save(key string, value []byte) error {
	m[key] = bytes.Clone(value)
	return nil
}

type broken struct{ memory }

func (broken) Save(string, []byte) error { return net.ErrClosed }

func TestDUID(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	random := strings.NewReader(strings.Repeat("\xff", 64))
	m := memory{}
	a, err := DUID(m, random, mac)
	if err != nil || hex.EncodeToString(a) != "0004ffffffffffff4fffbfffffffffffffff" {
		t.Errorf("%x, %v", a, err)
	}
	if b, err := DUID(m, strings.NewReader(""), nil); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%x, then %x, %v", a, b, err)
	}
	want := "00030001020000000001"
	if d, err := DUID(broken{}, random, mac); err == nil || hex.EncodeToString(d) != want {
		t.Errorf("%x, %v", d, err)
	}
	if d, err := DUID(nil, random, mac); err != nil || hex.EncodeToString(d) != want {
		t.Errorf("%x, %v", d, err)
	}
	if d, err := DUID(broken{}, random, nil); err == nil || len(d) != 18 {
		t.Errorf("%x, %v", d, err)
	}
	if _, err := DUID(nil, strings.NewReader(""), nil); err == nil {
		t.Error("made of nothing")
	}
	if d, err := DUID(memory{duidKey: {1}}, random, mac); err == nil && len(d) == 1 {
		t.Errorf("%x", d)
	}
}

// FuzzAnswer: no packet makes it panic, answer what it must not, or answer at length.
func FuzzAnswer(f *testing.F) {
	f.Add(message(typeInformationRequest, opt(optClientID, clientID...), oro(23, 24, 31, 32, 56, 103)))
	f.Add(message(typeSolicit, opt(optIANA, make([]byte, 12)...)))
	f.Add(nested(message(typeInformationRequest, oro(23)), 3))
	f.Add(relayed(0, message(typeInformationRequest), opt(optInterfaceID, 1), opt(optRelayPort, 0, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		o := answer(ask(b))
		if !bytes.Equal(b, before) {
			t.Fatal("it writes into the packet")
		}
		if o.Reason == "" || (o.Reply != nil) != (o.Reason == ReasonAnswered) {
			t.Fatalf("%+v", o)
		}
		if o.Reply == nil {
			return
		}
		if len(o.Reply) > len(b)+1280 {
			t.Fatalf("%d bytes for %d", len(o.Reply), len(b))
		}
		d, err := dhcpv6.FromBytes(o.Reply)
		if err != nil {
			// The library refuses client identifiers that it cannot read; they are the client's affair.
			if _, err := dhcpv6.FromBytes(b); err == nil {
				t.Fatalf("the library cannot read the reply to what it can read: %v", err)
			}
			return
		}
		m, err := d.GetInnerMessage()
		if err != nil || m.MessageType != dhcpv6.MessageTypeReply || m.GetOneOption(dhcpv6.OptionServerID) == nil {
			t.Fatalf("%v: %v", err, d)
		}
		if asked, err := dhcpv6.FromBytes(b); err == nil {
			in, err := asked.GetInnerMessage()
			if err != nil || in.TransactionID != m.TransactionID || in.MessageType != dhcpv6.MessageTypeInformationRequest {
				t.Fatalf("the library sees another question: %v, %v", err, asked)
			}
		}
	})
}
