package leaseroute

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
)

const leases = `lease {
  interface "eth1";
  fixed-address 192.168.76.15;
  option subnet-mask 255.255.255.0;
  option routers 192.168.76.9;
  renew 4 2026/11/20 12:00:00;
}
lease {
  interface "eth1";
  fixed-address 192.168.76.16;
  filename "};";
  option subnet-mask 255.255.255.0;
  option routers 192.168.76.2,192.168.76.3;
  expire 4 2026/11/20 13:00:00;
}
lease {
  interface "eth2";
  fixed-address 10.9.0.4;
  option routers 10.9.0.1;
  option rfc3442-classless-static-routes 0,10,9,0,1;
}
`

func TestParseLeases(t *testing.T) {
	got, err := ParseLeases(leases, "eth1")
	want := Lease{Address: netip.MustParseAddr("192.168.76.16"), Router: netip.MustParseAddr("192.168.76.2"), Mask: "255.255.255.0"}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := ParseLeases(leases, "eth2"); err != nil || !got.Classless {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, text := range []string{"", leases, "lease {\n  interface \"eth3\";\n  fixed-address 10.0.0.1;\n"} {
		if got, err := ParseLeases(text, "eth3"); !errors.Is(err, errNoLease) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if _, err := ParseLeases(strings.Repeat("#", MaxLease+1), "eth1"); err == nil {
		t.Error("a huge file is read")
	}
}

func TestActions(t *testing.T) {
	r, err := parseAction(Add("name:eth1", "eth1", 10))
	if err != nil || r != (request{"name:eth1", "eth1", 10}) {
		t.Errorf("got %+v, %v", r, err)
	}
	for _, a := range []provision.Action{
		Add("name:eth1", "-a", 10), Add("", "eth1", 10), Add("name:eth1", "../../x", 1), {Kind: "reboot"},
		{Kind: Kind, Args: map[string]string{"metric": "-1"}}, {Kind: Kind, Args: map[string]string{"shell": "x"}},
	} {
		if r, err := parseAction(a); err == nil {
			t.Errorf("%v: got %+v, want an error", a, r)
		}
	}
}

func FuzzParseLeases(f *testing.F) {
	f.Add(leases, "eth1")
	f.Add("lease {\ninterface \"\";\nfixed-address ::1;\n}", "")
	f.Fuzz(func(t *testing.T, text, ifname string) {
		l, err := ParseLeases(text, ifname)
		if err == nil && !l.Address.IsValid() {
			t.Fatal("a lease without an address")
		}
	})
}
