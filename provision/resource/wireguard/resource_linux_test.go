package wireguard

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/wguser"
)

// wg runs wg(8), the judge.
func (w world) wg(args ...string) string {
	w.Helper()
	if _, err := exec.LookPath("wg"); err != nil {
		w.Skip("skipped: no wg(8); install wireguard-tools")
	}
	out, err := exec.Command("wg", args...).CombinedOutput()
	if err != nil {
		w.Fatalf("wg %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func peer(n byte, allowed ...string) PeerSpec {
	return PeerSpec{Device: "wg0", PublicKey: key(n).Public(), AllowedIPs: prefixes(allowed...)}
}

// wg(8) reads what we write, and we read what it writes.
func TestJudgedByWG(t *testing.T) {
	both(t, func(w world) {
		w.set(Want(Spec{Name: "wg0", PrivateKey: key(1), ListenPort: 51820, Fwmark: 0xca6c}, ""))
		p := peer(9, "10.97.98.2/32", "fd12::2/128", "192.168.0.0/16")
		p.PresharedKey, p.PersistentKeepalive, p.Endpoint = key(3), 25, netip.MustParseAddrPort("[2001:db8::1]:51820")
		w.set(WantPeer(p, ""))
		w.set(WantPeer(peer(8), ""))
		got := strings.Split(strings.TrimSpace(w.wg("show", "wg0", "dump")), "\n")
		slices.Sort(got[1:])
		want := []string{
			strings.Join([]string{key(1).String(), key(1).Public().String(), "51820", "0xca6c"}, "\t"),
			strings.Join([]string{p.PublicKey.String(), key(3).String(), "[2001:db8::1]:51820", "10.97.98.2/32,192.168.0.0/16,fd12::2/128", "0", "0", "0", "25"}, "\t"),
			strings.Join([]string{key(8).Public().String(), "(none)", "(none)", "(none)", "0", "0", "0", "off"}, "\t"),
		}
		for i := range got { // wg prints prefixes in the device's order
			f := strings.Split(got[i], "\t")
			if i > 0 {
				a := strings.Split(f[3], ",")
				slices.Sort(a)
				f[3] = strings.Join(a, ",")
			}
			got[i] = strings.Join(f, "\t")
		}
		slices.Sort(want[1:])
		if !slices.Equal(got, want) {
			w.Errorf("wg says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if out := nstest.IP(t, "-o link show wg0"); !strings.Contains(out, "mtu 1420") || !strings.Contains(out, "alias "+Owner) {
			w.Errorf("ip says %s", out)
		}
		w.wg("set", "wg0", "listen-port", "1", "fwmark", "off", "peer", key(8).Public().String(), "allowed-ips", "10.97.98.2/32,10.0.0.0/8", "persistent-keepalive", "7", "endpoint", "198.51.100.7:9")
		all, err := w.peers.List(w.Context(), []string{PeerRef("wg0", key(8).Public()).Name, PeerRef("wg0", p.PublicKey).Name, PeerRef("wg1", p.PublicKey).Name})
		if err != nil || len(all) != 2 {
			w.Fatalf("list: %v, %v", all, err)
		}
		a := all[PeerRef("wg0", key(8).Public()).Name]
		if a[AttrAllowedIPs] != "10.0.0.0/8, 10.97.98.2/32" || a[AttrPersistentKeepalive] != "7" || a[AttrEndpoint] != "198.51.100.7:9" {
			w.Errorf("we read %v", a)
		}
		if a := all[PeerRef("wg0", p.PublicKey).Name]; a[AttrAllowedIPs] != "192.168.0.0/16, fd12::2/128" {
			w.Errorf("what was taken away is still there: %v", a)
		}
		d, err := w.devices.Get(w.Context(), "wg0")
		if err != nil || d[AttrListenPort] != "1" || d[AttrFwmark] != "" {
			w.Errorf("we read %v, %v", d, err)
		}
		if err := SetEndpoint(w.Context(), "", "wg0", key(8).Public(), "[fe80::1%lo]:7"); err != nil {
			w.Error(err)
		}
		if out := w.wg("show", "wg0", "endpoints"); !strings.Contains(out, "[fe80::1%lo]:7") && !strings.Contains(out, "[fe80::1%1]:7") {
			w.Errorf("wg says %s", out)
		}
	})
}

// What stays is never taken away: the device is asked, while it changes, whose a prefix is.
func TestPrefixesMove(t *testing.T) {
	both(t, func(w world) {
		w.set(Want(Spec{Name: "wg0", PrivateKey: key(1)}, ""))
		w.set(WantPeer(peer(8, "10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32"), ""))
		w.set(WantPeer(peer(9, "10.0.1.1/32", "10.0.1.2/32"), ""))
		step := func(p PeerSpec) provision.Step {
			want := WantPeer(p, "")
			have, err := w.peers.Get(w.Context(), want.Name)
			if err != nil {
				w.Fatal(err)
			}
			return provision.Step{Name: want.Name, Have: have, Want: want.Attrs}
		}
		// One goes, one changes its peer, two change places, one comes.
		a, b := peer(8, "10.0.0.1/32", "10.0.1.1/32"), peer(9, "10.0.0.3/32", "10.0.1.3/32", "10.0.1.2/32")
		if err := w.peers.SetAll(w.Context(), []provision.Step{step(a), step(b)}); err != nil {
			w.Fatal(err)
		}
		d, err := Read(w.Context(), "", "wg0")
		if err != nil || len(d.Peers) != 2 {
			w.Fatalf("%v, %v", d, err)
		}
		for _, p := range []PeerSpec{a, b} {
			if got := d.Peer(p.PublicKey); FormatAllowedIPs(got.AllowedIPs) != FormatAllowedIPs(p.AllowedIPs) {
				w.Errorf("%v, want %v", got.AllowedIPs, p.AllowedIPs)
			}
		}
		// Both want one: nothing is done.
		c, e := peer(7, "10.0.0.9/32"), peer(8, "10.0.0.9/32")
		if err := w.peers.SetAll(w.Context(), []provision.Step{step(c), step(e)}); err == nil || !strings.Contains(err.Error(), "10.0.0.9/32 is an allowed-ip of the peer") {
			w.Errorf("one prefix of two peers: %v", err)
		}
		if d, err := Read(w.Context(), "", "wg0"); err != nil || len(d.Peers) != 2 {
			w.Errorf("a refused batch left %d peers, %v", len(d.Peers), err)
		}
		// All go at once.
		sa, sb := step(a), step(b)
		sa.Want, sb.Want = nil, nil
		if err := w.peers.SetAll(w.Context(), []provision.Step{sa, sb}); err != nil {
			w.Fatal(err)
		}
		if d, err := Read(w.Context(), "", "wg0"); err != nil || len(d.Peers) != 0 {
			w.Errorf("%d peers are left, %v", len(d.Peers), err)
		}
	})
}

func TestRefusals(t *testing.T) {
	both(t, func(w world) {
		nstest.IP(t, "link add foreign type veth peer name other")
		w.set(Want(Spec{Name: "wg0", PrivateKey: key(1), ListenPort: 51820}, ""))
		w.set(WantPeer(peer(9, "10.0.0.1/32"), ""))
		busy, err := net.ListenUDP("udp", &net.UDPAddr{Port: 4444})
		if err != nil {
			t.Fatal(err)
		}
		defer busy.Close()
		attrs := func(k, v string) provision.Attrs { return provision.Attrs{k: v} }
		long := key(1)
		long[0] |= 1
		for what, tt := range map[string]struct {
			want provision.Want
			says string
			is   error
		}{
			"another kind of device":   {Want(Spec{Name: "foreign", PrivateKey: key(1)}, ""), "there is a veth device of that name", nil},
			"a port that is taken":     {Want(Spec{Name: "wg1", PrivateKey: key(1), ListenPort: 4444}, ""), "another program has its listen-port", nil},
			"a port that gets taken":   {Want(Spec{Name: "wg0", PrivateKey: key(1), ListenPort: 4444}, ""), "another program has its listen-port", nil},
			"no name":                  {Want(Spec{Name: "wg%d", PrivateKey: key(1)}, ""), "percent sign", nil},
			"an unclamped key":         {provision.Want{Ref: Ref("wg0"), Attrs: attrs(AttrPrivateKey, long.String())}, "RFC 7748", nil},
			"no key":                   {provision.Want{Ref: Ref("wg0"), Attrs: attrs(AttrPrivateKey, "secret")}, "44 characters", nil},
			"no mark":                  {provision.Want{Ref: Ref("wg0"), Attrs: attrs(AttrFwmark, "0x0")}, "other than 0", nil},
			"an attribute of a device": {provision.Want{Ref: Ref("wg0"), Attrs: attrs("mtu", "1")}, "unknown attribute", nil},
			"its own key":              {WantPeer(PeerSpec{Device: "wg0", PublicKey: key(1).Public()}, ""), "device's own key", nil},
			"no device":                {WantPeer(PeerSpec{Device: "wg7", PublicKey: key(9).Public()}, ""), "", provision.ErrPending},
			"no public key":            {provision.Want{Ref: provision.Ref{Kind: PeerKind, Name: "wg0 x"}, Attrs: provision.Attrs{}}, "44 characters", nil},
			"unsorted prefixes":        {provision.Want{Ref: PeerRef("wg0", key(9).Public()), Attrs: attrs(AttrAllowedIPs, "10.0.0.2/32, 10.0.0.1/32")}, "are written", nil},
			"an unmasked prefix":       {provision.Want{Ref: PeerRef("wg0", key(9).Public()), Attrs: attrs(AttrAllowedIPs, "10.0.0.2/8")}, "are written", nil},
			"a wrong endpoint":         {provision.Want{Ref: PeerRef("wg0", key(8).Public()), Attrs: attrs(AttrEndpoint, "example.org:51820")}, "want an address and a port", nil},
			"an endpoint without port": {provision.Want{Ref: PeerRef("wg0", key(8).Public()), Attrs: attrs(AttrEndpoint, "192.0.2.1:0")}, "want an address and a port", nil},
			"an endpoint by a device":  {provision.Want{Ref: PeerRef("wg0", key(8).Public()), Attrs: attrs(AttrEndpoint, "[fe80::1%none]:1")}, "no device none", nil},
		} {
			err := w.try(tt.want)
			switch {
			case tt.is != nil && !errors.Is(err, tt.is), err == nil, !strings.Contains(err.Error(), tt.says):
				t.Errorf("%s: got %v, want it to say %q", what, err, tt.says)
			case strings.Contains(err.Error(), long.String()), strings.Contains(err.Error(), "secret"):
				t.Errorf("%s: a secret is told: %v", what, err)
			}
		}
		d, err := Read(w.Context(), "", "wg0")
		if err != nil || d.ListenPort != 51820 || d.PrivateKey != key(1) || len(d.Peers) != 1 || FormatAllowedIPs(d.Peers[0].AllowedIPs) != "10.0.0.1/32" {
			t.Errorf("a refused change was made: %+v, %v", d, err)
		}
		if names, err := Names(w.Context(), ""); err != nil || !slices.Equal(names, []string{"wg0"}) {
			t.Errorf("devices: %v, %v", names, err)
		}
	})
}

// What somebody else made is neither changed nor removed, and can be read.
func TestSomebodyElses(t *testing.T) {
	both(t, func(w world) {
		w.set(Want(Spec{Name: "wg0", PrivateKey: key(1)}, ""))
		nstest.IP(t, "link set wg0 alias theirs")
		for _, want := range []provision.Want{{Ref: Ref("wg0")}, Want(Spec{Name: "wg0", PrivateKey: key(1)}, ""), Want(Spec{Name: "wg0", PrivateKey: key(2)}, "")} {
			if err := w.try(want); err == nil || !strings.Contains(err.Error(), "is somebody else's") {
				t.Errorf("%v: %v", want, err)
			}
		}
		d, err := Read(w.Context(), "", "wg0")
		if err != nil || d == nil || d.PrivateKey != key(1) || d.Alias != "theirs" {
			t.Errorf("%+v, %v", d, err)
		}
		// What a crash leaves between making and marking is taken over.
		nstest.IP(t, "link del wg0")
		if user, err := w.devices.create(w.Context(), "wg1"); err != nil {
			t.Fatal(user, err)
		}
		w.set(Want(Spec{Name: "wg1", PrivateKey: key(2)}, ""))
		if out := nstest.IP(t, "-o link show wg1"); !strings.Contains(out, "alias "+Owner) {
			t.Errorf("ip says %s", out)
		}
	})
}

// A process that is killed takes its device along and leaves its socket's file: the device is absent,
// and can be made again.
func TestKilledProcess(t *testing.T) {
	w := newWorld(t, false)
	want := Want(Spec{Name: "wg0", PrivateKey: key(1)}, "")
	w.set(want)
	out, err := exec.Command("ss", "-xlpH", "src", "*"+wguser.Sockets+"/wg0.sock").CombinedOutput()
	_, pid, ok := strings.Cut(string(out), "pid=")
	if err != nil || !ok {
		t.Skipf("skipped: ss(8) does not tell who listens: %v %s", err, out)
	}
	pid, _, _ = strings.Cut(pid, ",")
	if err := exec.Command("kill", "-9", pid).Run(); err != nil {
		t.Fatal(err)
	}
	gone(t, func() bool {
		have, err := w.devices.Get(w.Context(), "wg0")
		return err == nil && have == nil
	})
	if _, err := os.Stat(filepath.Join(wguser.Sockets, "wg0.sock")); err != nil {
		t.Errorf("the case shows nothing: %v", err)
	}
	w.set(want)
	if d, err := Read(w.Context(), "", "wg0"); err != nil || d == nil || d.PrivateKey != key(1) {
		t.Errorf("%+v, %v", d, err)
	}
	// Somebody removes it with ip(8), as wg-quick down does.
	nstest.IP(t, "link del wg0")
	gone(t, func() bool { return !answers(wguser.Sockets, "wg0") })
}

// Nothing is left of a device that cannot be: no tun device, a program that fails, none at all.
func TestNoUserspace(t *testing.T) {
	w := newWorld(t, false)
	want := Want(Spec{Name: "wg0", PrivateKey: key(1)}, "")
	for what, tt := range map[string]struct {
		user Userspace
		says string
	}{
		"none":               {nil, ErrUnsupported.Error()},
		"no program":         {wguser.Starter{Program: "/nowhere"}, "cannot start the WireGuard device wg0"},
		"it ends at once":    {wguser.Starter{Program: "/bin/true"}, "has ended at once"},
		"it fails otherwise": {wguser.Starter{Program: "/bin/false"}, "has ended at once"},
	} {
		w.devices.Userspace = tt.user
		if err := w.try(want); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.devices.Userspace = wguser.Starter{Program: program(t), Tied: true}
	nstest.Mount(t, "tmpfs", "/dev/net", "tmpfs", 0, "")
	if err := w.try(want); err == nil || !strings.Contains(err.Error(), "modprobe tun") {
		t.Errorf("no tun device: %v", err)
	}
	if left, _ := os.ReadDir(wguser.Sockets); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
