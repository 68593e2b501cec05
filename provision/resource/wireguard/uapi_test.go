package wireguard

import (
	"bufio"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func decode(s string) (Device, error) {
	var d Device
	err := decodeUAPI(&d, bufio.NewReader(strings.NewReader(s)))
	return d, err
}

const zeros = "00000000000000000000000000000000000000000000000000000000000000"

func TestUAPI(t *testing.T) {
	d, err := decode("private_key=" + "40" + zeros + "\nlisten_port=51820\nfwmark=65536\nnew_thing=1\n" +
		"public_key=01" + zeros + "\npreshared_key=02" + zeros + "\nprotocol_version=1\nendpoint=[fe80::1%eth0]:7\nlast_handshake_time_sec=1700000000\n" +
		"last_handshake_time_nsec=5\ntx_bytes=18446744073709551615\nrx_bytes=4\npersistent_keepalive_interval=25\nallowed_ip=10.0.0.2/32\nallowed_ip=10.0.0.0/24\n" +
		"public_key=03" + zeros + "\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\nerrno=0\n\n")
	private := Key{0: 0x40}
	want := Device{PrivateKey: private, PublicKey: private.Public(), ListenPort: 51820, Fwmark: 65536, Peers: []Peer{
		{PublicKey: Key{1}, PresharedKey: Key{2}, Endpoint: netip.MustParseAddrPort("[fe80::1%eth0]:7"), PersistentKeepalive: 25, LastHandshake: time.Unix(1700000000, 5),
			Sent: 1<<64 - 1, Received: 4, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.2/32")}},
		{PublicKey: Key{3}, AllowedIPs: []netip.Prefix{}},
	}}
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v, %v\nwant %+v", d, err, want)
	}
	for _, bad := range []string{
		"", "\n", "errno=0\n", "errno=x\n\n", "errno=0\nx\n", "private_key=40\nerrno=0\n\n", "private_key=" + strings.Repeat("g", 64) + "\nerrno=0\n\n",
		"listen_port=65536\nerrno=0\n\n", "fwmark=-1\nerrno=0\n\n", "public_key=01" + zeros + "\nallowed_ip=10.0.0.0/33\nerrno=0\n\n",
		"public_key=01" + zeros + "\nendpoint=example.org:1\nerrno=0\n\n", "public_key=01" + zeros + "\npersistent_keepalive_interval=65536\nerrno=0\n\n",
	} {
		if _, err := decode(bad); !errors.Is(err, errUAPI) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var n errno
	if _, err := decode("errno=-98\n\n"); !errors.As(err, &n) || n != 98 {
		t.Errorf("a refusal: %v", err)
	}
}

func TestUAPIRequest(t *testing.T) {
	k, port, mark, keepalive := Key{0: 0x40}, uint16(0), uint32(7), uint16(25)
	c := change{privateKey: &k, listenPort: &port, fwmark: &mark, replacePeers: true, peers: []peerChange{
		{publicKey: Key{1}, updateOnly: true, presharedKey: &Key{}, endpoint: netip.MustParseAddrPort("[2001:db8::1]:7"), keepalive: &keepalive,
			replaceAllowed: true, allowed: []netip.Prefix{netip.MustParsePrefix("::/0")}},
		{publicKey: Key{2}, remove: true},
	}}
	want := "set=1\nprivate_key=40" + zeros + "\nlisten_port=0\nfwmark=7\nreplace_peers=true\npublic_key=01" + zeros + "\nupdate_only=true\npreshared_key=00" + zeros +
		"\nendpoint=[2001:db8::1]:7\nreplace_allowed_ips=true\nallowed_ip=::/0\npersistent_keepalive_interval=25\npublic_key=02" + zeros + "\nremove=true\n\n"
	if got := string(c.uapi()); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func FuzzDecodeUAPI(f *testing.F) {
	f.Add("errno=0\n\n")
	f.Add("private_key=40" + zeros + "\nlisten_port=1\npublic_key=01" + zeros + "\nallowed_ip=10.0.0.1/8\nendpoint=1.2.3.4:5\nlast_handshake_time_nsec=5\nerrno=0\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := decode(s)
		if err != nil {
			return
		}
		for i := range d.Peers {
			_ = d.Peers[i].attrs()
		}
		_ = d.attrs()
	})
}

func TestKeys(t *testing.T) {
	k := Key{0: 0xff, 31: 0xff}
	if c := k.Clamp(); c[0] != 0xf8 || c[31] != 0x7f || c.Clamp() != c {
		t.Errorf("clamped %x", c)
	}
	back, err := ParseKey(k.String())
	if err != nil || back != k {
		t.Errorf("%v, %v", back, err)
	}
	// RFC 7748 section 6.1.
	private := Key{0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a}
	if got := private.Public(); got[0] != 0x85 || got[1] != 0x20 || got[31] != 0x6a || private.Clamp().Public() != got {
		t.Errorf("public key %x", got)
	}
	if (Key{}).String() != "" || (Key{}).Public() != (Key{}) || (Key{}).Clamp() != (Key{}) {
		t.Error("no key is no key")
	}
	for _, bad := range []string{"x", strings.Repeat("A", 44), strings.Repeat("A", 43) + "\n", strings.Repeat("A", 42) + "B="} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
