package killswitch

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inputs are the guards that goldens, judges and fuzzers go through.
func inputs() map[string]Input {
	endpoint := intent.Set{Endpoints: []intent.Endpoint{
		{Tunnel: "wg0", Proto: "udp", Addr: netip.MustParseAddr("203.0.113.7"), Port: 51820, Mark: 0x2a0000},
		{Tunnel: "wg0", Proto: "udp", Addr: netip.MustParseAddr("2001:db8:7::7"), Port: 51820, Mark: 0x2a0000},
		{Tunnel: "he0", Proto: "41", Addr: netip.MustParseAddr("198.51.100.1")},
		{Tunnel: "he1", Proto: "41", Addr: netip.MustParseAddr("198.51.100.41"), Mark: 0x2a0000},
	}}
	return map[string]Input{
		"gadget": {Config: Config{Tunnel: "wg0", BootstrapDNS: []string{"192.0.2.53", "2001:db8::53"}, NTP: []string{"192.0.2.123"}},
			Inside: []string{"usb*"}, Intents: endpoint, Table: 80, Mark: 0x2a0000, Mask: 0xff0000},
		"full": {Config: Config{Tunnel: "wg0", Inside: []string{"usb1", "usb0", "usb0"}, Exempt: []string{"eth1"}, Endpoints: []string{"198.51.100.9:1194", "[2001:db8:9::9]:1194"},
			LAN: "block", LocalDNS: "block", ManageFrom: []string{"192.0.2.0/24", "2001:db8:1::/64", "198.51.100.77"}, WindowPorts: []uint16{8080, 80}, Log: true}, Inside: []string{"lan*"}},
		"sit": {Config: Config{Tunnel: "he0", LocalDNS: "off"}, Inside: []string{"br0"}, Intents: endpoint},
	}
}

func TestGolden(t *testing.T) {
	for name, in := range inputs() {
		t.Run(name, func(t *testing.T) {
			text, ok := nft.Lines(nft.Canonical(Guard(in)))
			if !ok {
				t.Errorf("not all of it can be said in nft's language")
			}
			path := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil || string(want) != text {
				t.Errorf("%v; got\n%s", err, text)
			}
		})
	}
}

// nft takes every guard.
func TestNftTakesIt(t *testing.T) {
	judge, err := exec.LookPath("nft")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("skipped: needs root and nft(8); install nftables")
	}
	for name, in := range inputs() {
		cmd := exec.Command(judge, "-c", "-f", "-")
		cmd.Stdin = strings.NewReader(nft.Text(Guard(in)))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// Each rule, chain and set that is taken away, changed or put elsewhere is missed.
func TestMissing(t *testing.T) {
	for name, in := range inputs() {
		want := Guard(in)
		if m := Missing(want, Guard(in)); len(m) > 0 {
			t.Fatalf("%s: of itself it misses %v", name, m)
		}
		have := Guard(in)
		have.Chains = append(have.Chains, nft.Chain{Name: "input"})
		have.Sets[0].Elements = []nft.Element{{Key: match.NameKey("wlan0")}}
		if m := Missing(want, have); len(m) > 0 {
			t.Errorf("%s: with the firewall beside it, it misses %v", name, m)
		}
		if len(Missing(want, nft.Table{})) == 0 || len(Missing(want, nft.Table{Family: "inet", Name: "provision"})) == 0 {
			t.Errorf("%s: no table at all is not missed", name)
		}
		have = Guard(in)
		have.Dormant = true
		if len(Missing(want, have)) == 0 {
			t.Errorf("%s: a table that is switched off is not missed", name)
		}
		for i := range want.Chains {
			change := func(what string, f func(*nft.Chain)) {
				have := Guard(in)
				f(&have.Chains[i])
				if len(Missing(want, have)) == 0 {
					t.Errorf("%s: %s of %s is not missed", name, what, want.Chains[i].Name)
				}
			}
			change("the name", func(c *nft.Chain) { c.Name = "x" })
			change("a rule before the first", func(c *nft.Chain) { c.Rules = append([]nft.Rule{match.Rule("", match.Accept())}, c.Rules...) })
			if want.Chains[i].Base != nil {
				change("the hook", func(c *nft.Chain) { b := *c.Base; b.Hook = "input2"; c.Base = &b })
				change("the priority", func(c *nft.Chain) { b := *c.Base; b.Priority++; c.Base = &b })
			}
			for j := range want.Chains[i].Rules {
				change("a rule", func(c *nft.Chain) { c.Rules = append(c.Rules[:j:j], c.Rules[j+1:]...) })
				change("the end of a rule", func(c *nft.Chain) { c.Rules[j].Exprs = c.Rules[j].Exprs[:len(c.Rules[j].Exprs)-1] })
			}
		}
		for i := range want.Sets {
			have := Guard(in)
			have.Sets = append(have.Sets[:i:i], have.Sets[i+1:]...)
			if len(Missing(want, have)) == 0 {
				t.Errorf("%s: set %s is not missed", name, want.Sets[i].Name)
			}
		}
	}
}

// Every base chain of the guard ends in a refusal of everything, or is one that only adds.
func TestEndsClosed(t *testing.T) {
	for name, in := range inputs() {
		for _, c := range Guard(in).Chains {
			if c.Base == nil || c.Base.Hook == "prerouting" || c.Base.Hook == "input" {
				continue
			}
			last := c.Rules[len(c.Rules)-1].Exprs
			for _, e := range last {
				if e.Counter == nil && e.Reject == nil && (e.Verdict == nil || e.Verdict.Kind != "drop") {
					t.Errorf("%s: the last rule of %s is for some packets only: %s", name, c.Name, nft.RuleText(c.Rules[len(c.Rules)-1]))
				}
			}
			if len(last) != 2 {
				t.Errorf("%s: %s does not end in a refusal", name, c.Name)
			}
		}
	}
}
