package layout

import (
	"fmt"
	"testing"
)

// layouts are all one- and two-configuration gadgets of up to four functions in every order.
func layouts() []Gadget {
	types := []string{ECM, NCM, RNDIS, EEM, ACM, MassStorage, HID}
	var lists [][]Function
	var grow func(list []Function)
	grow = func(list []Function) {
		if len(list) > 0 {
			lists = append(lists, append([]Function(nil), list...))
		}
		if len(list) == 4 {
			return
		}
		for _, t := range types {
			grow(append(list[:len(list):len(list)], Function{Type: t, Instance: fmt.Sprint(len(list))}))
		}
	}
	grow(nil)
	var out []Gadget
	for _, l := range lists {
		out = append(out, Gadget{Class: Composite(), Configs: []Config{{1, l}}})
		if len(l) == 2 {
			out = append(out, Gadget{Class: Communications(), Configs: []Config{{1, l[:1]}, {2, l[1:]}}, Described: "c.2"})
		}
	}
	return out
}

// bcdDevice is four decimal digits above 00.99, and two layouts share one about as often as chance
// has it: 1 in 9900 pairs.
func TestBCD(t *testing.T) {
	all := layouts()
	texts := map[string]bool{}
	count := map[uint16]int{}
	for _, g := range all {
		bcd := g.BCD()
		for d := bcd; d > 0; d >>= 4 {
			if d&15 > 9 {
				t.Fatalf("%04x is no decimal number", bcd)
			}
		}
		if bcd < 0x0100 || g.BCD() != bcd {
			t.Fatalf("%04x", bcd)
		}
		if texts[g.String()] {
			t.Fatalf("two layouts are both %s", g)
		}
		texts[g.String()] = true
		count[bcd]++
	}
	pairs, equal := float64(len(all))*float64(len(all)-1)/2, 0.0
	for _, n := range count {
		equal += float64(n) * float64(n-1) / 2
	}
	rate := equal / pairs * 9900
	t.Logf("%d layouts, %.0f pairs of %.0f are equal: %.2f times what chance has", len(all), equal, pairs, rate)
	if len(all) < 2800 || rate < 0.8 || rate > 1.25 {
		t.Errorf("1 in %.0f pairs, want about 1 in 9900", pairs/equal)
	}
}

// The layouts that people change between have numbers of their own.
func TestProfilesHaveTheirOwnNumbers(t *testing.T) {
	one := func(described string, types ...string) Gadget {
		c := Config{Number: 1}
		for _, typ := range types {
			f := Function{Type: typ}
			if typ == RNDIS {
				f.Class = Triple{0xef, 4, 1}
			}
			c.Functions = append(c.Functions, f)
		}
		return Gadget{Class: Composite(), Configs: []Config{c}, Described: described}
	}
	classic := Gadget{Class: Communications(), Configs: []Config{{1, []Function{{Type: ECM}}}, {2, []Function{{Type: RNDIS, Class: Triple{0xef, 4, 1}}}}}, Described: "c.2"}
	other := one("c.1", RNDIS, ACM)
	other.Configs[0].Functions[0].Class = Triple{0xe0, 1, 3}
	seen := map[uint16]string{}
	for _, g := range []Gadget{one("c.1", NCM, ACM), classic, one("c.1", RNDIS, ACM), other, one("", ACM), one("c.1", NCM), one("", ECM), one("c.1", RNDIS), one("", EEM),
		one("c.1", NCM, ACM, MassStorage), one("c.1", NCM, MassStorage), one("c.1", NCM, HID), one("c.1", RNDIS, NCM, ACM, MassStorage), one("c.1", NCM, ACM, HID), one("", ECM, ACM), one("", HID)} {
		if o, twice := seen[g.BCD()]; twice {
			t.Errorf("%04x is of\n%s and of\n%s", g.BCD(), o, g)
		}
		seen[g.BCD()] = g.String()
	}
}

func TestEndpoints(t *testing.T) {
	c := Config{1, []Function{{Type: RNDIS}, {Type: NCM}, {Type: ACM}, {Type: MassStorage}}}
	if in, out := c.Endpoints(); in != 7 || out != 4 {
		t.Errorf("%d IN and %d OUT, want the 7 and 4 of the fullest gadget of a dwc2", in, out)
	}
	for typ, want := range map[string]int{ECM: 2, NCM: 2, RNDIS: 2, ACM: 2, EEM: 1, MassStorage: 1, HID: 1} {
		if in, out := (Function{Type: typ}).Endpoints(); in != want || out != 1 {
			t.Errorf("%s: %d IN and %d OUT", typ, in, out)
		}
	}
}
