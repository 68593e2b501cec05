package dhcp4

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

func TestServerWaitsForTheDisk(t *testing.T) {
	v := serve(t, lab())
	v.disk.hold = true
	v.send(message{kind: discover, hw: ether(1), opts: opts(50, a100)})
	if _, p := v.reply("OFFER"); p.Type() != wire.Offer || p.YIAddr != a100 {
		t.Fatalf("%+v", p)
	}
	v.send(message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self)})
	v.send(message{kind: discover, hw: ether(2), opts: opts(50, addr("10.0.0.101"))})
	if _, p := v.reply("OFFER for another, while the first waits"); p.Type() != wire.Offer {
		t.Fatal("an ACK before its record is durable")
	}
	within(t, v.disk.queued, "commit")
	v.disk.flush(errors.New("disk full"))
	v.reason(ReasonNotCommitted)
	v.send(message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self)})
	within(t, v.disk.queued, "commit")
	v.disk.flush(nil)
	if _, p := v.reply("ACK"); p.Type() != wire.Ack {
		t.Fatalf("type %d", p.Type())
	}
	if l, _ := v.table.At(a100); l.Durable < l.Expiry {
		t.Error("the table was not told")
	}
	v.disk.degraded = errors.New("read-only file system")
	v.send(message{kind: discover, hw: ether(3)})
	v.reason(ReasonReadOnly)
	v.send(message{kind: request, hw: ether(1), ci: a100, to: self})
	if _, p := v.reply("ACK from a read-only disk"); p.Type() != wire.Ack {
		t.Fatalf("type %d", p.Type())
	}
}

func TestServerProbes(t *testing.T) {
	n := lab()
	n.Probe = true
	v := serve(t, n)
	v.send(message{kind: discover, hw: ether(1), xid: 1, opts: opts(50, a100)})
	first := within(t, v.probe, "probe")
	if d, ok := first.ctx.Deadline(); first.addr != a100 || !ok || time.Until(d) > probeTime {
		t.Fatalf("%v", first)
	}
	// Another client is answered meanwhile; the first asks again, with another xid.
	v.send(message{kind: discover, hw: ether(2), opts: opts(50, addr("10.0.0.101"))})
	second := within(t, v.probe, "probe of another")
	v.send(message{kind: discover, hw: ether(1), xid: 2, opts: opts(50, a100)})
	v.reason(ReasonProbing)
	v.reason(ReasonProbing)
	v.reason(ReasonProbing)
	go second.done(false, lease.HW{})
	if _, p := v.reply("OFFER"); p.YIAddr != addr("10.0.0.101") {
		t.Fatalf("%v", p.YIAddr)
	}
	go first.done(true, ether(99))
	third := within(t, v.probe, "probe of the next address")
	if third.addr == a100 {
		t.Fatal("the address that is in use is probed again")
	}
	v.reason(ReasonConflict)
	if l, ok := v.table.At(a100); !ok || l.State != lease.Declined {
		t.Errorf("%+v", l)
	}
	go third.done(false, lease.HW{})
	if _, p := v.reply("OFFER"); p.YIAddr != third.addr || p.XID != 2 {
		t.Fatalf("%v xid %d", p.YIAddr, p.XID)
	}
	// What was found free needs no second probe.
	v.send(message{kind: discover, hw: ether(1), xid: 3})
	if _, p := v.reply("OFFER at once"); p.YIAddr != third.addr || p.XID != 3 {
		t.Fatalf("%v xid %d", p.YIAddr, p.XID)
	}
	v.send(message{kind: request, hw: ether(1), opts: opts(50, third.addr, 54, self)})
	if _, p := v.reply("ACK"); p.Type() != wire.Ack {
		t.Fatal(p.Type())
	}
}

func TestServerProbeOfTheClientItself(t *testing.T) {
	n := lab()
	n.Probe = true
	v := serve(t, n)
	v.send(message{kind: discover, hw: ether(1), opts: opts(50, a100)})
	go within(t, v.probe, "probe").done(true, ether(1))
	if _, p := v.reply("OFFER of what the client uses itself"); p.YIAddr != a100 {
		t.Fatal(p.YIAddr)
	}
}

// A client that goes on while its address is probed gets no late offer.
func TestServerProbeOvertaken(t *testing.T) {
	n := lab()
	n.Probe = true
	v := serve(t, n)
	v.send(message{kind: discover, hw: ether(1), opts: opts(50, a100)})
	p := within(t, v.probe, "probe")
	v.send(message{kind: request, hw: ether(1), opts: opts(50, a100, 54, self)})
	if _, r := v.reply("ACK"); r.Type() != wire.Ack {
		t.Fatal(r.Type())
	}
	within(t, p.ctx.Done(), "end of the probe")
	p.done(true, ether(9))
	if l, _ := v.table.At(a100); l.State != lease.Bound {
		t.Errorf("%+v", l)
	}
	v.send(message{kind: inform, hw: ether(1), ci: a100, to: self})
	if _, r := v.reply("ACK of INFORM"); !r.YIAddr.IsUnspecified() {
		t.Error("an offer that nobody waits for")
	}
}

// The offer is out within a second, whatever the probes say.
func TestServerProbesEnd(t *testing.T) {
	n := lab()
	n.Probe = true
	v := serve(t, n)
	v.send(message{kind: discover, hw: ether(1)})
	for range 3 {
		p := within(t, v.probe, "probe")
		v.clk.Advance(probeTime)
		go p.done(true, ether(9))
	}
	if _, p := v.reply("OFFER"); p.Type() != wire.Offer {
		t.Error(p.Type())
	}
}

// More clients at once than are probed for at one time: all get their offer, no probe is lost.
func TestServerBootStorm(t *testing.T) {
	n := lab()
	n.Probe = true
	n.Prefix = prefix("10.0.0.0/16")
	v := serve(t, n)
	if err := v.table.Configure([]lease.Network{{Name: "lab", Prefix: n.Prefix, Pools: pools("10.0.1.1", "10.0.9.1")}}); err != nil {
		t.Fatal(err)
	}
	const clients = maxProbes + 100
	go func() {
		for i := range clients {
			v.send(message{kind: discover, hw: ether(i + 1)})
		}
	}()
	got := map[string]bool{}
	for range clients - maxProbes { // without a probe
		_, p := v.reply("OFFER")
		got[string(p.HW())] = true
	}
	for range maxProbes {
		go within(t, v.probe, "probe").done(false, lease.HW{})
		_, p := v.reply("OFFER")
		got[string(p.HW())] = true
	}
	if len(got) != clients {
		t.Errorf("%d clients got an offer", len(got))
	}
	if len(v.ls.probes) != 0 {
		t.Errorf("%d probes are left", len(v.ls.probes))
	}
}

func TestServerWrongLink(t *testing.T) {
	v := serve(t, lab())
	v.pipe.in <- Datagram{Payload: message{kind: discover, hw: ether(1)}.packet(), To: everybody, IfIndex: 4}
	v.reason(ReasonWrongLink)
	if len(v.pipe.out) > 0 || len(v.table.All()) > 0 {
		t.Error("a packet of another interface was answered")
	}
}

func TestServerSendFails(t *testing.T) {
	v := serve(t, lab())
	v.pipe.fail = errors.New("no buffer space")
	v.send(message{kind: discover, hw: ether(1)})
	if e := v.reason(ReasonSend); e.Reply != "" || e.Detail != "no buffer space" {
		t.Errorf("%+v", e)
	}
}

func TestServerReload(t *testing.T) {
	v := serve(t, lab())
	n := lab()
	n.Domain = "new"
	r, err := NewRules(Config{Networks: []Network{n}})
	if err != nil {
		t.Fatal(err)
	}
	v.s.Reload(r)
	v.send(message{kind: discover, hw: ether(1)})
	if _, p := v.reply("OFFER"); string(p.Get(15)) != "new" {
		t.Errorf("%q", p.Get(15))
	}
	l := v.link
	l.Addrs = nil
	v.ls.Update(l)
	v.send(message{kind: discover, hw: ether(1)})
	v.reason(ReasonNoAddress)
}

type broken struct{ *pipe }

func (broken) ReadBatch([]Datagram) (int, error) { return 0, errors.New("network is down") }

func TestServerSocketFails(t *testing.T) {
	w := newWorld(t, lab())
	s := NewServer(Options{Table: w.table, Commit: &disk{}, Clock: w.clk}, w.rules)
	p := newPipe()
	err := s.Link(w.link, broken{p}).Run(t.Context())
	if err == nil || err.Error() != "cannot read DHCP packets of lab0: network is down" {
		t.Error(err)
	}
	<-p.closed
}

func TestServerExpires(t *testing.T) {
	w := newWorld(t, lab())
	w.lease(ether(1), nil)
	d := &disk{}
	rec := &recorder{added: make(chan trace.Entry, 16)}
	s := NewServer(Options{Table: w.table, Commit: d, Clock: w.clk, Trace: rec}, w.rules)
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error)
	go func() { end <- s.Run(ctx) }()
	for range 125 {
		if err := w.clk.Waiters(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.clk.Advance(30 * time.Second)
	}
	if e := within(t, rec.added, "expiry"); e.What != "EXPIRE" || e.Addr != "10.0.0.100" {
		t.Errorf("%+v", e)
	}
	cancel()
	if err := <-end; err != nil {
		t.Error(err)
	}
	if d.written != 1 {
		t.Errorf("%d records", d.written)
	}
}
