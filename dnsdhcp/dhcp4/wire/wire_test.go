package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// base is a DISCOVER without options.
func base(opts ...byte) []byte {
	b := make([]byte, headerLen, 512)
	b[0], b[1], b[2] = BootRequest, 1, 6
	copy(b[28:], []byte{2, 0, 0, 0, 0, 1})
	return append(append(b, cookie[:]...), opts...)
}

func TestDecode(t *testing.T) {
	long := func(code uint8, n int) []byte { return append([]byte{code, byte(n)}, bytes.Repeat([]byte{'x'}, n)...) }
	overloaded := func(v byte, file, sname []byte, opts ...byte) []byte {
		b := base(append([]byte{53, 1, 1, 52, 1, v}, opts...)...)
		copy(b[fileOff:], file)
		copy(b[snameOff:], sname)
		return b
	}
	hlen := func(n byte) []byte { b := base(53, 1, 1, 255); b[2] = n; return b }
	for _, tt := range []struct {
		name string
		in   []byte
		err  error
		test func(p *Packet) bool
	}{
		{"plain", base(53, 1, 1, 255), nil, func(p *Packet) bool { return p.Type() == Discover && !p.NoEnd }},
		{"no END", base(53, 1, 1), nil, func(p *Packet) bool { return p.Type() == Discover && p.NoEnd }},
		{"pads", base(0, 0, 53, 1, 1, 0, 0, 255, 99, 99), nil, func(p *Packet) bool { return p.Type() == Discover && len(p.Codes()) == 1 }},
		{"type twice: the first", base(53, 1, 1, 53, 1, 3, 255), nil, func(p *Packet) bool { return p.Type() == Discover && p.Doubled == 1 }},
		{"address twice: the first", base(53, 1, 3, 50, 4, 1, 1, 1, 1, 50, 4, 2, 2, 2, 2), nil, func(p *Packet) bool {
			a, ok := p.Addr(50)
			return ok && a.String() == "1.1.1.1"
		}},
		{"pieces joined", base(77, 2, 'a', 'b', 53, 1, 1, 77, 1, 'c', 77, 1, 'd', 255), nil, func(p *Packet) bool { return string(p.Get(77)) == "abcd" }},
		{"pieces of two joined in turn", base(77, 1, 'a', 43, 1, 'x', 77, 1, 'b', 43, 1, 'y', 77, 1, 'c', 43, 1, 'z', 255), nil, func(p *Packet) bool {
			return string(p.Get(77)) == "abc" && string(p.Get(43)) == "xyz"
		}},
		{"request list keeps its order", base(55, 4, 121, 3, 1, 6, 255), nil, func(p *Packet) bool {
			return bytes.Equal(p.Get(55), []byte{121, 3, 1, 6}) && p.Requests(121) && !p.Requests(2)
		}},
		{"empty option is there", base(80, 0, 255), nil, func(p *Packet) bool { return p.Has(80) && p.Get(80) == nil && !p.Has(81) }},
		{"empty first piece", base(77, 0, 77, 1, 'a', 255), nil, func(p *Packet) bool { return string(p.Get(77)) == "a" }},
		{"overload file", overloaded(1, []byte{12, 2, 'h', 'i', 255}, []byte("srv"), 255), nil, func(p *Packet) bool {
			return string(p.Get(12)) == "hi" && p.File == nil && string(p.SName) == "srv"
		}},
		{"overload sname", overloaded(2, []byte("boot"), []byte{12, 2, 'h', 'i'}, 255), nil, func(p *Packet) bool {
			return string(p.Get(12)) == "hi" && string(p.File) == "boot" && p.SName == nil
		}},
		{"overload both, joined in order", overloaded(3, []byte{77, 1, 'b', 255}, []byte{77, 1, 'c', 255}, 77, 1, 'a', 255), nil, func(p *Packet) bool {
			return string(p.Get(77)) == "abc"
		}},
		{"overload in a field counts for nothing", overloaded(1, []byte{52, 1, 3, 255}, []byte{12, 1, 'x', 255}, 255), nil, func(p *Packet) bool {
			return !p.Has(12) && p.Doubled == 1
		}},
		{"overload overruns", overloaded(2, nil, long(12, 62), 255), nil, func(p *Packet) bool { return len(p.Get(12)) == 62 }},
		{"overload overruns by one", overloaded(2, nil, []byte{12, 63}, 255), ErrOverrun, nil},
		{"overload of 4", overloaded(4, nil, nil, 255), ErrOverload, nil},
		{"overload of two bytes", base(52, 2, 1, 1), ErrOverload, nil},
		{"overrun", base(53, 1, 1, 12, 5, 'a'), ErrOverrun, nil},
		{"code without length", base(53, 1, 1, 12), ErrOverrun, nil},
		{"type of two bytes", base(53, 2, 1, 1, 255), ErrType, nil},
		{"empty type", base(53, 0, 255), ErrType, nil},
		{"hlen 16", hlen(16), nil, func(p *Packet) bool { return len(p.HW()) == 16 }},
		{"hlen 17", hlen(17), ErrHLen, nil},
		{"hlen 0", hlen(0), nil, func(p *Packet) bool { return len(p.HW()) == 0 }},
		{"short", base()[:235], ErrShort, nil},
		{"empty", nil, ErrShort, nil},
		{"BOOTP without vendor area", base()[:236], nil, func(p *Packet) bool { return p.BOOTP && p.Type() == 0 }},
		{"BOOTP with another cookie", append(base()[:236], 1, 2, 3, 4, 53, 1, 1), nil, func(p *Packet) bool { return p.BOOTP && !p.Has(53) }},
		{"BOOTP with cookie", base(255), nil, func(p *Packet) bool { return !p.BOOTP && p.Type() == 0 }},
		{"agent information", base(82, 10, 1, 2, 'a', 'b', 5, 4, 10, 0, 0, 0, 255), nil, func(p *Packet) bool {
			return string(p.Sub(1)) == "ab" && bytes.Equal(p.Sub(5), []byte{10, 0, 0, 0}) && p.Sub(2) == nil
		}},
		{"agent information that overruns", base(82, 3, 1, 2, 'a', 255), nil, func(p *Packet) bool { return p.Sub(1) == nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Packet
			for range 2 { // the second time into a used one
				if err := p.Decode(tt.in); !errors.Is(err, tt.err) {
					t.Fatalf("%v, want %v", err, tt.err)
				}
				if tt.test != nil && !tt.test(&p) {
					t.Errorf("%+v %v", p.Header, p.Codes())
				}
				_ = p.Decode(overloaded(3, []byte{12, 1, 'q', 200, 1, 1, 255}, nil, 77, 1, 'q', 77, 1, 'q'))
			}
		})
	}
}

func TestAppend(t *testing.T) {
	var b Builder
	h := Header{Op: BootReply, HType: 1, HLen: 6, XID: 7, YIAddr: netip.MustParseAddr("10.0.0.2")}
	data := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	for _, tt := range []struct {
		name     string
		put      map[uint8][]byte
		requests []byte
		limit    int
		file     string
		order    []uint8 // as they come out
		dropped  []uint8
		overload uint8
	}{
		{
			"order", map[uint8][]byte{82: data(4), 15: data(3), 3: data(4), 6: data(4), 1: data(4), 51: data(4), 54: data(4), 53: {2}, 121: data(5), 12: data(3), 200: data(1)},
			[]byte{12, 15, 3, 1}, 548, "", []uint8{53, 54, 51, 1, 121, 3, 6, 12, 15, 200, 82}, nil, 0,
		},
		{"overflows to file", map[uint8][]byte{53: {2}, 43: data(200), 17: data(90), 18: data(100), 82: data(30)}, []byte{43, 17, 18}, 548, "", []uint8{53, 43, 52, 82, 17}, []uint8{18}, 1},
		{"and sname", map[uint8][]byte{53: {2}, 43: data(210), 17: data(100), 18: data(60), 82: data(30)}, []byte{43, 17, 18}, 548, "", []uint8{53, 43, 52, 82, 17, 18}, nil, 3},
		{"file is taken", map[uint8][]byte{53: {2}, 43: data(210), 17: data(60), 18: data(60), 82: data(30)}, []byte{43, 18, 17}, 548, "boot", []uint8{53, 43, 52, 82, 18}, []uint8{17}, 2},
		{"the overload option itself needs room", map[uint8][]byte{53: {2}, 43: data(255), 17: data(44), 18: data(10)}, []byte{43, 17, 18}, 548, "", []uint8{53, 43, 18, 52, 17}, nil, 1},
		{"the unimportant goes first", map[uint8][]byte{53: {2}, 1: data(4), 43: data(250), 17: data(250)}, []byte{17, 43}, 548, "", []uint8{53, 1, 17, 52}, []uint8{43}, 0},
		{"long ones in pieces", map[uint8][]byte{53: {2}, 121: data(600)}, nil, 1472, "", []uint8{53, 121}, nil, 0},
		{"agent information too long", map[uint8][]byte{53: {2}, 82: data(280)}, nil, 548, "", []uint8{53}, []uint8{82}, 0},
		{"empty", map[uint8][]byte{53: {2}, 80: nil}, nil, 548, "", []uint8{53, 80}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.Reset()
			for c := range 256 {
				if v, ok := tt.put[uint8(c)]; ok {
					b.Put(uint8(c), v)
				}
			}
			h.File = []byte(tt.file)
			raw := b.Append([]byte("before"), &h, tt.requests, tt.limit)[len("before"):]
			if len(raw) > tt.limit || len(raw) < MinReply {
				t.Errorf("%d bytes", len(raw))
			}
			var p Packet
			if err := p.Decode(raw); err != nil {
				t.Fatal(err)
			}
			order := slices.Clone(p.Codes())
			if tt.overload == 0 { // asked for in vain
				order = slices.DeleteFunc(order, func(c uint8) bool { return c == 52 && !slices.Contains(tt.order, 52) })
				tt.order = slices.DeleteFunc(tt.order, func(c uint8) bool { return c == 52 && !slices.Contains(order, 52) })
			}
			if !slices.Equal(order, tt.order) || !slices.Equal(b.Dropped, tt.dropped) {
				t.Errorf("%v, dropped %v; want %v, %v", order, b.Dropped, tt.order, tt.dropped)
			}
			if tt.overload != 0 && p.Get(52)[0] != tt.overload {
				t.Errorf("overload %d, want %d", p.Get(52), tt.overload)
			}
			for _, c := range order {
				if c != 52 && !bytes.Equal(p.Get(c), tt.put[c]) {
					t.Errorf("option %d: %q", c, p.Get(c))
				}
			}
			if string(p.File) != tt.file {
				t.Errorf("file %q", p.File)
			}
		})
	}
}

func TestLimit(t *testing.T) {
	for _, tt := range [][3]int{{0, 1500, 548}, {300, 1500, 548}, {576, 0, 548}, {1500, 1500, 1472}, {9000, 1500, 1472}, {1500, 1280, 1252}, {1500, 100, 548}} {
		if got := Limit(tt[0], tt[1]); got != tt[2] {
			t.Errorf("Limit(%d, %d) = %d, want %d", tt[0], tt[1], got, tt[2])
		}
	}
}

func TestBuilderFirstWins(t *testing.T) {
	var b Builder
	b.Put(3, []byte{1, 1, 1, 1})
	b.Put(3, []byte{2, 2, 2, 2})
	b.Block(6)
	b.Put(6, []byte{3, 3, 3, 3})
	b.Put(52, []byte{3})
	b.Put(0, []byte{3})
	b.Put(255, nil)
	var p Packet
	if err := p.Decode(b.Append(nil, &Header{}, nil, 548)); err != nil {
		t.Fatal(err)
	}
	if a, _ := p.Addr(3); a.String() != "1.1.1.1" || p.Has(6) || p.Has(52) || len(p.Codes()) != 1 {
		t.Errorf("%v %v", a, p.Codes())
	}
}

func TestNoAllocations(t *testing.T) {
	raw := base(53, 1, 1, 61, 7, 1, 2, 0, 0, 0, 0, 1, 77, 1, 'a', 77, 1, 'b', 55, 4, 1, 3, 6, 15, 255)
	var p Packet
	var b Builder
	var dst []byte
	n := testing.AllocsPerRun(100, func() {
		if p.Decode(raw) != nil {
			t.Fatal()
		}
		b.Reset()
		b.PutU8(53, 2)
		b.PutAddr(54, p.GIAddr)
		b.PutU32(51, 3600)
		b.Put(61, p.Get(61))
		dst = b.Append(dst[:0], &p.Header, p.Get(55), 548)
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode: no panic, what is read stays inside of the packet, and where the library reads the packet both read the
// same.
func FuzzDecode(f *testing.F) {
	f.Add(base(53, 1, 1, 255))
	f.Add(base(53, 1, 1, 52, 1, 3, 77, 1, 'a', 255))
	f.Add(base(77, 1, 'a', 43, 1, 'x', 77, 1, 'b', 255))
	f.Add(base()[:236])
	if d, err := dhcpv4.NewDiscovery([]byte{2, 0, 0, 0, 0, 1}, dhcpv4.WithRequestedOptions(dhcpv4.OptionDomainName, dhcpv4.OptionRouter)); err == nil {
		f.Add(d.ToBytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p Packet
		err := p.Decode(raw)
		total := 0
		for _, c := range p.Codes() {
			total += len(p.Get(c))
		}
		if total > 2*len(raw) {
			t.Errorf("%d bytes of options in %d", total, len(raw))
		}
		lib, libErr := dhcpv4.FromBytes(raw)
		if err != nil || libErr != nil || p.BOOTP || p.Has(OptOverload) {
			// The library refuses what has no END and what has no cookie, and does not know overload.
			if err == nil && libErr != nil && !p.BOOTP && !p.NoEnd && !p.Has(OptOverload) && p.HLen <= 16 {
				t.Errorf("only the library refuses: %v", libErr)
			}
			return
		}
		if uint8(lib.OpCode) != p.Op || uint16(lib.HWType) != uint16(p.HType) || !bytes.Equal(lib.ClientHWAddr, p.HW()) || lib.Flags != p.Flags ||
			!bytes.Equal(lib.YourIPAddr.To4(), p.YIAddr.AsSlice()) || !bytes.Equal(lib.GatewayIPAddr.To4(), p.GIAddr.AsSlice()) {
			t.Errorf("header: %+v\n%+v", p.Header, lib)
		}
		for c := range 255 {
			code := uint8(c)
			v := lib.Options.Get(dhcpv4.GenericOptionCode(code))
			if p.Has(code) != lib.Options.Has(dhcpv4.GenericOptionCode(code)) {
				t.Fatalf("option %d: only one of the two has it", code)
			}
			if got := p.Get(code); joins(code) && !bytes.Equal(v, got) || !bytes.HasPrefix(v, got) {
				t.Errorf("option %d: %x, library %x", code, got, v)
			}
		}
	})
}

// FuzzAppend: what is built is within the limit, is read back to the same by us, and by the library where that can.
func FuzzAppend(f *testing.F) {
	f.Add([]byte{53, 1, 2, 54, 4, 1, 2, 3, 4, 121, 200, 9, 82, 40, 1}, []byte{121, 3}, uint16(576), true)
	f.Add([]byte{53, 1, 2, 17, 250, 1, 43, 250, 2, 18, 120, 3, 82, 40, 1}, []byte{121, 3}, uint16(576), false)
	f.Fuzz(func(t *testing.T, spec, requests []byte, size uint16, file bool) {
		var b Builder
		want := map[uint8][]byte{}
		for len(spec) >= 3 {
			code, n, fill := spec[0], int(spec[1]), spec[2]
			spec = spec[3:]
			if fill&1 != 0 {
				n *= 3
			}
			if code == 0 || code == 255 || code == 52 || code == 53 {
				continue
			}
			v := bytes.Repeat([]byte{fill}, n)
			if n > 255 && !joins(code) {
				v = v[:255] // in pieces only what is put together again
			}
			if _, ok := want[code]; !ok {
				want[code] = v
			}
			b.Put(code, v)
		}
		b.PutU8(53, 2)
		want[53] = []byte{2}
		h := Header{Op: BootReply, HType: 1, HLen: 6, XID: 1}
		if file {
			h.File, h.SName = []byte("file"), []byte("server")
		}
		limit := Limit(int(size), 0)
		raw := b.Append(nil, &h, requests, limit)
		if len(raw) > limit {
			t.Fatalf("%d bytes, limit %d", len(raw), limit)
		}
		var p Packet
		if err := p.Decode(raw); err != nil {
			t.Fatal(err)
		}
		if p.Doubled > 0 || p.NoEnd {
			t.Error("doubled options, or no end")
		}
		if p.Type() != 2 {
			t.Error("the message type is gone")
		}
		for c, v := range want {
			if slices.Contains(b.Dropped, c) == p.Has(c) {
				t.Errorf("option %d: dropped %v, there %v", c, b.Dropped, p.Has(c))
			}
			if p.Has(c) && !bytes.Equal(p.Get(c), v) {
				t.Errorf("option %d: %x, want %x", c, p.Get(c), v)
			}
		}
		lib, err := dhcpv4.FromBytes(raw)
		if err != nil {
			t.Fatalf("the library refuses it: %v", err)
		}
		if p.Has(OptOverload) {
			return
		}
		for c, v := range want {
			if got := lib.Options.Get(dhcpv4.GenericOptionCode(c)); p.Has(c) && !bytes.Equal(got, v) {
				t.Errorf("option %d: the library reads %x, want %x", c, got, v)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	d, err := dhcpv4.NewDiscovery([]byte{2, 0, 0, 0, 0, 1}, dhcpv4.WithOption(dhcpv4.OptHostName("client")), dhcpv4.WithRequestedOptions(
		dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName, dhcpv4.OptionNTPServers))
	if err != nil {
		b.Fatal(err)
	}
	raw := d.ToBytes()
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var p Packet
		for b.Loop() {
			_ = p.Decode(raw)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = dhcpv4.FromBytes(raw)
		}
	})
}
