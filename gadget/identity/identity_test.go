package identity

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func seed(t *testing.T, serial string) Seed {
	t.Helper()
	s, ok := New(serial, "", "")
	if !ok {
		t.Fatalf("%q is no seed", serial)
	}
	return s
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		serial, machine, configured string
		ok                          bool
		number, source              string
	}{
		{"00000000f3a2b1c4", "m", "c", true, "00000000f3a2b1c4", "the board's serial"},
		{"0000000000000000", "0b26f64e8b33b8d0", "", true, "2788e05afefb9827", "the machine's id"},
		{" To Be Filled By O.E.M. ", "0b26f64e8b33b8d0", "", true, "2788e05afefb9827", "the machine's id"},
		{"", "", "door", true, "", "the configuration"},
		{"None", "", "", false, "", ""},
		{"0x00000000", "", "", false, "", ""},
	} {
		s, ok := New(c.serial, c.machine, c.configured)
		if ok != c.ok || !strings.Contains(s.Source, c.source) || c.number != "" && s.Number() != c.number {
			t.Errorf("%+v: %v %+v, number %s", c, ok, s.Source, s.Number())
		}
	}
	// How the device tree writes it does not change the addresses.
	if seed(t, "00000000F3A2B1C4").MAC("g", "f", Here) != seed(t, "00000000f3a2b1c4").MAC("g", "f", Here) {
		t.Error("upper case is another board")
	}
}

// Stable: these values are on people's hosts.
func TestAddressesStayWhatTheyAre(t *testing.T) {
	s := seed(t, "00000000f3a2b1c4")
	for got, want := range map[string]string{
		s.MAC("provision", "ncm.usb0", Here):                               "ce:fa:37:d7:1b:99",
		s.MAC("provision", "ncm.usb0", Host):                               "86:78:d2:f9:52:17",
		s.Universal([3]byte{0, 0x11, 0x22}, "provision", "ncm.usb0", Host): "00:11:22:f9:52:17",
		s.ULA(0).String():   "fd8d:df27:7c76::/64",
		s.ULA(257).String(): "fd8d:df27:7c76:101::/64",
	} {
		if got != want {
			t.Errorf("%s, was %s", got, want)
		}
	}
}

// All addresses of many boards, gadgets, functions and sides: unicast, locally administered, never
// the same twice. 2^46 values and n of them meet with a chance of n²/2^47: here below one in ten
// thousand, and the drawing is fixed.
func TestAddressesNeverMeet(t *testing.T) {
	seen := map[string]string{}
	for board := range 2000 {
		s := seed(t, fmt.Sprintf("10000000%08x", board+1))
		for _, gadget := range []string{"provision", "provision-2"} {
			for _, function := range []string{"ncm.usb0", "ecm.usb0", "rndis.usb0", "rndis.usb1", "eem.usb0"} {
				for _, side := range []string{Here, Host} {
					what := fmt.Sprint(board, gadget, function, side)
					m := s.MAC(gadget, function, side)
					if first, twice := seen[m]; twice {
						t.Fatalf("%s is of %s and of %s", m, first, what)
					}
					seen[m] = what
					var b [6]byte
					if n, err := fmt.Sscanf(m, "%02x:%02x:%02x:%02x:%02x:%02x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]); n != 6 || err != nil || b[0]&3 != 2 {
						t.Fatalf("%s is not unicast and locally administered", m)
					}
				}
			}
		}
	}
	if s := seed(t, "1"); s.MAC("a", "bc", Here) == s.MAC("ab", "c", Here) {
		t.Error("names run into each other")
	}
}

func TestNetworksAreUnique(t *testing.T) {
	seen := map[netip.Prefix]int{}
	for board := range 5000 {
		p := seed(t, fmt.Sprintf("10000000%08x", board+1)).ULA(0)
		if !p.Addr().IsPrivate() || p.Bits() != 64 || p != p.Masked() {
			t.Fatalf("%s is no unique local network", p)
		}
		if o, twice := seen[p]; twice {
			t.Fatalf("boards %d and %d have %s", o, board, p)
		}
		seen[p] = board
	}
}
