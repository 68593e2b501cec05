package dhcp4

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/name"
)

var update = flag.Bool("update", false, "write the golden files anew")

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ether(n int) lease.HW {
	return lease.HW{Type: 1, Addr: string([]byte{0x52, 0x54, 0, byte(n >> 16), byte(n >> 8), byte(n)})}
}

var everybody = addr("255.255.255.255")

// world is a handler with a table of its own, on a link "lab0" that has 10.0.0.1/24.
type world struct {
	t      testing.TB
	clk    *clocktest.Fake
	table  *lease.Table
	rules  *Rules
	h      *Handler
	link   link.Link
	out    Outcome
	ro     bool
	script strings.Builder
}

// lab is the network that most tests are in.
func lab() Network {
	return Network{
		Name: "lab", Link: "lab*", Prefix: prefix("10.0.0.0/24"), Lease: time.Hour, Router: FullRouter, DNS: []netip.Addr{{}},
		Domain: "lan", Authoritative: true, Max: 2 * time.Hour,
	}
}

func pools(r ...string) (out []lease.Range) {
	for i := 0; i < len(r); i += 2 {
		out = append(out, lease.Range{First: addr(r[i]), Last: addr(r[i+1])})
	}
	return out
}

func newWorld(t testing.TB, n Network, change ...func(*Config, *[]lease.Network)) *world {
	w := &world{t: t, clk: clocktest.New()}
	w.link = link.Link{
		Name: "lab0", Index: 3, MTU: 1500, Up: true, Carrier: true, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		Addrs: []link.Addr{{Prefix: prefix("10.0.0.1/24")}},
	}
	w.configure(n, change...)
	w.h = NewHandler(w.table)
	return w
}

func (w *world) configure(n Network, change ...func(*Config, *[]lease.Network)) {
	c := Config{Networks: []Network{n}, Label: func(raw string) (string, bool) { return name.Label(raw, nil) }}
	base := n.Prefix.Addr().As4()
	at := func(last byte) netip.Addr { b := base; b[3] = last; return netip.AddrFrom4(b) }
	nets := []lease.Network{{Name: n.Name, Prefix: n.Prefix, Pools: []lease.Range{{First: at(100), Last: at(103)}}}}
	for _, f := range change {
		f(&c, &nets)
	}
	var err error
	if w.rules, err = NewRules(c); err != nil {
		w.t.Fatal(err)
	}
	if w.table == nil {
		w.table = lease.NewTable(lease.Options{Clock: w.clk})
	}
	if err := w.table.Configure(nets); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) env() Env { return Env{Now: w.clk.Now(), ReadOnly: w.ro} }

// message is what a client sends; it is filled in by a test as far as it matters.
type message struct {
	kind     uint8
	hw       lease.HW
	xid      uint32
	ci, gi   netip.Addr
	flags    uint16
	secs     uint16
	opts     map[uint8][]byte
	list     []uint8 // request list; nil for 1 3 6 15
	nolist   bool
	from     netip.Addr
	to       netip.Addr
	noCookie bool
	probed   netip.Addr
}

func (m message) packet() []byte {
	var b wire.Builder
	if m.kind != 0 {
		b.PutU8(wire.OptMessageType, m.kind)
	}
	for c := range 256 {
		if v, ok := m.opts[uint8(c)]; ok {
			b.Put(uint8(c), v)
		}
	}
	if m.list == nil {
		m.list = []uint8{1, 3, 6, 15}
	}
	if !m.nolist && m.kind != 0 && m.kind != wire.Decline && m.kind != wire.Release {
		b.Put(wire.OptRequestList, m.list)
	}
	h := wire.Header{
		Op: wire.BootRequest, HType: m.hw.Type, HLen: uint8(len(m.hw.Addr)), XID: m.xid, Flags: m.flags, Secs: m.secs, CIAddr: m.ci, GIAddr: m.gi,
	}
	if h.XID == 0 {
		h.XID = 0x1234
	}
	copy(h.CHAddr[:], m.hw.Addr)
	raw := b.Append(nil, &h, nil, 1472)
	if m.noCookie {
		clear(raw[236:])
	}
	return raw
}

// handle gives a message to the handler and returns what comes of it.
func (w *world) handle(m message) *Outcome {
	w.t.Helper()
	if _, ok := m.opts[50]; !ok && m.kind == wire.Discover && len(m.hw.Addr) == 6 {
		// Which free address a client gets is the table's choice; here it wishes the one of its number.
		b := w.rules.networks[0].Prefix.Addr().As4()
		b[3] = 99 + m.hw.Addr[5]
		m.opts = with(m.opts, 50, netip.AddrFrom4(b))
	}
	raw := m.packet()
	if !m.to.IsValid() {
		m.to = everybody
	}
	if !m.from.IsValid() {
		m.from = netip.IPv4Unspecified()
		if m.ci.IsValid() {
			m.from = m.ci
		}
		if m.gi.IsValid() {
			m.from = m.gi
		}
	}
	w.h.Handle(w.rules, w.env(), Arrival{Link: &w.link, From: netip.AddrPortFrom(m.from, 68), To: m.to, Probed: m.probed}, raw, &w.out)
	for _, r := range w.out.Records {
		w.table.Written(r)
	}
	return &w.out
}

// say handles a message and writes down what it was and what came of it.
func (w *world) say(label string, m message) *Outcome {
	o := w.handle(m)
	s := &w.script
	fmt.Fprintf(s, "> %s\n", label)
	if len(o.Reply) == 0 {
		fmt.Fprintf(s, "silence: %s", o.Entry.Reason)
		if o.Entry.Detail != "" {
			fmt.Fprintf(s, " (%s)", o.Entry.Detail)
		}
		if o.Probe.IsValid() {
			fmt.Fprintf(s, " %s", o.Probe)
		}
		fmt.Fprintln(s)
	} else {
		fmt.Fprintf(s, "%s: %s, %s\n", o.Entry.Reply, o.Entry.Reason, o.Dest)
		text, err := Describe(o.Reply)
		if err != nil {
			w.t.Errorf("%s: %v", label, err)
		}
		for l := range strings.Lines(text) {
			fmt.Fprintf(s, "    %s", l)
		}
		if w.link.Addrs != nil && !isOwn(&w.link, o.Dest.From) {
			w.t.Errorf("%s: sent from %s", label, o.Dest.From)
		}
	}
	for _, r := range o.Records {
		fmt.Fprintf(s, "  record %s %s key %s", r.Addr, states[r.State], idString(string(r.Key)))
		if r.Hostname != "" {
			fmt.Fprintf(s, " name %s", r.Hostname)
		}
		if o.Wait {
			fmt.Fprint(s, ", before the reply")
		}
		fmt.Fprintln(s)
	}
	for _, e := range o.Events {
		fmt.Fprintf(s, "  event %s: %s\n", e.Reason, e.Detail)
	}
	return o
}

var states = map[lease.State]string{
	lease.Offered: "offered", lease.Bound: "bound", lease.Released: "released", lease.Expired: "expired", lease.Declined: "declined",
}

// golden compares the script with testdata/NAME.txt.
func (w *world) golden() {
	w.t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(strings.TrimPrefix(w.t.Name(), "TestGolden/"), "/", "-")+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(w.script.String()), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.script.String(); got != string(want) {
		w.t.Errorf("%s differs; got:\n%s", file, got)
	}
}

// lease takes a client through DISCOVER and REQUEST and returns its address.
func (w *world) lease(hw lease.HW, opts map[uint8][]byte) netip.Addr {
	w.t.Helper()
	o := w.handle(message{kind: wire.Discover, hw: hw, opts: opts})
	if o.Entry.Reply != "OFFER" {
		w.t.Fatalf("no offer: %s %s", o.Entry.Reason, o.Entry.Detail)
	}
	a := yiaddr(w.t, o)
	o = w.handle(message{kind: wire.Request, hw: hw, opts: with(opts, 50, a.AsSlice(), 54, o.Dest.From.AsSlice())})
	if o.Entry.Reply != "ACK" || yiaddr(w.t, o) != a {
		w.t.Fatalf("no lease of %s: %s %s", a, o.Entry.Reason, o.Entry.Detail)
	}
	return a
}

func yiaddr(t testing.TB, o *Outcome) netip.Addr {
	t.Helper()
	var p wire.Packet
	if err := p.Decode(o.Reply); err != nil {
		t.Fatalf("%s: %v", o.Entry.Reason, err)
	}
	return p.YIAddr
}

// with adds options given as code, value pairs.
func with(opts map[uint8][]byte, more ...any) map[uint8][]byte {
	out := map[uint8][]byte{}
	for c, v := range opts {
		out[c] = v
	}
	for i := 0; i < len(more); i += 2 {
		switch v := more[i+1].(type) {
		case string:
			out[uint8(more[i].(int))] = []byte(v)
		case []byte:
			out[uint8(more[i].(int))] = v
		case netip.Addr:
			out[uint8(more[i].(int))] = v.AsSlice()
		case int:
			out[uint8(more[i].(int))] = binary.BigEndian.AppendUint32(nil, uint32(v))
		}
	}
	return out
}

func opts(more ...any) map[uint8][]byte { return with(nil, more...) }
