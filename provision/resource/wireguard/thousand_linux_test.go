package wireguard

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

// many are n peers with an address of each family and a preshared key.
func many(from, n int) []provision.Want {
	var out []provision.Want
	for i := from; i < from+n; i++ {
		var k, psk Key
		binary.BigEndian.PutUint32(k[4:], uint32(i))
		k[31], psk[0] = 1, 1
		out = append(out, WantPeer(PeerSpec{Device: "wg0", PublicKey: k.Clamp().Public(), PresharedKey: psk,
			AllowedIPs: []netip.Prefix{
				netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}), 32),
				netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x99, 14: byte(i >> 8), 15: byte(i)}), 128),
			}}, ""))
	}
	return out
}

// A thousand peers in one batch, read, one more, and all but one away.
func TestThousandPeers(t *testing.T) {
	both(t, func(w world) {
		w.set(Want(Spec{Name: "wg0", PrivateKey: key(1)}, ""))
		var steps []provision.Step
		var names []string
		wants := many(0, 1000)
		for _, x := range wants {
			steps = append(steps, provision.Step{Name: x.Name, Want: x.Attrs})
			names = append(names, x.Name)
		}
		begin := time.Now()
		if err := w.peers.SetAll(w.Context(), steps); err != nil {
			w.Fatal(err)
		}
		made := time.Since(begin)
		begin = time.Now()
		all, err := w.peers.List(w.Context(), names)
		read := time.Since(begin)
		if err != nil || len(all) != 1000 {
			w.Fatalf("%d peers, %v", len(all), err)
		}
		for _, x := range wants {
			if fmt.Sprint(all[x.Name]) != fmt.Sprint(x.Attrs) {
				w.Fatalf("%s is %v, want %v", x.Name, all[x.Name], x.Attrs)
			}
		}
		begin = time.Now()
		w.set(many(1000, 1)[0])
		one := time.Since(begin)
		begin = time.Now()
		for i, s := range steps {
			steps[i] = provision.Step{Name: s.Name, Have: all[s.Name]}
		}
		if err := w.peers.SetAll(w.Context(), steps); err != nil {
			w.Fatal(err)
		}
		w.Logf("1,000 peers made in %v and read in %v, one more made in %v, 1,000 removed in %v", made, read, one, time.Since(begin))
		if d, err := Read(w.Context(), "", "wg0"); err != nil || len(d.Peers) != 1 {
			w.Errorf("%d peers are left, %v", len(d.Peers), err)
		}
	})
}
