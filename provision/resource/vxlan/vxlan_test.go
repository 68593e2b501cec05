package vxlan

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
)

func TestOverhead(t *testing.T) {
	// RFC 7348 section 5: what a wire over a tunnel of 1420 bytes carries.
	if four, six := 1420-Overhead(netip.MustParseAddr("10.0.0.1")), 1420-Overhead(netip.MustParseAddr("fd00::1")); four != 1370 || six != 1350 {
		t.Errorf("%d and %d", four, six)
	}
}

// FuzzJudge: an address that is taken is in its one form, so that what is read back compares equal.
func FuzzJudge(f *testing.F) {
	f.Add("7", "10.0.0.2", "10.0.0.1", "4789", "wg0", "02:00:5e:00:00:01", "off")
	f.Add("16777215", "fd00::2", "", "1", "", "02:00:5e:00:00:0a", "on")
	f.Fuzz(func(t *testing.T, vni, remote, local, port, dev, mac, sum string) {
		a := provision.Attrs{AttrVNI: vni, AttrRemote: remote, AttrLocal: local, AttrPort: port, AttrDev: dev, AttrMAC: mac, AttrTxSum: sum, AttrOwner: Owner}
		if judge("vx", a) != nil {
			return
		}
		if got, err := netip.ParseAddr(remote); err != nil || got.String() != remote || got.IsMulticast() {
			t.Errorf("remote %q is taken", remote)
		}
		if _, ok := parseMAC(mac); !ok || vni == "0" || port == "0" || dev == "vx" {
			t.Errorf("%v is taken", a)
		}
	})
}
