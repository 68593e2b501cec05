//go:build lab && linux

package inside

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

// broker is the other end of the tunnel, and its server for updates.
type broker struct {
	t   *testing.T
	ns  *nstest.NS
	ca  string // file
	key string // that it takes

	mu   sync.Mutex
	end  netip.Addr
	said []string
}

const updateHost = "ipv4.broker.test"

// serve speaks the protocol of dyndns as tunnelbroker.net does: the address is the one that is named, else the one that asks.
func (b *broker) serve() {
	b.t.Helper()
	cert := b.certificate()
	var l net.Listener
	var err error
	b.ns.Do(func() { l, err = net.Listen("tcp", "203.0.113.1:443") })
	if err != nil {
		b.t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(b.update), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	go func() { _ = srv.ServeTLS(l, "", "") }() // it ends with the test
	b.t.Cleanup(func() { _ = srv.Close() })
}

func (b *broker) update(w http.ResponseWriter, r *http.Request) {
	user, key, _ := r.BasicAuth()
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	addr := from.Addr().Unmap()
	q := r.URL.Query()
	answer := ""
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		b.said = append(b.said, fmt.Sprintf("%s %s %s", from.Addr().Unmap(), q.Get("myip"), answer))
		fmt.Fprintln(w, answer)
	}()
	if text := q.Get("myip"); text != "" {
		addr, _ = netip.ParseAddr(text)
	}
	switch {
	case r.URL.Path != "/nic/update" || r.UserAgent() == "":
		answer = "badagent"
	case user != "me" || key != b.key:
		answer = "badauth"
	case q.Get("hostname") != "123456":
		answer = "nohost"
	case addr == b.end:
		answer = "nochg " + addr.String()
	default:
		b.end = addr
		if _, err := b.ns.Try("ip link set he-box type sit remote " + addr.String() + " local 203.0.113.1 ttl 255"); err != nil {
			answer = "911"
			return
		}
		answer = "good " + addr.String()
	}
}

// answers are what the server was asked by, and what it said, since the last call.
func (b *broker) answers() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.said
	b.said = nil
	return out
}

func (b *broker) certificate() tls.Certificate {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: updateHost}, DNSNames: []string{updateHost}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		b.t.Fatal(err)
	}
	b.ca = filepath.Join(b.t.TempDir(), "ca.pem")
	if err := os.WriteFile(b.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
