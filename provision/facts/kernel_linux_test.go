package facts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNetns runs f on a thread of its own in a new network namespace, which ends with
// the thread.
func inNetns(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip(8) to judge by: install iproute2")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("cannot make a network namespace: %v", err)
			return
		}
		f(t)
	}()
	<-done
}

func ip(t *testing.T, args ...string) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		t.Errorf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		runtime.Goexit()
	}
	return out
}

// ip(8) reads the same kernel and must see the same.
func TestNetworkAgreesWithIP(t *testing.T) {
	inNetns(t, func(t *testing.T) {
		for _, line := range []string{
			"link set lo up", "link add eth0 type veth peer name eth1", "link add br0 type bridge", "link set eth1 master br0",
			"link property add dev eth0 altname enp0s3long", "link set br0 up", "link set eth1 up", "link set eth0 up",
			"addr add 10.0.2.15/24 dev eth0 valid_lft 3600 preferred_lft 1800", "addr add fd00::15/64 dev eth0 nodad noprefixroute", "addr add 192.168.76.1/24 dev br0",
			"route add default via 10.0.2.2 dev eth0 metric 1000 proto dhcp", "route add default via 192.168.76.2 dev br0", "route add 10.9.0.0/16 nexthop via 10.0.2.3 dev eth0 weight 2 nexthop via 192.168.76.3 dev br0",
			"route add unreachable 10.8.0.0/16 metric 7", "route add 10.7.0.0/24 via 10.0.2.9 dev eth0 table 4242 onlink",
			"-6 route add default via fe80::1 dev eth0 metric 77 proto ra pref high expires 900", "-6 route add 2001:db8::/32 via fe80::2 dev br0 metric 5",
			"rule add from 10.0.2.0/24 lookup 4242 priority 100", "rule add not fwmark 0xca6c lookup 51820 priority 101", "rule add lookup main suppress_prefixlength 0 priority 102", "-6 rule add iif eth0 to 2001:db8::/32 unreachable priority 103",
		} {
			ip(t, strings.Fields(line)...)
		}
		n, err := systemKernel().Network(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		f := &Facts{Links: n.Links}

		var links []struct {
			Ifindex  int      `json:"ifindex"`
			Name     string   `json:"ifname"`
			Address  string   `json:"address"`
			MTU      int      `json:"mtu"`
			Oper     string   `json:"operstate"`
			Alt      []string `json:"altnames"`
			Master   string   `json:"master"`
			Flags    []string `json:"flags"`
			Linkinfo struct {
				Kind string `json:"info_kind"`
			} `json:"linkinfo"`
		}
		decode(t, ip(t, "-j", "-d", "link"), &links)
		if len(links) != len(n.Links) {
			t.Errorf("%d links, ip says %d", len(n.Links), len(links))
		}
		for _, w := range links {
			l, ok := f.LinkByIndex(w.Ifindex)
			flags := strings.Join(w.Flags, ",") + ","
			master, _ := f.LinkByIndex(l.Master)
			if !ok || l.Name != w.Name || l.MAC != w.Address || l.MTU != w.MTU || !strings.EqualFold(l.Oper, w.Oper) || !reflect.DeepEqual(l.Alt, w.Alt) ||
				master.Name != w.Master || l.Kind != w.Linkinfo.Kind || l.Up != strings.Contains(","+flags, ",UP,") || l.Carrier != strings.Contains(flags, "LOWER_UP") {
				t.Errorf("link %+v, ip says %+v", l, w)
			}
		}
		eth0, _ := f.LinkByName("enp0s3long")
		eth1, _ := f.LinkByName("eth1")
		br0, _ := f.LinkByName("br0")
		if eth0.Parent != eth1.Index || !reflect.DeepEqual(br0.Ports, []int{eth1.Index}) {
			t.Errorf("eth0 %+v, br0 %+v", eth0, br0)
		}
		agreeOnRoutes(t, f, n)

		a := map[string]Address{}
		for _, x := range n.Addrs {
			a[x.Prefix.String()] = x
		}
		if x := a["10.0.2.15/24"]; !x.Dynamic || x.Valid < 3500*time.Second || x.Valid > 3600*time.Second || x.Scope != "global" || x.Link != eth0.Index {
			t.Errorf("address %+v", x)
		}
		if x := a["fd00::15/64"]; x.Dynamic || x.Valid != 0 || !x.NoPrefix || x.Tentative {
			t.Errorf("address %+v", x)
		}
		rules := map[uint32]Rule{}
		for _, x := range n.Rules {
			rules[x.Priority] = x
		}
		for prio, want := range map[uint32]Rule{
			100: {Family: 4, From: netip.MustParsePrefix("10.0.2.0/24"), Table: 4242, Action: "lookup"},
			101: {Family: 4, Mark: 0xca6c, Mask: 0xffffffff, Table: 51820, Action: "lookup", Invert: true},
			102: {Family: 4, Table: 254, Action: "lookup", Suppresses: true},
			103: {Family: 6, To: netip.MustParsePrefix("2001:db8::/32"), Iif: "eth0", Action: "unreachable"},
		} {
			got := rules[prio]
			got.Priority, got.Proto = 0, 0
			if got != want {
				t.Errorf("rule %d: %+v, want %+v", prio, got, want)
			}
		}
		sysctlsOfLink(t)
	})
}

// sysctlsOfLink writes each per-device sysctl by its file and reads it from the
// link's dump. It comes last: the kernel drops routes of router advertisements when
// forwarding changes.
func sysctlsOfLink(t *testing.T) {
	for name, path := range map[string]string{"ipv6.accept_ra": "ipv6/conf/eth0/accept_ra", "ipv6.ra_defrtr_metric": "ipv6/conf/eth0/ra_defrtr_metric", "ipv6.disable_ipv6": "ipv6/conf/eth0/disable_ipv6", "ipv6.forwarding": "ipv6/conf/eth0/forwarding", "ipv6.autoconf": "ipv6/conf/eth0/autoconf", "ipv6.accept_ra_defrtr": "ipv6/conf/eth0/accept_ra_defrtr", "ipv4.rp_filter": "ipv4/conf/eth0/rp_filter", "ipv4.forwarding": "ipv4/conf/eth0/forwarding"} {
		// Each gets a value of its own, so that an index that is off by one shows.
		value := map[string]string{"ipv6.ra_defrtr_metric": "4711", "ipv4.rp_filter": "2", "ipv6.accept_ra": "2"}[name]
		if value == "" {
			value = "1"
		}
		if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0); err != nil {
			t.Logf("%s does not exist in this kernel: %v", path, err)
			continue
		}
		again, err := systemKernel().Network(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		l, _ := (&Facts{Links: again.Links}).LinkByName("eth0")
		if l.Sysctl[name] != value {
			t.Errorf("%s is %q, want %s", name, l.Sysctl[name], value)
		}
		if err := os.WriteFile("/proc/sys/net/"+path, []byte("0"), 0); err == nil {
			again, _ = systemKernel().Network(context.Background())
			if l, _ = (&Facts{Links: again.Links}).LinkByName("eth0"); l.Sysctl[name] != "0" {
				t.Errorf("%s is %q after 0 was written", name, l.Sysctl[name])
			}
		}
	}
}

// agreeOnRoutes compares as text, one line for each route.
func agreeOnRoutes(t *testing.T, f *Facts, n Network) {
	name := func(i int) string { l, _ := f.LinkByIndex(i); return l.Name }
	var got []string
	for _, r := range n.Routes {
		s := fmt.Sprintf("%s %s %s dev %s metric %d table %d pref %s", r.Type, r.Dst, r.Gateway, name(r.Link), r.Metric, r.Table, r.Pref)
		if r.Default() && r.Dst.Addr().Is6() && (r.Expires < 800*time.Second || r.Expires > 900*time.Second) {
			t.Errorf("IPv6 default route expires in %s, want 900 s", r.Expires)
		}
		if r.Table == 4242 && !r.OnLink {
			t.Errorf("route in table 4242 is not onlink: %+v", r)
		}
		for _, h := range r.Hops {
			s += fmt.Sprintf(" hop %s dev %s weight %d", h.Gateway, name(h.Link), h.Weight)
		}
		got = append(got, s)
	}
	var want []string
	for _, family := range []string{"-4", "-6"} {
		var routes []struct {
			Type, Dst, Gateway, Dev, Pref string
			Metric                        int
			Table                         any
			Nexthops                      []struct {
				Gateway, Dev string
				Weight       int
			}
		}
		decode(t, ip(t, family, "-j", "-d", "route", "show", "table", "all"), &routes)
		for _, r := range routes {
			table := 254
			switch v := r.Table.(type) {
			case string:
				if v == "local" {
					continue
				}
				fmt.Sscan(v, &table)
			case float64:
				table = int(v)
			}
			if r.Type == "" {
				r.Type = "unicast"
			}
			dst := r.Dst
			if dst == "default" {
				dst = map[string]string{"-4": "0.0.0.0/0", "-6": "::/0"}[family]
			} else if !strings.Contains(dst, "/") {
				dst += map[string]string{"-4": "/32", "-6": "/128"}[family]
			}
			gw := r.Gateway
			if gw == "" {
				gw = "invalid IP"
			}
			s := fmt.Sprintf("%s %s %s dev %s metric %d table %d pref %s", r.Type, dst, gw, r.Dev, r.Metric, table, r.Pref)
			for _, h := range r.Nexthops {
				s += fmt.Sprintf(" hop %s dev %s weight %d", h.Gateway, h.Dev, h.Weight)
			}
			want = append(want, s)
		}
	}
	sort.Strings(got)
	sort.Strings(want)
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("routes\n%s\nip says\n%s", g, w)
	}
}

func decode(t *testing.T, b []byte, v any) {
	if err := json.Unmarshal(b, v); err != nil {
		t.Errorf("ip says %s: %v", b, err)
		runtime.Goexit()
	}
}

// The index of a lower device in another network namespace means nothing here, even
// where a link of ours has the same one.
func TestPeerElsewhere(t *testing.T) {
	inNetns(t, func(t *testing.T) {
		c := exec.Command("cat")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		in, err := c.StdinPipe()
		if err != nil {
			t.Error(err)
			return
		}
		if err := c.Start(); err != nil {
			t.Error(err)
			return
		}
		defer func() { in.Close(); _ = c.Wait() }()
		ip(t, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1", "netns", fmt.Sprint(c.Process.Pid))
		n, err := systemKernel().Network(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		l, ok := (&Facts{Links: n.Links}).LinkByName("eth0")
		if !ok || !l.PeerNetns || l.Parent != 0 {
			t.Errorf("link %+v, want a peer in another namespace and no parent", l)
		}
	})
}

func TestSessions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	local, remote := netip.MustParseAddrPort(s.LocalAddr().String()), netip.MustParseAddrPort(s.RemoteAddr().String())
	g := Gatherer{Env: func(k string) (string, bool) {
		if k != "SSH_CONNECTION" {
			return "", false
		}
		return fmt.Sprintf("%s %d %s %d", remote.Addr(), remote.Port(), local.Addr(), local.Port()), true
	}}
	f, err := g.Gather(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	mine := 0
	for _, x := range f.SSH {
		if x.Mine {
			mine++
			if x.Local != local || x.Remote != remote {
				t.Errorf("session %+v, want %s from %s", x, local, remote)
			}
		}
	}
	if mine != 1 {
		t.Errorf("%d sessions are mine in %+v", mine, f.SSH)
	}
	// The same from /proc/net, where sock_diag is not answered.
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, k := range parseProcNet(string(b), tcpEstablished, bigEndian) {
		found = found || k.Local == local && k.Remote == remote
	}
	if !found {
		t.Errorf("no %s from %s in /proc/net/tcp", local, remote)
	}
}

func TestSameNetwork(t *testing.T) {
	if same, known := systemKernel().SameNetwork(os.Getpid()); !same || !known {
		t.Errorf("our own process: same %v, known %v", same, known)
	}
	if os.Geteuid() != 0 {
		t.Skip("a process in another network namespace needs root")
	}
	c := exec.Command("cat")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	defer func() { in.Close(); _ = c.Wait() }()
	if same, known := systemKernel().SameNetwork(c.Process.Pid); same || !known {
		t.Errorf("a process in another namespace: same %v, known %v", same, known)
	}
	if _, known := systemKernel().SameNetwork(1 << 30); known {
		t.Error("a process that does not exist has a known network")
	}
}

// Without privileges everything that the kernel tells must be there all the same.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("becoming nobody needs root; the other tests run without privileges already")
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "facts")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "facts.test")
	if err := os.WriteFile(bin, self, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bin)
	c.Dir = "/"
	c.Env = []string{coldEnv + "=print"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := Load(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Gatherer{}.Gather(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got.Machine.Root || !want.Machine.Root {
		t.Errorf("root: %v without, %v with privileges", got.Machine.Root, want.Machine.Root)
	}
	got.Machine.Root = true
	if !reflect.DeepEqual(got.Machine, want.Machine) {
		t.Errorf("machine\n%+v\nwith privileges\n%+v", got.Machine, want.Machine)
	}
	if !reflect.DeepEqual(got.Routes, want.Routes) || len(got.Links) != len(want.Links) {
		t.Errorf("routes\n%+v\nwith privileges\n%+v", got.Routes, want.Routes)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	link := make([]byte, unix.SizeofIfInfomsg)
	link[4] = 1
	f.Add(append(link, 8, 0, unix.IFLA_IFNAME, 0, 'l', 'o', 0, 0))
	f.Add(append([]byte{unix.AF_INET, 24, 0, 0, 2, 0, 0, 0}, 8, 0, unix.IFA_LOCAL, 0, 10, 0, 2, 15))
	f.Add(append([]byte{unix.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0}, 8, 0, unix.RTA_GATEWAY, 0, 10, 0, 2, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = splitMessages(b, 1, func([]byte) {})
		decodeLink(b)
		if _, spec, ok := splitLink(b, copies{}); ok {
			compactConf(spec)
		}
		compactConf(b)
		if a, ok := decodeAddress(b); ok && !a.Prefix.IsValid() {
			t.Error("invalid address")
		}
		if r, ok := decodeRoute(b); ok && !r.Dst.IsValid() {
			t.Error("invalid route")
		}
		decodeRule(b)
		decodeSocket(b)
	})
}
