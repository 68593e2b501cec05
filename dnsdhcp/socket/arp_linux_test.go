package socket

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

type verdict struct {
	addr  netip.Addr
	inUse bool
	by    lease.HW
	after time.Duration
}

func probe(ctx context.Context, a *ARP, addr netip.Addr, to chan verdict) {
	start := time.Now()
	a.Probe(ctx, a.index, addr, func(inUse bool, by lease.HW) { to <- verdict{addr, inUse, by, time.Since(start)} })
}

func isARP(b []byte) bool { return len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == unix.ETH_P_ARP }

func TestProbe(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.50/24 dev eth0")
	a := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	onHost, onLAN := sniff(t, w.host, w.eth0), sniff(t, w.lan, w.lan0)
	const length = 400 * time.Millisecond
	got := make(chan verdict, 300)
	long, cancel2 := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel2()
	probe(long, a, ip("10.0.0.50"), got)
	if v := <-got; !v.inUse || v.by.Type != 1 || v.by.Addr != string(w.eth0.MAC) || v.after >= 5*time.Second {
		t.Errorf("a used address: %+v", v)
	}
	// Two hundred at once, each in its own time: one after the other they would take 80 seconds.
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	start := time.Now()
	for i := range 200 {
		probe(ctx, a, netip.AddrFrom4([4]byte{10, 0, byte(1 + i/100), byte(1 + i%100)}), got)
	}
	for range 200 {
		v := <-got
		if v.inUse || time.Since(start) > 5*time.Second {
			t.Errorf("a free address: %+v after %v", v, time.Since(start))
		}
	}
	requests := 0
	for {
		frame := onHost.next(50*time.Millisecond, isARP)
		if frame == nil {
			break
		}
		f, ok := parseARP(frame[14:])
		if f.senderHW != [6]byte(w.usb0.MAC) {
			continue
		}
		requests++
		if !ok || f.op != arpRequest || !f.senderIP.IsUnspecified() || !bytes.Equal(frame[:6], everybody[:]) {
			t.Errorf("probe %+v", f)
		}
	}
	if requests < 201 || requests > 603 {
		t.Errorf("%d requests for 201 probes", requests)
	}
	if onLAN.next(50*time.Millisecond, isARP) != nil {
		t.Error("ARP on wlan0")
	}
}

// Somebody else who probes for the address is about to take it; one's own packets say nothing.
func TestProbeOfOthers(t *testing.T) {
	w := newWorld(t)
	a := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	other := in(t, w.host, func() (*ARP, error) { return OpenARP(w.eth0) })
	twin := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	got := make(chan verdict, 3)
	probe(ctx, a, ip("10.0.0.60"), got)
	probe(ctx, twin, ip("10.0.0.60"), got)
	if v := <-got; v.inUse {
		t.Errorf("our own probe: %+v", v)
	}
	if v := <-got; v.inUse {
		t.Errorf("our own probe: %+v", v)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	probe(ctx, a, ip("10.0.0.61"), got)
	f := arpFrame{op: arpRequest, senderHW: [6]byte(w.eth0.MAC), senderIP: netip.IPv4Unspecified(), targetIP: ip("10.0.0.61")}
	if err := other.c.send(f.append(nil), everybody); err != nil {
		t.Fatal(err)
	}
	if v := <-got; !v.inUse || v.by.Addr != string(w.eth0.MAC) {
		t.Errorf("another's probe: %+v", v)
	}
}

func TestAlive(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.50/24 dev eth0")
	a := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	for _, tt := range []struct {
		mac  string
		want bool
	}{{string(w.eth0.MAC), true}, {"\x02\x00\x00\x00\x00\x99", false}} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		got := make(chan bool)
		a.Alive(ctx, ip("10.0.0.50"), lease.HW{Type: 1, Addr: tt.mac}, func(alive bool, _ lease.HW) { got <- alive })
		if v := <-got; v != tt.want {
			t.Errorf("%x: alive %v", tt.mac, v)
		}
		cancel()
	}
}

// Whatever ends first, done is called once, and not from inside of Probe.
func TestProbeEnds(t *testing.T) {
	w := newWorld(t)
	a := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	got := make(chan verdict) // a call from inside would block for ever
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	probe(ended, a, ip("10.0.0.1"), got)
	if v := <-got; v.inUse {
		t.Errorf("%+v", v)
	}
	probe(t.Context(), a, ip("10.0.0.70"), got) // without a deadline
	if v := <-got; v.inUse || v.after < probeLength*9/10 {
		t.Errorf("%+v", v)
	}
	probe(t.Context(), a, ip("fe80::1"), got)
	<-got
	many := make(chan verdict, maxQuestions+10)
	for i := range maxQuestions + 10 {
		probe(t.Context(), a, netip.AddrFrom4([4]byte{10, 7, byte(i >> 8), byte(i)}), many)
	}
	for range 10 {
		if v := <-many; v.after > probeLength/2 {
			t.Errorf("one too many: %+v", v)
		}
	}
	_ = a.Close()
	for range maxQuestions {
		<-many
	}
	probe(t.Context(), a, ip("10.0.0.1"), got)
	<-got
	if len(a.queue) != 0 || len(a.asked) != 0 {
		t.Error("something is left")
	}
	var none Probers
	none.Probe(t.Context(), 7, ip("10.0.0.1"), func(inUse bool, _ lease.HW) { got <- verdict{} })
	<-got
}

func TestProbers(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.50/24 dev eth0")
	a := in(t, w.server, func() (*ARP, error) { return OpenARP(w.usb0) })
	b := in(t, w.server, func() (*ARP, error) { return OpenARP(w.wlan0) })
	var p Probers
	p.Put(w.usb0.Index, a)
	p.Put(w.wlan0.Index, b)
	got := make(chan string)
	for _, index := range []int{w.usb0.Index, w.wlan0.Index} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		p.Probe(ctx, index, ip("10.0.0.50"), func(inUse bool, _ lease.HW) { got <- fmt.Sprint(inUse, index == w.usb0.Index) })
		if v := <-got; v != "true true" && v != "false false" {
			t.Error(v)
		}
		cancel()
	}
}
