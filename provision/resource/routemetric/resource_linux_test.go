package routemetric

import (
	"errors"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
)

// network is two NICs, each on a network of its own.
func network(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	for _, args := range strings.Split(`link add eth0 type veth peer name peer0
link add eth1 type veth peer name peer1
link set peer0 up
link set peer1 up
link set eth0 up
link set eth1 up
address add 10.0.2.15/24 dev eth0
address add 192.168.76.5/24 dev eth1
address add fd00:a::5/64 dev eth0 nodad
address add fd00:b::5/64 dev eth1 nodad`, "\n") {
		nstest.IP(t, args)
	}
}

// defaults is what ip(8) shows, one route or hop per line, without blanks at the
// ends and without the parts that vary.
func defaults(t *testing.T, family string) string {
	t.Helper()
	var out []string
	for _, line := range strings.Split(nstest.IP(t, family+" route show table main default"), "\n") {
		words := strings.Fields(line)
		for i := 0; i < len(words); i++ {
			if words[i] == "expires" { // seconds count down
				words[i+1] = "N"
			}
			if words[i] == "linkdown" {
				t.Fatalf("the test network is down: %s", line)
			}
		}
		if len(words) > 0 {
			out = append(out, strings.Join(words, " "))
		}
	}
	return strings.Join(out, "\n")
}

// bring does what the engine does.
func bring(t *testing.T, r Resource, name string, want provision.Attrs) {
	t.Helper()
	have, err := r.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), name, have, want); err != nil {
		t.Fatalf("%s to %v: %v", name, want, err)
	}
	got, err := r.Get(t.Context(), name)
	if err != nil || (got == nil) != (want == nil) || got[AttrMetrics] != want[AttrMetrics] {
		t.Fatalf("%s: got %v, %v; want %v", name, got, err, want)
	}
}

func metrics(text string) provision.Attrs { return provision.Attrs{AttrMetrics: text} }

func TestMove(t *testing.T) {
	for _, tc := range []struct {
		name   string
		routes string // added by ip(8), one per line
		family int
		want   string
		moved  string // what ip(8) shows then
		back   string // the metrics to go back to
		after  string // what ip(8) shows after that; empty: what it showed first
	}{
		{
			name: "no metric", family: 4, want: "1000", back: "0",
			routes: "default via 10.0.2.2 dev eth0",
			moved:  "default via 10.0.2.2 dev eth0 metric 1000",
		},
		{
			name: "no metric beside another NIC", family: 4, want: "1000", back: "0",
			routes: "default via 10.0.2.2 dev eth0\ndefault via 192.168.76.2 dev eth1 metric 10",
			moved:  "default via 192.168.76.2 dev eth1 metric 10\ndefault via 10.0.2.2 dev eth0 metric 1000",
		},
		{
			name: "everything kept", family: 4, want: "5", back: "100",
			routes: "default via 10.9.9.9 dev eth0 proto dhcp src 10.0.2.15 metric 100 onlink mtu 1400 advmss 1300",
			moved:  "default via 10.9.9.9 dev eth0 proto dhcp src 10.0.2.15 metric 5 onlink mtu 1400 advmss 1300",
		},
		{
			name: "without gateway", family: 4, want: "7", back: "0",
			routes: "default dev eth0 scope link",
			moved:  "default dev eth0 scope link metric 7",
		},
		{
			name: "type of service", family: 4, want: "7", back: "3",
			routes: "default tos 0x10 via 10.0.2.2 dev eth0 metric 3",
			moved:  "default tos 0x10 via 10.0.2.2 dev eth0 metric 7",
		},
		{
			name: "IPv6 gateway of an IPv4 route", family: 4, want: "7", back: "0",
			routes: "default via inet6 fd00:a::1 dev eth0",
			moved:  "default via inet6 fd00:a::1 dev eth0 metric 7",
		},
		{
			name: "same metric on both NICs", family: 4, want: "1000", back: "100",
			routes: "default via 10.0.2.2 dev eth0 metric 100\nappend default via 192.168.76.2 dev eth1 metric 100",
			moved:  "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 1000",
			after:  "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 100",
		},
		{
			name: "target metric taken by the other NIC", family: 4, want: "100", back: "0",
			routes: "default via 10.0.2.2 dev eth0\ndefault via 192.168.76.2 dev eth1 metric 100",
			moved:  "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 100",
		},
		{
			name: "two gateways", family: 4, want: "1000", back: "0,5",
			routes: "default via 10.0.2.2 dev eth0\ndefault via 10.0.2.3 dev eth0 metric 5",
			moved:  "default via 10.0.2.2 dev eth0 metric 1000\ndefault via 10.0.2.3 dev eth0 metric 1000",
		},
		{
			name: "old one beside the new one", family: 4, want: "1000", back: "100,1000",
			routes: "default via 10.0.2.2 dev eth0 metric 100\ndefault via 10.0.2.2 dev eth0 metric 1000",
			moved:  "default via 10.0.2.2 dev eth0 metric 1000",
		},
		{
			name: "multipath over both NICs", family: 4, want: "1000", back: "100",
			routes: "default metric 100 nexthop via 10.0.2.2 dev eth0 weight 3 nexthop via 192.168.76.2 dev eth1",
			// A weight means nothing to a hop alone, and the kernel does not show it.
			moved: "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 1000",
			after: "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 100",
		},
		{
			name: "multipath over one NIC", family: 4, want: "1000", back: "0",
			routes: "default proto static nexthop via 10.0.2.2 dev eth0 nexthop via 10.0.2.3 dev eth0 weight 2",
			moved:  "default proto static metric 1000\nnexthop via 10.0.2.2 dev eth0 weight 1\nnexthop via 10.0.2.3 dev eth0 weight 2",
		},
		{
			name: "multipath of three", family: 4, want: "1000", back: "100",
			routes: "default metric 100 nexthop via 10.0.2.2 dev eth0 nexthop via 192.168.76.2 dev eth1 nexthop via 192.168.76.3 dev eth1",
			moved:  "default metric 100\nnexthop via 192.168.76.2 dev eth1 weight 1\nnexthop via 192.168.76.3 dev eth1 weight 1\ndefault via 10.0.2.2 dev eth0 metric 1000",
			after:  "default metric 100\nnexthop via 192.168.76.2 dev eth1 weight 1\nnexthop via 192.168.76.3 dev eth1 weight 1\ndefault via 10.0.2.2 dev eth0 metric 100",
		},
		{
			name: "nexthop object", family: 4, want: "1000", back: "100",
			routes: "nexthop id 7 via 10.0.2.2 dev eth0\ndefault nhid 7 proto static metric 100",
			moved:  "default nhid 7 via 10.0.2.2 dev eth0 proto static metric 1000",
		},
		{
			name: "nexthop group", family: 4, want: "1000", back: "100",
			routes: "nexthop id 7 via 10.0.2.2 dev eth0\nnexthop id 8 via 192.168.76.2 dev eth1\nnexthop id 9 group 7/8\ndefault nhid 9 metric 100",
			moved:  "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 1000",
			after:  "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 100",
		},
		{
			name: "IPv6", family: 6, want: "1000", back: "1024",
			routes: "default via fd00:a::1 dev eth0",
			moved:  "default via fd00:a::1 dev eth0 metric 1000 pref medium",
		},
		{
			name: "IPv6 of a router", family: 6, want: "1000", back: "100",
			routes: "default via fe80::2 dev eth0 proto ra metric 100 hoplimit 64 mtu 1400 pref high expires 600",
			moved:  "default via fe80::2 dev eth0 proto ra metric 1000 expires N mtu 1400 hoplimit 64 pref high",
		},
		{
			name: "IPv6 without gateway", family: 6, want: "1000", back: "50",
			routes: "default dev eth0 metric 50",
			moved:  "default dev eth0 metric 1000 pref medium",
		},
		{
			name: "IPv6 from a source", family: 6, want: "1000", back: "50",
			routes: "default from fd00:a::/64 via fe80::2 dev eth0 src fd00:a::5 metric 50",
			moved:  "default from fd00:a::/64 via fe80::2 dev eth0 src fd00:a::5 metric 1000 pref medium",
		},
		{
			name: "IPv6 multipath over both NICs", family: 6, want: "1000", back: "100",
			routes: "default proto ra metric 100 nexthop via fe80::2 dev eth0 nexthop via fe80::2 dev eth1",
			moved:  "default via fe80::2 dev eth1 proto ra metric 100 pref medium\ndefault via fe80::2 dev eth0 proto ra metric 1000 pref medium",
			after:  "default proto ra metric 100 pref medium\nnexthop via fe80::2 dev eth1 weight 1\nnexthop via fe80::2 dev eth0 weight 1",
		},
		{
			name: "IPv6 multipath over one NIC", family: 6, want: "1000", back: "100",
			routes: "default metric 100 nexthop via fe80::2 dev eth0 weight 2 nexthop via fe80::3 dev eth0 nexthop via fe80::2 dev eth1",
			moved:  "default via fe80::2 dev eth1 metric 100 pref medium\ndefault metric 1000 pref medium\nnexthop via fe80::2 dev eth0 weight 2\nnexthop via fe80::3 dev eth0 weight 1",
			after:  "default metric 100 pref medium\nnexthop via fe80::2 dev eth1 weight 1\nnexthop via fe80::2 dev eth0 weight 2\nnexthop via fe80::3 dev eth0 weight 1",
		},
		{
			name: "IPv6 two routers apart", family: 6, want: "1000", back: "512,1024",
			routes: "default via fe80::2 dev eth0 proto ra metric 512 pref high\ndefault via fe80::3 dev eth0 proto ra metric 1024",
			// Routes of one metric become hops of one, of which the kernel shows one preference.
			moved: "default proto ra metric 1000 pref high\nnexthop via fe80::2 dev eth0 weight 1\nnexthop via fe80::3 dev eth0 weight 1",
			after: "default via fe80::2 dev eth0 proto ra metric 512 pref high\ndefault via fe80::3 dev eth0 proto ra metric 1024 pref high",
		},
		{
			name: "IPv6 nexthop object", family: 6, want: "1000", back: "100",
			routes: "nexthop id 7 via fe80::2 dev eth0\ndefault nhid 7 proto ra metric 100",
			moved:  "default nhid 7 via fe80::2 dev eth0 proto ra metric 1000 pref medium",
		},
		{
			name: "IPv6 nexthop objects of both NICs", family: 6, want: "1000", back: "100",
			routes: "nexthop id 7 via fe80::2 dev eth0\nnexthop id 8 via fe80::2 dev eth1\ndefault nhid 7 proto ra metric 100\nappend default nhid 8 proto ra metric 100",
			moved:  "default nhid 8 via fe80::2 dev eth1 proto ra metric 100 pref medium\ndefault nhid 7 via fe80::2 dev eth0 proto ra metric 1000 pref medium",
			after:  "default nhid 8 via fe80::2 dev eth1 proto ra metric 100 pref medium\ndefault nhid 7 via fe80::2 dev eth0 proto ra metric 100 pref medium",
		},
		{
			name: "IPv6 nexthop group", family: 6, want: "1000", back: "100",
			routes: "nexthop id 7 via fe80::2 dev eth0\nnexthop id 8 via fe80::2 dev eth1\nnexthop id 9 group 7/8\ndefault nhid 9 metric 100",
			moved:  "default via fe80::2 dev eth1 metric 100 pref medium\ndefault via fe80::2 dev eth0 metric 1000 pref medium",
			after:  "default metric 100 pref medium\nnexthop via fe80::2 dev eth1 weight 1\nnexthop via fe80::2 dev eth0 weight 1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			network(t)
			family := map[int]string{4: "-4", 6: "-6"}[tc.family]
			for _, args := range strings.Split(tc.routes, "\n") {
				switch {
				case strings.HasPrefix(args, "nexthop"):
					nstest.IP(t, "nexthop add "+strings.TrimPrefix(args, "nexthop"))
				case strings.HasPrefix(args, "append"):
					nstest.IP(t, family+" route "+args)
				default:
					nstest.IP(t, family+" route add "+args)
				}
			}
			first := defaults(t, family)
			if tc.after == "" {
				tc.after = first
			}
			ref := Ref(tc.family, "name:eth0")
			bring(t, Resource{}, ref.Name, metrics(tc.want))
			if got := defaults(t, family); got != tc.moved {
				t.Errorf("from\n%s\ngot\n%s\nwant\n%s", first, got, tc.moved)
			}
			bring(t, Resource{}, ref.Name, metrics(tc.want))
			if got := defaults(t, family); got != tc.moved {
				t.Errorf("the second time changed it:\n%s", got)
			}
			bring(t, Resource{}, ref.Name, metrics(tc.back))
			if got := defaults(t, family); got != tc.after {
				t.Errorf("back: got\n%s\nwant\n%s", got, tc.after)
			}
			bring(t, Resource{}, ref.Name, nil)
			if got := defaults(t, family); strings.Contains(got, "eth0") || strings.Contains(first, "eth1") != strings.Contains(got, "eth1") {
				t.Errorf("removed: got\n%s", got)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	network(t)
	r := Resource{Daemon: true}
	name := DaemonRef(4, "name:eth0").Name
	set := func(want provision.Attrs) error {
		t.Helper()
		have, err := r.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return r.Set(t.Context(), name, have, want)
	}
	nstest.IP(t, "route add default via 192.168.76.2 dev eth1 metric 100")
	if err := set(metrics("1000")); !errors.Is(err, provision.ErrPending) {
		t.Errorf("no route: %v", err)
	}
	nstest.IP(t, "route append default via 10.0.2.2 dev eth0 metric 100")
	if err := set(metrics("1000")); !errors.Is(err, provision.ErrPending) || !strings.Contains(err.Error(), "eth0") {
		t.Errorf("the daemon has not brought it: %v", err)
	}
	nstest.IP(t, "route append default via 10.0.2.2 dev eth0 metric 1000")
	if err := set(metrics("1000")); err != nil {
		t.Error(err)
	}
	want := "default via 192.168.76.2 dev eth1 metric 100\ndefault via 10.0.2.2 dev eth0 metric 1000"
	if got := defaults(t, "-4"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Back: the daemon brings the old one again.
	if err := set(metrics("100")); !errors.Is(err, provision.ErrPending) {
		t.Errorf("the daemon has not brought it back: %v", err)
	}
	nstest.IP(t, "route append default via 10.0.2.2 dev eth0 metric 100")
	if err := set(metrics("100,200")); !errors.Is(err, provision.ErrPending) || !strings.Contains(err.Error(), "100,200") {
		t.Errorf("one of two: %v", err)
	}
	if err := set(metrics("100")); err != nil {
		t.Error(err)
	}
	if got := defaults(t, "-4"); strings.Contains(got, "1000") || !strings.Contains(got, "dev eth0 metric 100") {
		t.Errorf("got\n%s", got)
	}
	if err := set(nil); !errors.Is(err, provision.ErrPending) {
		t.Errorf("removal is the daemon's: %v", err)
	}
}

// A stale IPv6 multipath route of both NICs beside the new one, as networkd 252
// leaves it after a restart.
func TestPruneMultipath(t *testing.T) {
	network(t)
	nstest.IP(t, "-6 route add default proto ra metric 100 nexthop via fe80::2 dev eth0 nexthop via fe80::2 dev eth1")
	nstest.IP(t, "-6 route add default via fe80::2 dev eth0 proto ra metric 1000 expires 600")
	bring(t, Resource{Daemon: true}, DaemonRef(6, "name:eth0").Name, metrics("1000"))
	want := "default via fe80::2 dev eth1 proto ra metric 100 pref medium\ndefault via fe80::2 dev eth0 proto ra metric 1000 expires N pref medium"
	if got := defaults(t, "-6"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestList(t *testing.T) {
	network(t)
	nstest.IP(t, "route add default via 10.0.2.2 dev eth0 metric 5")
	nstest.IP(t, "route add default via 10.0.2.2 dev eth0 metric 3")
	nstest.IP(t, "route add default via 192.168.76.2 dev eth1 table 100 metric 9")
	nstest.IP(t, "route add unreachable default metric 7")
	nstest.IP(t, "route add 10.99.0.0/16 via 10.0.2.2 dev eth0 metric 8")
	nstest.IP(t, "-6 route add default via fe80::2 dev eth1")
	nstest.IP(t, "-6 route add unreachable default metric 4000")
	names := []string{"inet name:eth0", "inet name:eth1", "inet6 name:eth0", "inet6 name:eth1", "inet name:none", "inet6 name:lo"}
	got, err := Resource{}.List(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got["inet name:eth0"][AttrMetrics] != "3,5" || got["inet6 name:eth1"][AttrMetrics] != "1024" {
		t.Errorf("got %v", got)
	}
	if _, err := (Resource{}).List(t.Context(), []string{"inet eth0", "inet5 name:x"}); err == nil ||
		!strings.Contains(err.Error(), `"inet eth0"`) || !strings.Contains(err.Error(), `"inet5 name:x"`) {
		t.Errorf("both bad names must be told: %v", err)
	}
}

// A route that names its nexthop object only.
func TestNexthopWithoutCompat(t *testing.T) {
	network(t)
	writeSysctl(t, "/proc/sys/net/ipv4/nexthop_compat_mode", "0")
	nstest.IP(t, "nexthop add id 7 via 10.0.2.2 dev eth0")
	nstest.IP(t, "nexthop add id 8 via 192.168.76.2 dev eth1")
	nstest.IP(t, "nexthop add id 9 group 7,3/8")
	nstest.IP(t, "route add default nhid 7 metric 100")
	nstest.IP(t, "route add default nhid 9 metric 200")
	bring(t, Resource{}, "inet name:eth0", metrics("1000"))
	want := "default via 192.168.76.2 dev eth1 metric 200\ndefault nhid 7 metric 1000\ndefault via 10.0.2.2 dev eth0 metric 1000"
	if got := defaults(t, "-4"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	network(t)
	nstest.IP(t, "route add default via 10.0.2.2 dev eth0 metric 5")
	first := defaults(t, "-4")
	const name = "inet name:eth0"
	for _, tc := range []struct {
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{name, metrics("7"), metrics("9"), provision.ErrStale, ""},
		{name, nil, metrics("9"), provision.ErrStale, ""},
		{"inet name:eth1", nil, metrics("9"), provision.ErrPending, ""},
		{"inet name:eth1", nil, nil, nil, ""},
		{"inet name:none", nil, metrics("9"), provision.ErrPending, ""},
		{"inet name:none", metrics("9"), nil, provision.ErrStale, ""},
		{name, metrics("5"), metrics(""), nil, "ascending numbers"},
		{name, metrics("5"), metrics("9,7"), nil, "ascending numbers"},
		{name, metrics("5"), metrics("4294967296"), nil, "ascending numbers"},
		{name, metrics("5"), provision.Attrs{"gateway": "10.0.2.3"}, nil, "unknown attribute"},
		{name, metrics("5"), provision.Attrs{}, nil, ""},
	} {
		err := Resource{}.Set(t.Context(), tc.name, tc.have, tc.want)
		if tc.text == "" && !errors.Is(err, tc.err) || tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("%s from %v to %v: got %v, want %v %q", tc.name, tc.have, tc.want, err, tc.err, tc.text)
		}
	}
	if got := defaults(t, "-4"); got != first {
		t.Errorf("a refused change was made:\n%s", got)
	}
}
