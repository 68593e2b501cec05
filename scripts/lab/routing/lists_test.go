//go:build lab && linux

package routing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/provision-net/provision/scripts/lab"
)

// Who is in the country, as seen from this box: a stranger whom nobody keeps from it, and somebody who is
// logged in.
const (
	stranger4, stranger6 = "45.55.1.1", "2620:9::1"
	login4, login6       = "45.55.1.9", "2620:9::9"
)

// registry is a file as the regional registries publish them, in which the client's network and the box's
// own are in the country as well.
const registry = `2|apnic|20240105|6|19830613|20240104|+1000
apnic|*|asn|*|0|summary
apnic|*|ipv4|*|3|summary
apnic|*|ipv6|*|3|summary
apnic|CH|ipv4|45.55.1.0|256|20110414|allocated|a
apnic|CH|ipv4|10.55.0.0|256|20110414|allocated|a
apnic|CH|ipv4|198.51.100.0|256|20110414|allocated|a
apnic|CH|ipv6|2620:9::|32|20110414|allocated|a
apnic|CH|ipv6|fd55::|32|20110414|allocated|a
apnic|CH|ipv6|2001:db8:1::|48|20110414|allocated|a
`

const listsConfig = `version: 1
routing:
  zones:
    inside: {interfaces: [usb0]}
    outside: {interfaces: [wlan0, wg0], masquerade: true, masquerade-ipv6: yes}
  firewall:
    rules:
      - {source-interface: inside, destination-interface: outside, action: allow}
      - {source-interface: outside, destination-interface: self, port: [tcp/22], action: allow}
  lists:
    country: {countries: [CH], registries: ["https://lists.example:8443/rir"]}
    video: {domains: [video.example]}
%s
  smart:
    - {lists: [%s], uplink: wg0, via: [10.66.0.1, "fd66::1"]}
serve:
  links:
    - match: {name: usb0}
  dns: {upstreams: ["198.51.100.1:5300"]}
`

// TestLists routes by country and by name, with lists over HTTPS: a packet that should go by the tunnel
// never leaves beside it, the first of all not either; and whoever may not be captured is not.
func TestLists(t *testing.T) {
	w := newWorld(t)
	w.plug()
	w.tunnel()
	w.serve(w.far)
	for _, a := range []string{stranger4 + "/32", login4 + "/32", stranger6 + "/128", login6 + "/128"} {
		on(t, w.net, "ip addr add "+a+" dev lo")
		on(t, w.far, "ip addr add "+a+" dev lo")
	}
	out := newCapture(t, w.net, "up0")
	s := newSite(t, w)
	config := func(more, smart string) {
		t.Helper()
		if err := os.WriteFile(w.Root()+"/etc/provision/provision.yaml", fmt.Appendf(nil, listsConfig, more, smart), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.sh("echo '198.51.100.1 lists.example other.example' >> /etc/hosts")

	// Nobody's certificate is taken but one that the machine's own store leads to.
	config("", "country, video")
	if got := w.must(2, "lists", "refresh"); !strings.Contains(got, "certificate not trusted") || !strings.Contains(got, "ca-certificates") {
		t.Errorf("a stranger's certificate: %s", got)
	}
	store := "/etc/ssl/certs/ca-certificates.crt"
	ca := w.sh("cat "+store) + string(s.ca)
	if err := os.WriteFile(w.Root()+store, []byte(ca), 0o644); err != nil {
		t.Fatal(err)
	}
	config(`    expired: {sources: ["https://lists.example:8444/plain"]}
    other: {sources: ["https://other.example:8443/plain"]}
    large: {sources: ["https://lists.example:8443/plain"], max-bytes: 20}
    page: {sources: ["https://lists.example:8443/page"]}
`, "country, video")
	got := strings.Join(strings.Fields(w.must(2, "lists", "refresh")), " ")
	for _, want := range []string{"expired", "this machine's clock says", "other.example, not", "too large", "list page: "} {
		if want == "other.example, not" {
			want = "not other.example"
		}
		if !strings.Contains(got, want) {
			t.Errorf("refresh does not say %q: %s", want, got)
		}
	}
	if strings.Contains(got, "list country") {
		t.Errorf("the good one: %s", got)
	}
	config("", "country, video")

	// Logged in before anything is applied.
	const ssh = 22
	served := listen(t, w.box.NetNS, ssh)
	var sessions []net.Conn
	login := func(from, to string) net.Conn {
		t.Helper()
		var c net.Conn
		if err := w.net.Do(func() (err error) {
			d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			c, err = d.Dial("tcp", net.JoinHostPort(to, strconv.Itoa(ssh)))
			return err
		}); err != nil {
			t.Fatalf("no login from %s: %v", from, err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for _, s := range [][2]string{{login4, "198.51.100.2"}, {login6, "2001:db8:1::2"}} {
		sessions = append(sessions, login(s[0], s[1]))
	}
	beside := newCapture(t, w.far, "far0")
	t.Log(w.must(0, "apply"))
	for _, s := range [][2]string{{login4, "198.51.100.2"}, {login6, "2001:db8:1::2"}} {
		sessions = append(sessions, login(s[0], s[1]))
	}
	// The server speaks first: in a session that is older than connection tracking that looks like the beginning of one.
	for i := range sessions {
		if _, err := (<-served).Write([]byte("anybody there?")); err != nil {
			t.Errorf("login %d: %v", i, err)
		}
	}
	for i, c := range sessions {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, 14)); err != nil {
			t.Errorf("login %d hears nothing from the server: %v", i, err)
		}
	}
	for i, c := range sessions {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte("still there?")); err != nil {
			t.Errorf("login %d: %v", i, err)
		} else if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
			t.Errorf("login %d was cut off: %v", i, err)
		}
	}
	for _, f := range beside.since(0) {
		if a := f.dst.String(); a == login4 || a == login6 {
			t.Errorf("a login's answer went by the tunnel: %v", f)
		}
	}
	// The LAN, and the network outside, are in the country too.
	for _, ping := range [][]string{{client4}, {client6}, {"198.51.100.1"}, {"2001:db8:1::1"}} {
		if out, msg, code := w.run(nil, "ping", "-n", "-c", "1", "-W", "3", ping[0]); code != 0 {
			t.Errorf("%s is captured: %s%s", ping[0], out, msg)
		}
	}
	// And a stranger there is reached by the tunnel, from the box and the client alike.
	mark := out.mark()
	for who, ns := range map[string]*lab.NetNS{"box": w.box.NetNS, "client": w.client} {
		for addr, seen := range map[string]string{stranger4: "10.66.0.2:", stranger6: "[fd66::2]:"} {
			if got, err := dial(ns, addr); err != nil || !strings.HasPrefix(got, seen) {
				t.Errorf("%s to %s: the far end sees %q, want %s: %v", who, addr, got, seen, err)
			}
		}
	}

	// What is said of such a packet beforehand is what happens to it.
	for from, to := range map[string]string{client4: stranger4, client6: stranger6} {
		got := w.must(0, "explain", "--from", from, "--to", net.JoinHostPort(to, strconv.Itoa(web))+"/tcp")
		if !strings.Contains(got, "wg0") || strings.Contains(got, "cannot be judged") || strings.Contains(got, "not known") {
			t.Errorf("explain of %s to %s: %s", from, to, got)
		}
	}

	// Names: each has addresses that nobody has heard of. The first packet follows the answer at once.
	d, err := w.Start(os.Stderr, program, "serve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(syscall.SIGKILL) })
	const names = 12
	for i := range names {
		for _, a := range []string{fmt.Sprintf("45.55.2.%d/32", i+1), fmt.Sprintf("2620:10::%d/128", i+1)} {
			on(t, w.net, "ip addr add "+a+" dev lo")
			on(t, w.far, "ip addr add "+a+" dev lo")
		}
	}
	var c net.Conn
	if err := w.client.Do(func() (err error) { c, err = net.Dial("udp", "10.55.0.1:53"); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(name string, typ uint16) string {
		q := new(dns.Msg)
		q.SetQuestion(name, typ)
		a, _, err := (&dns.Client{Timeout: time.Second}).ExchangeWithConn(q, &dns.Conn{Conn: c})
		if err != nil || len(a.Answer) == 0 {
			return ""
		}
		switch rr := a.Answer[0].(type) {
		case *dns.A:
			return rr.A.String()
		case *dns.AAAA:
			return rr.AAAA.String()
		}
		return ""
	}
	lab.Await(t, 20*time.Second, func() error {
		if ask("up.example.", dns.TypeA) == "" {
			return fmt.Errorf("nobody answers")
		}
		return nil
	})
	for i := range names {
		for typ, seen := range map[uint16]string{dns.TypeA: "10.66.0.2:", dns.TypeAAAA: "[fd66::2]:"} {
			addr := ask(fmt.Sprintf("n%d.video.example.", i+1), typ)
			if addr == "" {
				t.Fatalf("name %d has no address", i)
			}
			if got, err := dial(w.client, addr); err != nil || !strings.HasPrefix(got, seen) {
				t.Errorf("the first connection to %s: the far end sees %q, want %s: %v", addr, got, seen, err)
			}
		}
	}
	for _, f := range out.since(mark) {
		if a := f.dst.String(); strings.HasPrefix(a, "45.55.2.") || strings.HasPrefix(a, "2620:10::") || a == stranger4 || a == stranger6 {
			t.Errorf("beside the tunnel left %v", f)
		}
	}
	if got, err := dial(w.client, target4); err != nil || !strings.HasPrefix(got, "198.51.100.2:") {
		t.Errorf("what is not listed: seen from %q: %v", got, err)
	}

	if os.Getenv("PROVISION_LAB_FULL") != "" {
		config(`    slow: {sources: ["https://lists.example:8443/slow"]}`+"\n", "country, video, slow")
		begin := time.Now()
		got := w.must(0, "apply")
		if took := time.Since(begin); took > 40*time.Second || took < 10*time.Second || !strings.Contains(got, "slow") {
			t.Errorf("with a slow server an apply takes %s and says %s", took, got)
		}
		if got, err := dial(w.client, stranger4); err != nil || !strings.HasPrefix(got, "10.66.0.2:") {
			t.Errorf("while one is slow the others are not in force: %q %v", got, err)
		}
	}
}

// listen takes logins, says back what is said, and hands the connections out as well.
func listen(t *testing.T, ns *lab.NetNS, port int) <-chan net.Conn {
	t.Helper()
	var l net.Listener
	if err := ns.Do(func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	served := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served <- c
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return served
}

// site publishes lists on the network outside, with certificates of an authority of its own: on port 8443
// a good one, on 8444 one that is out of date. It is the name server as well.
type site struct{ ca []byte }

func newSite(t *testing.T, w *world) *site {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	sign := func(c *x509.Certificate) []byte {
		t.Helper()
		der, err := x509.CreateCertificate(rand.Reader, c, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	s := &site{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sign(root)})}
	h := http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/rir":
			fmt.Fprint(rw, registry)
		case "/plain":
			fmt.Fprint(rw, strings.Repeat("192.0.2.0/24\n", 3))
		case "/page":
			fmt.Fprint(rw, "<!DOCTYPE html><html><body>Please sign in</body></html>\n")
		case "/slow":
			for range 600 {
				fmt.Fprint(rw, "192.0.2.0/24\n")
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-q.Context().Done():
					return
				case <-time.After(time.Second):
				}
			}
		}
	})
	for port, until := range map[int]time.Time{8443: now.Add(time.Hour), 8444: now.Add(-time.Hour)} {
		der := sign(&x509.Certificate{SerialNumber: big.NewInt(int64(port)), Subject: pkix.Name{CommonName: "lists.example"}, DNSNames: []string{"lists.example"},
			NotBefore: now.Add(-24 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		var l net.Listener
		if err := w.net.Do(func() (err error) { l, err = net.Listen("tcp", fmt.Sprintf("198.51.100.1:%d", port)); return err }); err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: h, ErrorLog: stdlog.New(io.Discard, "", 0),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
		go func() { _ = srv.ServeTLS(l, "", "") }()
		t.Cleanup(func() { _ = srv.Close() })
	}
	var pc net.PacketConn
	if err := w.net.Do(func() (err error) { pc, err = net.ListenPacket("udp", "198.51.100.1:5300"); return err }); err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		n, _, _ := strings.Cut(strings.TrimPrefix(q.Question[0].Name, "n"), ".")
		if n == "up" {
			n = "99"
		}
		head := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 60}
		switch head.Rrtype {
		case dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.ParseIP("45.55.2." + n)})
		case dns.TypeAAAA:
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: head, AAAA: net.ParseIP("2620:10::" + n)})
		}
		_ = rw.WriteMsg(m)
	})}
	go func() { _ = names.ActivateAndServe() }()
	t.Cleanup(func() { _ = names.Shutdown() })
	return s
}
