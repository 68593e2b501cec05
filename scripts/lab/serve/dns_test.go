//go:build lab && linux

package serve

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// upstream is a name server on loopback in the server's namespace, where the Internet would be.
type upstream struct {
	port  int
	asked atomic.Int64
	down  atomic.Bool

	mu    sync.Mutex
	names []string
}

// startUpstream answers for example.com and split.test; what it says tells which upstream it is. Its addresses are public ones: the
// documentation networks are among those that rebind protection does not let in.
func startUpstream(t *testing.T, ns *lab.NetNS, port int, mark string) *upstream {
	t.Helper()
	u := &upstream{port: port}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		u.asked.Add(1)
		u.mu.Lock()
		u.names = append(u.names, strings.ToLower(q.Question[0].Name))
		u.mu.Unlock()
		if u.down.Load() {
			return
		}
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		rr := func(s string) dns.RR { r, _ := dns.NewRR(s); return r }
		name := strings.ToLower(q.Question[0].Name)
		switch {
		case name == "www.example.com." && q.Question[0].Qtype == dns.TypeA:
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 60 IN A 45.55.0.7"))
		case name == "brief.example.com." && q.Question[0].Qtype == dns.TypeA:
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 1 IN A 45.55.0.8"))
		case name == "alias.example.com.":
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 60 IN CNAME www.example.com."), rr("www.example.com. 60 IN A 45.55.0.7"))
		case name == "big.example.com." && q.Question[0].Qtype == dns.TypeTXT:
			for i := range 40 {
				m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 60 IN TXT %q", q.Question[0].Name, strings.Repeat(string(rune('a'+i%26)), 100))))
			}
		case name == "which.split.test." || name == "which.example.com.":
			m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 60 IN TXT %q", q.Question[0].Name, mark)))
		case name == "evil.example.com.":
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 60 IN A 192.168.1.1"))
		case strings.HasSuffix(name, ".example.com.") && strings.HasPrefix(name, "www."), name == "www.example.com.":
			m.Ns = append(m.Ns, rr("example.com. 60 IN SOA ns.example.com. root.example.com. 1 2 3 4 60"))
		default:
			m.Rcode = dns.RcodeNameError
			m.Ns = append(m.Ns, rr("example.com. 60 IN SOA ns.example.com. root.example.com. 1 2 3 4 60"))
		}
		if opt := q.IsEdns0(); opt != nil {
			m.SetEdns0(1232, false)
		}
		if w.RemoteAddr().Network() == "udp" {
			size := 512
			if opt := q.IsEdns0(); opt != nil {
				size = int(opt.UDPSize())
			}
			m.Truncate(size)
		}
		_ = w.WriteMsg(m)
	})
	var pc net.PacketConn
	var l net.Listener
	if err := ns.Do(func() (err error) {
		if pc, err = net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			return err
		}
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		go func() { _ = srv.ActivateAndServe() }()
		t.Cleanup(func() { _ = srv.Shutdown() })
	}
	return u
}

// answer is what dig or kdig prints, without what differs from run to run.
type answer struct {
	status string
	flags  string
	rrs    []string // "section name type data", sorted
}

func (a answer) String() string {
	return strings.TrimSpace(a.status + " " + a.flags + "\n  " + strings.Join(a.rrs, "\n  "))
}

var (
	statusLine = regexp.MustCompile(`status: ([A-Z0-9]+)`)
	flagsLine  = regexp.MustCompile(`(?i);; flags: *([a-z ]*);`)
	spaces     = regexp.MustCompile(`\s+`)
)

// parse reads the output of dig and of kdig, which is nearly the same.
func parse(out string) answer {
	var a answer
	if m := statusLine.FindStringSubmatch(out); m != nil {
		a.status = m[1]
	} else {
		a.status = "no answer"
	}
	if m := flagsLine.FindStringSubmatch(out); m != nil {
		a.flags = strings.Join(strings.Fields(m[1]), " ")
	}
	section := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ";; ") && strings.HasSuffix(line, " SECTION:"):
			section = strings.ToLower(strings.Fields(line)[1])
		case line == "" || strings.HasPrefix(line, ";"):
		case section == "answer" || section == "authority":
			f := spaces.Split(line, 5)
			if len(f) == 5 {
				data := f[4]
				if f[3] == "SOA" {
					data = "" // its numbers are the server's own
				}
				a.rrs = append(a.rrs, strings.TrimSpace(section+" "+strings.ToLower(f[0])+" "+f[3]+" "+data))
			}
		}
	}
	slices.Sort(a.rrs)
	return a
}

// question is one of the DNS table: what both tools must see.
type question struct {
	name    string
	dig     []string // arguments of both tools; with a leading "dig:" or "kdig:" of one only
	want    string
	digOnly bool              // kdig sends no unknown opcode
	why     map[string]string // server: why it does otherwise
}

var questions = []question{
	{name: "local A", dig: []string{"printer.lab.lan", "A"}, want: "NOERROR aa\n  answer printer.lab.lan. A 10.55.0.4"},
	{name: "local A, letters of any case", dig: []string{"PRINTER.Lab.LAN", "A"}, want: "NOERROR aa\n  answer printer.lab.lan. A 10.55.0.4"},
	{name: "local AAAA", dig: []string{"nas.lab.lan", "AAAA"}, want: "NOERROR aa\n  answer nas.lab.lan. AAAA fd55::4"},
	{name: "local PTR", dig: []string{"-x", "10.55.0.4"}, want: "NOERROR aa\n  answer 4.0.55.10.in-addr.arpa. PTR printer.lab.lan."},
	{name: "local PTR, IPv6", dig: []string{"-x", "fd55::4"}, want: "NOERROR aa\n  answer 4.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.5.5.d.f.ip6.arpa. PTR nas.lab.lan."},
	{name: "NODATA", dig: []string{"printer.lab.lan", "AAAA"}, want: "NOERROR aa\n  authority lab.lan. SOA", why: noSOA},
	{name: "NODATA, HTTPS", dig: []string{"printer.lab.lan", "TYPE65"}, want: "NOERROR aa\n  authority lab.lan. SOA", why: noSOA},
	{name: "NXDOMAIN", dig: []string{"nobody.lab.lan", "A"}, want: "NXDOMAIN aa\n  authority lab.lan. SOA", why: noSOA},
	{name: "CNAME", dig: []string{"www.lab.lan", "A"}, want: "NOERROR aa\n  answer printer.lab.lan. A 10.55.0.4\n  answer www.lab.lan. CNAME printer.lab.lan."},
	{name: "ANY", dig: []string{"printer.lab.lan", "ANY", "+notcp"}, want: "NOERROR aa\n  answer printer.lab.lan. HINFO \"RFC8482\" \"\"",
		why: map[string]string{"dnsmasq": "it gives all it has"}},
	{name: "unknown EDNS version", dig: []string{"printer.lab.lan", "A", "+edns=1", "dig:+noednsnegotiation"}, want: "BADVERS",
		why: map[string]string{"dnsmasq": "it ignores the version"}},
	{name: "unknown opcode", digOnly: true, dig: []string{"+opcode=15", "printer.lab.lan", "A"}, want: "NOTIMP",
		why: map[string]string{"dnsmasq": "it answers any opcode as a query"}},
	{name: "from upstream", dig: []string{"www.example.com", "A"}, want: "NOERROR \n  answer www.example.com. A 45.55.0.7"},
	{name: "CNAME from upstream", dig: []string{"alias.example.com", "A"}, want: "NOERROR \n  answer alias.example.com. CNAME www.example.com.\n  answer www.example.com. A 45.55.0.7"},
	{name: "NODATA from upstream", dig: []string{"www.example.com", "AAAA"}, want: "NOERROR \n  authority example.com. SOA"},
	{name: "NXDOMAIN from upstream", dig: []string{"nobody.example.com", "A"}, want: "NXDOMAIN \n  authority example.com. SOA"},
	{name: "split route", dig: []string{"which.split.test", "TXT"}, want: "NOERROR \n  answer which.split.test. TXT \"vpn\""},
	{name: "beside the split route", dig: []string{"which.example.com", "TXT"}, want: "NOERROR \n  answer which.example.com. TXT \"internet\""},
	{name: "rebinding", dig: []string{"evil.example.com", "A"}, want: "*"},
	{name: "a name without a dot", dig: []string{"nobody", "A"}, want: "NXDOMAIN", why: map[string]string{"dnsmasq": "it answers without the aa flag and SOA, which is as good"}},
	{name: "private reverse name", dig: []string{"-x", "192.168.99.99"}, want: "NXDOMAIN"},
	{name: "truncated", dig: []string{"big.example.com", "TXT", "+ignore", "+bufsize=1232"}, want: "NOERROR tc"},
}

var noSOA = map[string]string{"dnsmasq": "it sends no SOA (its auth mode does)"}

// TestNames asks everything of a name server by dig and by kdig.
func TestNames(t *testing.T) {
	need(t)
	cfg := advertising(prefixA)
	cfg.Hosts = []bed.Host{{Name: "printer", MAC: reservedMAC.String(), Addr: at(4)}}
	cfg.DNS = &bed.DNS{Domain: "lab.lan", Upstreams: []string{"127.0.0.1#5301"}, Routes: map[string]string{"split.test": "127.0.0.1#5302"},
		CNAMEs: map[string]string{"www.lab.lan": "printer.lab.lan"}, Records: map[string][]string{"nas": {"10.55.0.5", "fd55::4"}}, Stale: true}
	if _, ok := ours.(bed.Dnsmasq); ok {
		cfg.DNS.Records["printer.lab.lan"] = []string{"10.55.0.4"} // reservations of who is not there have no name with it
		cfg.DNS.Records["nas.lab.lan"] = cfg.DNS.Records["nas"]
		delete(cfg.DNS.Records, "nas")
	}
	s := bed.NewSegment(t)
	internet := startUpstream(t, s.Server, 5301, "internet")
	vpn := startUpstream(t, s.Server, 5302, "vpn")
	host := s.Plug("eth0")
	for _, c := range []string{"ip addr add 10.55.0.20/24 dev eth0", "ip addr add fd55::20/64 dev eth0 nodad"} {
		if _, err := host.Exec(strings.Fields(c)...); err != nil {
			t.Fatal(err)
		}
	}
	server := s.Start(t, ours, cfg)

	ask := func(tool, at string, args ...string) answer {
		argv := []string{tool, "+time=2", "+tries=1"}
		if tool == "kdig" {
			argv = []string{tool, "+time=2", "+retry=0"}
		}
		argv = append(argv, "@"+at)
		for _, a := range args {
			only, rest, cut := strings.Cut(a, ":")
			if cut && (only == "dig" || only == "kdig") {
				if only != tool {
					continue
				}
				a = rest
			}
			argv = append(argv, a)
		}
		out, _ := host.Exec(argv...) // a status other than NOERROR is none of the program
		return parse(out)
	}
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			d := ask("dig", "10.55.0.1", q.dig...)
			k := d
			if !q.digOnly {
				k = ask("kdig", "10.55.0.1", q.dig...)
			}
			if d.status != k.status || !slices.Equal(d.rrs, k.rrs) && !strings.Contains(d.flags, "tc") {
				t.Errorf("dig and kdig disagree:\n%v\n%v", d, k)
			}
			over6 := ask("dig", "fd55::1", q.dig...)
			if over6.status != d.status || !slices.Equal(over6.rrs, d.rrs) && !strings.Contains(d.flags, "tc") {
				t.Errorf("over IPv6 it is\n%v\nand over IPv4\n%v", over6, d)
			}
			if got := reduce(d, q.want); got != q.want {
				if why := q.why[ours.Name()]; why != "" {
					t.Logf("%s differs: %s", ours.Name(), why)
					return
				}
				t.Errorf("got\n%s\nwant\n%s", got, q.want)
			}
		})
	}
	t.Run("CHAOS", func(t *testing.T) {
		for _, tool := range []string{"dig", "kdig"} {
			if a := ask(tool, "10.55.0.1", "version.bind", "CH", "TXT"); !slices.Contains([]string{"NOERROR", "REFUSED", "NOTIMP", "NXDOMAIN"}, a.status) {
				t.Errorf("%s: %v", tool, a)
			}
		}
	})
	t.Run("truncated, then TCP", func(t *testing.T) {
		for _, tool := range []string{"dig", "kdig"} {
			if a := ask(tool, "10.55.0.1", "big.example.com", "TXT"); a.status != "NOERROR" || len(a.rrs) != 40 {
				t.Errorf("%s: %v", tool, a)
			}
		}
	})
	t.Run("TCP", func(t *testing.T) {
		if a := ask("kdig", "10.55.0.1", "+tcp", "printer.lab.lan", "A"); a.status != "NOERROR" || len(a.rrs) != 1 {
			t.Error(a)
		}
	})
	t.Run("a lease has a name", func(t *testing.T) {
		if _, err := s.Plug("eth0").Exec("udhcpc", "-f", "-q", "-n", "-t", "5", "-i", "eth0", "-x", "hostname:laptop", "-s", "/bin/true"); err != nil {
			t.Fatal(err)
		}
		lab.Await(t, 3*time.Second, func() error {
			if a := ask("dig", "10.55.0.1", "laptop.lab.lan", "A"); a.status != "NOERROR" || len(a.rrs) != 1 {
				return fmt.Errorf("the lease's name: %v", a)
			}
			return nil
		})
	})
	t.Run("split names stay where they belong", func(t *testing.T) {
		internet.mu.Lock()
		defer internet.mu.Unlock()
		for _, n := range internet.names {
			if strings.HasSuffix(n, "split.test.") || strings.HasSuffix(n, "lab.lan.") || !strings.Contains(strings.Trim(n, "."), ".") || strings.HasSuffix(n, "168.192.in-addr.arpa.") {
				t.Errorf("the Internet was asked for %s", n)
			}
		}
		if vpn.asked.Load() == 0 {
			t.Error("the split route was not asked")
		}
	})
	t.Run("upstream down", func(t *testing.T) {
		if a := ask("dig", "10.55.0.1", "brief.example.com", "A"); a.status != "NOERROR" {
			t.Fatalf("while it is up: %v", a)
		}
		internet.down.Store(true)
		begin := time.Now()
		if a := ask("dig", "10.55.0.1", "printer.lab.lan", "A"); a.status != "NOERROR" || time.Since(begin) > time.Second {
			t.Errorf("a local name, after %v: %v", time.Since(begin), a)
		}
		if a := ask("dig", "10.55.0.1", "nobody.lab.lan", "A"); a.status != "NXDOMAIN" {
			t.Errorf("no local name: %v", a)
		}
		// The answer has lived one second; there is no event for its end.
		lab.Await(t, 8*time.Second, func() error {
			a := ask("dig", "10.55.0.1", "+time=4", "brief.example.com", "A")
			if a.status != "NOERROR" || len(a.rrs) != 1 || time.Since(begin) < 1500*time.Millisecond {
				return fmt.Errorf("the stale answer, after %v: %v", time.Since(begin), a)
			}
			return nil
		})
		if a := ask("dig", "10.55.0.1", "+time=6", "never.example.com", "A"); a.status == "NOERROR" || a.status == "NXDOMAIN" {
			t.Errorf("what was never known: %v", a)
		}
		internet.down.Store(false)
	})
	_ = server
}

// reduce keeps of an answer what the wanted text has: the status, the flags aa and tc, and the records unless it wants none.
func reduce(a answer, want string) string {
	if want == "*" {
		return want
	}
	status, _, _ := strings.Cut(want, "\n")
	text := a.status
	if strings.Contains(status, " ") {
		var keep []string
		for _, f := range strings.Fields(a.flags) {
			if f == "aa" || f == "tc" {
				keep = append(keep, f)
			}
		}
		text += " " + strings.Join(keep, " ")
	}
	if strings.Contains(want, "\n") {
		text += "\n  " + strings.Join(a.rrs, "\n  ")
	}
	return text
}
