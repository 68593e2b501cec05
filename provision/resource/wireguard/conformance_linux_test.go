package wireguard

import (
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestConformanceDevice(t *testing.T) {
	for name, kernel := range map[string]bool{"userspace": false, "kernel": true} {
		t.Run(name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				w := newWorld(t, kernel)
				return enginetest.ResourceCase{
					Resource: w.devices, Name: "wg0",
					Values: []provision.Attrs{
						Want(Spec{Name: "wg0", PrivateKey: key(1), ListenPort: 51820, Fwmark: 0x10000}, "").Attrs,
						Want(Spec{Name: "wg0", PrivateKey: key(2), ListenPort: 51821, Fwmark: 7}, "").Attrs,
					},
					Optional: []string{AttrPrivateKey, AttrListenPort, AttrFwmark},
				}
			})
		})
	}
}

func TestConformancePeer(t *testing.T) {
	for name, kernel := range map[string]bool{"userspace": false, "kernel": true} {
		t.Run(name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				w := newWorld(t, kernel)
				w.set(Want(Spec{Name: "wg0", PrivateKey: key(1), ListenPort: 51820}, ""))
				a := WantPeer(PeerSpec{Device: "wg0", PublicKey: key(9).Public(), PresharedKey: key(3), PersistentKeepalive: 25,
					Endpoint: netip.MustParseAddrPort("192.0.2.1:51820"), AllowedIPs: prefixes("10.97.98.2/32", "fd12::2/128")}, "")
				b := WantPeer(PeerSpec{Device: "wg0", PublicKey: key(9).Public(), PresharedKey: key(4), PersistentKeepalive: 15,
					Endpoint: netip.MustParseAddrPort("[2001:db8::1]:51820"), AllowedIPs: prefixes("10.97.98.2/32", "192.168.0.0/16", "::/0")}, "")
				return enginetest.ResourceCase{
					Resource: w.peers, Name: a.Name, Values: []provision.Attrs{a.Attrs, b.Attrs},
					Optional: []string{AttrPresharedKey, AttrPersistentKeepalive, AttrAllowedIPs},
				}
			})
		})
	}
}
