package fib

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
)

const printFacts = "FIB_TEST_PRINT_FACTS"

// TestMain lets the test binary run itself inside a namespace to read its facts.
func TestMain(m *testing.M) {
	if os.Getenv(printFacts) != "" {
		f, err := facts.Gatherer{}.Gather(context.Background())
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func factsOf(t *testing.T, ns *nstest.NS) *facts.Facts {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), printFacts+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var err error
	ns.Do(func() { err = cmd.Run() })
	if err != nil {
		t.Fatalf("facts: %v: %s", err, errs.String())
	}
	f := new(facts.Facts)
	if err := json.Unmarshal(out.Bytes(), f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAgainstKernel asks "ip route get" the same questions over random tables.
func TestAgainstKernel(t *testing.T) {
	worlds, asked, multi := 12, 0, 0
	if testing.Short() {
		worlds = 5
	}
	for seed := range uint64(worlds) {
		rnd := rand.New(rand.NewPCG(seed, 11)) // fixed: a failure can be repeated
		ns := nstest.New(t)
		base(ns)
		var script []string
		for range 25 {
			for _, six := range []bool{false, true} {
				line := randomRoute(rnd, six)
				if rnd.IntN(4) == 0 {
					line = randomRule(rnd, six)
				}
				if _, err := ns.Try(line); err == nil {
					script = append(script, line)
				}
			}
		}
		f := factsOf(t, ns)
		for range 60 {
			six := rnd.IntN(2) == 0
			q := randomQuery(rnd, six)
			args := question(q)
			out, err := ns.Try(args)
			asked++
			got := Lookup(f, q)
			want := answer(t, out, err)
			if got.Kind == Unicast && len(got.Hops) > 1 {
				multi++
				if len(want) > 0 && slices.ContainsFunc(got.Hops, func(h facts.Hop) bool {
					return strings.HasPrefix(want, fmt.Sprintf("unicast dev %s via %s", linkName(f, h.Link), gwText(h.Gateway)))
				}) {
					continue
				}
			}
			if s := say(f, got); s != want {
				t.Errorf("seed %d: %s\ngot  %s\nwant %s\ntrace:\n%s\nworld:\n%s", seed, args, s, want,
					strings.Join(got.Text(f), "\n"), strings.Join(script, "\n"))
			}
		}
	}
	t.Logf("%d worlds, %d questions, %d of them with several next hops", worlds, asked, multi)
}

func base(ns *nstest.NS) {
	ns.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	for i := range 3 {
		ns.Sh(fmt.Sprintf(`ip link add e%[1]d type veth peer name p%[1]d
			ip link set p%[1]d up
			ip link set e%[1]d addrgenmode none
			ip link set e%[1]d up
			ip addr add 10.%[1]d.0.5/16 dev e%[1]d
			ip addr add 172.16.%[1]d.5/24 dev e%[1]d
			ip addr add 10.%[1]d.0.6/16 dev e%[1]d
			ip -6 addr add fe80::%[1]d5/64 dev e%[1]d nodad
			ip -6 addr add 2001:db8:%[1]d::5/64 dev e%[1]d nodad
			ip -6 addr add fd00:%[1]d::5/64 dev e%[1]d nodad`, i))
	}
}

func randomDst(rnd *rand.Rand, six bool) netip.Prefix {
	if six {
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(rnd.IntN(2)) * 0xf, byte(rnd.IntN(4)), 0, byte(rnd.IntN(3))}
		b[15] = byte(rnd.IntN(4))
		return netip.PrefixFrom(netip.AddrFrom16(b), []int{0, 16, 32, 40, 48, 64, 128}[rnd.IntN(7)]).Masked()
	}
	b := [4]byte{[]byte{10, 172, 203}[rnd.IntN(3)], byte(rnd.IntN(4)), byte(rnd.IntN(3)), byte(rnd.IntN(4))}
	return netip.PrefixFrom(netip.AddrFrom4(b), []int{0, 8, 12, 16, 20, 24, 32}[rnd.IntN(7)]).Masked()
}

func gw(rnd *rand.Rand, six bool, dev int) string {
	if six {
		return []string{fmt.Sprintf("fe80::%d9", dev), fmt.Sprintf("2001:db8:%d::9", dev)}[rnd.IntN(2)]
	}
	return []string{fmt.Sprintf("10.%d.0.9", dev), fmt.Sprintf("172.16.%d.9", dev)}[rnd.IntN(2)]
}

var tables = []string{"main", "77", "78"}

func randomRoute(rnd *rand.Rand, six bool) string {
	ip := "ip "
	if six {
		ip = "ip -6 "
	}
	dst, dev := randomDst(rnd, six), rnd.IntN(3)
	tail := fmt.Sprintf(" metric %d table %s", 1+rnd.IntN(4), tables[rnd.IntN(3)])
	switch rnd.IntN(10) {
	case 0:
		return ip + "route add " + []string{"unreachable", "blackhole", "prohibit", "throw"}[rnd.IntN(4)] + " " + dst.String() + tail
	case 1:
		return fmt.Sprintf("%sroute add %v%s nexthop via %s dev e%d weight 3 nexthop via %s dev e%d", ip, dst, tail,
			gw(rnd, six, dev), dev, gw(rnd, six, (dev+1)%3), (dev+1)%3)
	case 2:
		return fmt.Sprintf("%sroute add %v dev e%d%s", ip, dst, dev, tail)
	case 3:
		src := fmt.Sprintf("172.16.%d.5", rnd.IntN(3))
		if six {
			src = fmt.Sprintf("fd00:%d::5", rnd.IntN(3))
		}
		return fmt.Sprintf("%sroute add %v via %s dev e%d src %s%s", ip, dst, gw(rnd, six, dev), dev, src, tail)
	}
	return fmt.Sprintf("%sroute add %v via %s dev e%d%s", ip, dst, gw(rnd, six, dev), dev, tail)
}

func randomRule(rnd *rand.Rand, six bool) string {
	w := "ip rule add prio " + fmt.Sprint(100+rnd.IntN(200))
	if six {
		w = "ip -6 rule add prio " + fmt.Sprint(100+rnd.IntN(200))
	}
	if rnd.IntN(5) == 0 {
		w = strings.Replace(w, "rule add", "rule add not", 1)
	}
	switch rnd.IntN(5) {
	case 0:
		w += " from " + randomSrc(rnd, six)
	case 1:
		if d := randomDst(rnd, six); d.Bits() > 0 {
			w += " to " + d.String()
		}
	case 2:
		w += " fwmark 0x10/0xf0"
	case 3:
		w += " iif lo"
	case 4:
		w += " oif e1"
	}
	switch rnd.IntN(8) {
	case 0:
		return w + " " + []string{"unreachable", "prohibit", "blackhole"}[rnd.IntN(3)]
	case 1, 2:
		return w + " lookup " + tables[rnd.IntN(3)] + " suppress_prefixlength " + fmt.Sprint([]int{0, 16, 32}[rnd.IntN(3)])
	}
	return w + " lookup " + tables[rnd.IntN(3)]
}

func randomSrc(rnd *rand.Rand, six bool) string {
	i := rnd.IntN(3)
	if six {
		return []string{fmt.Sprintf("2001:db8:%d::5", i), fmt.Sprintf("fd00:%d::5", i)}[rnd.IntN(2)]
	}
	return []string{fmt.Sprintf("10.%d.0.5", i), fmt.Sprintf("172.16.%d.5", i)}[rnd.IntN(2)]
}

func randomQuery(rnd *rand.Rand, six bool) Query {
	p := randomDst(rnd, six)
	b := p.Addr().AsSlice()
	b[len(b)-1] |= byte(1 + rnd.IntN(7)) // the unspecified address is special
	a, _ := netip.AddrFromSlice(b)
	q := Query{Dst: a}
	if rnd.IntN(3) == 0 {
		q.Src = netip.MustParseAddr(randomSrc(rnd, six))
	}
	// Without a socket the kernel takes "oif" of an IPv6 packet with a source for a
	// hint only (ip6_route_output_flags), so that cannot be asked.
	if rnd.IntN(5) == 0 && !(six && q.Src.IsValid()) {
		q.Oif = fmt.Sprintf("e%d", rnd.IntN(3))
	}
	if rnd.IntN(4) == 0 {
		q.Mark = 0x10
	}
	return q
}

func question(q Query) string {
	s := "ip -j route get " + q.Dst.String()
	if q.Src.IsValid() {
		s += " from " + q.Src.String()
	}
	if q.Oif != "" {
		s += " oif " + q.Oif
	}
	if q.Mark != 0 {
		s += fmt.Sprintf(" mark %#x", q.Mark)
	}
	return s
}

// answer brings ip's JSON, or its error, into one line.
func answer(t *testing.T, out string, err error) string {
	t.Helper()
	if err != nil {
		switch s := err.Error(); {
		case strings.Contains(s, "Network is unreachable"):
			return string(NoRoute)
		case strings.Contains(s, "No route to host"):
			return string(Unreachable)
		case strings.Contains(s, "Permission denied"):
			return string(Prohibit)
		case strings.Contains(s, "Invalid argument"):
			return string(Blackhole)
		default:
			t.Fatal(err)
		}
	}
	var v []struct {
		Type, Dev, Gateway, Prefsrc, From string
		Error                             json.Number
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	r := v[0]
	switch r.Type {
	case "unreachable", "blackhole", "prohibit":
		return r.Type
	case "":
		r.Type = "unicast"
	}
	src := r.From
	if src == "" || src == "::" {
		src = r.Prefsrc
	}
	return fmt.Sprintf("%s dev %s via %s src %s", r.Type, r.Dev, r.Gateway, src)
}

func gwText(a netip.Addr) string {
	if a.IsValid() {
		return a.String()
	}
	return ""
}

func say(f *facts.Facts, r Result) string {
	switch r.Kind {
	case Unreachable:
		if r.Route.Type == "" { // a rule says ENETUNREACH, a route EHOSTUNREACH
			return string(NoRoute)
		}
		return string(Unreachable)
	case NoRoute, Blackhole, Prohibit:
		return string(r.Kind)
	case Local:
		return fmt.Sprintf("local dev lo via  src %s", r.Src)
	}
	return fmt.Sprintf("%s dev %s via %s src %s", r.Kind, linkName(f, r.Link), gwText(r.Gateway), r.Src)
}
