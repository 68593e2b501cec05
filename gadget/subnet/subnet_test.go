package subnet

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func nets(list ...string) Taken {
	var out Taken
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// drawing is fixed, as a board's is.
func drawing(board uint64) func(int) uint32 {
	return func(n int) uint32 { return uint32(rand.New(rand.NewPCG(board, uint64(n))).Uint64()) }
}

// Candidates are private, never link-local, aligned, and spread over both ranges.
func TestCandidate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ten, twelve := 0, 0
	seen := map[netip.Prefix]bool{}
	for range 20000 {
		p := Candidate(r.Uint32())
		seen[p] = true
		switch {
		case p != p.Masked() || p.Bits() != Bits || !Own(p).Addr().IsPrivate() || Own(p).Masked() != p:
			t.Fatalf("%s", p)
		case netip.MustParsePrefix("10.0.0.0/8").Overlaps(p):
			ten++
		case netip.MustParsePrefix("172.16.0.0/12").Overlaps(p):
			twelve++
		default:
			t.Fatalf("%s is outside", p)
		}
	}
	if ten < 17000 || twelve < 1800 || len(seen) < 19500 {
		t.Errorf("%d of 10/8, %d of 172.16/12, %d different", ten, twelve, len(seen))
	}
	for _, n := range []uint32{0, 8, 1<<32 - 1} {
		if p := Candidate(n); !p.IsValid() {
			t.Errorf("%d: %s", n, p)
		}
	}
}

func TestChoose(t *testing.T) {
	draw := drawing(7)
	first, second := Candidate(draw(0)), Candidate(draw(1))
	for _, c := range []struct {
		name    string
		present []netip.Prefix
		taken   Taken
		want    netip.Prefix
	}{
		{"the first", nil, nil, first},
		{"the next on a conflict", nil, Taken{first}, second},
		{"a wider network is one", nil, Taken{netip.PrefixFrom(first.Addr(), 16).Masked()}, second},
		{"an address in it is one", nil, Taken{netip.PrefixFrom(first.Addr().Next().Next(), 32)}, second},
		{"what is there stays", []netip.Prefix{Own(second)}, nil, second},
		{"what is there goes on a conflict", []netip.Prefix{Own(second)}, Taken{second}, first},
		{"somebody else's address does not stay", nets("192.168.1.1/24"), nil, first},
		{"half of the internet is the way out", nil, nets("0.0.0.0/1", "128.0.0.0/1"), first},
		{"the other family has nothing to say", nil, nets("fd00::/8"), first},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, crowded, ok := Choose(draw, c.present, c.taken)
			if !ok || got != c.want || crowded.IsValid() {
				t.Errorf("%s, %s, %v; want %s", got, crowded, ok, c.want)
			}
		})
	}
	// A corporate tunnel with all of 10/8 leaves 172.16/12; with that too, a note is due.
	if got, crowded, ok := Choose(draw, nil, nets("10.0.0.0/8")); !ok || crowded.IsValid() || !netip.MustParsePrefix("172.16.0.0/12").Overlaps(got) {
		t.Errorf("%s, %s, %v", got, crowded, ok)
	}
	if got, crowded, ok := Choose(draw, nil, nets("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")); !ok || !crowded.IsValid() || got != first {
		t.Errorf("%s, %s, %v", got, crowded, ok)
	}
}

// Whatever is taken, what is chosen is clear of every network that counts, and a second call with
// it in place keeps it.
func TestChosenIsClear(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for board := range uint64(500) {
		var taken Taken
		for range r.IntN(20) {
			a := [4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
			if r.IntN(3) == 0 {
				a[0], a[1] = 172, 16+a[1]&15
			}
			taken = append(taken, netip.PrefixFrom(netip.AddrFrom4(a), 9+r.IntN(24)).Masked())
		}
		p, crowded, ok := Choose(drawing(board), nil, taken)
		if o, hit := taken.Conflict(p); !ok || hit && !crowded.IsValid() {
			t.Fatalf("%s of %v meets %s", p, taken, o)
		}
		if again, _, _ := Choose(drawing(board), []netip.Prefix{Own(p)}, taken); !crowded.IsValid() && again != p {
			t.Fatalf("%s became %s", p, again)
		}
	}
}
