package export

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

var (
	now    = clock.Reading{Boot: clock.Instant(time.Hour), Wall: time.Unix(1_700_000_000, 0)}
	leases = []lease.Lease{
		{Client: lease.Client{HW: lease.HW{Type: 1, Addr: "\x02\x00\x00\x00\x00\x01"}, Hostname: "box", ClientID: "\x01\x02"}, Addr: netip.MustParseAddr("10.0.0.7"), State: lease.Bound, Expiry: now.Boot.Add(time.Minute)},
		{Client: lease.Client{HW: lease.HW{Type: 32, Addr: "\xab\xcd"}}, Addr: netip.MustParseAddr("10.0.0.8"), State: lease.Bound, Expiry: lease.Forever},
		{Client: lease.Client{HW: lease.HW{Type: 1, Addr: "\x02"}, Hostname: "old"}, Addr: netip.MustParseAddr("10.0.0.9"), State: lease.Bound, Expiry: now.Boot},
		{Client: lease.Client{HW: lease.HW{Type: 1, Addr: "\x02"}, Hostname: "back"}, Addr: netip.MustParseAddr("10.0.0.10"), State: lease.Released, Expiry: lease.Forever},
		{Client: lease.Client{ClientID: "x", Hostname: "a\n1 evil"}, Addr: netip.MustParseAddr("10.0.0.11"), State: lease.Bound, Expiry: lease.Forever},
	}
)

func TestDnsmasq(t *testing.T) {
	var b strings.Builder
	if err := Dnsmasq(&b, leases, now); err != nil {
		t.Fatal(err)
	}
	want := "1700000060 02:00:00:00:00:01 10.0.0.7 box 01:02\n" +
		"0 20-ab:cd 10.0.0.8 * *\n" +
		"0 * 10.0.0.11 * 78\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestHosts(t *testing.T) {
	for domain, want := range map[string]string{"": "10.0.0.7\tbox\n", "lan.": "10.0.0.7\tbox.lan box\n"} {
		var b strings.Builder
		if err := Hosts(&b, leases, domain, now); err != nil {
			t.Fatal(err)
		}
		if _, got, _ := strings.Cut(b.String(), "\n"); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	for _, s := range []string{"one", "two"} {
		if err := File(path, func(w io.Writer) error { _, err := io.WriteString(w, s); return err }); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != s {
			t.Errorf("%q, %v", got, err)
		}
	}
	fail := errors.New("fails")
	if err := File(path, func(io.Writer) error { return fail }); !errors.Is(err, fail) {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "two" {
		t.Errorf("a failed rendering left %q", got)
	}
	if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
		t.Errorf("left behind: %v", all)
	}
	if err := File(filepath.Join(path, "x"), func(io.Writer) error { return nil }); err == nil {
		t.Error("wrote below a file")
	}
}
