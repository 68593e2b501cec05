package dockeruser

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
)

// world is a namespace with docker's chain in both families, with a rule of the administrator.
func world(t *testing.T) {
	t.Helper()
	nstest.Network(t)
	nft(t, `table ip filter {
	chain DOCKER-USER { ip saddr 192.0.2.66 counter drop; counter return; }
	chain FORWARD { type filter hook forward priority 0; policy drop; counter jump DOCKER-USER; }
}
table ip6 filter {
	chain DOCKER-USER { }
}`)
}

func nft(t *testing.T, script string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("skipped: nft (package nftables) is not installed")
	}
	if script != "" {
		args = []string{"-f", "-"}
	}
	cmd := exec.Command("nft", args...)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v: %s", args, err, out)
	}
	return string(out)
}

func TestConformance(t *testing.T) {
	for _, family := range []string{"ip", "ip6"} {
		t.Run(family, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				world(t)
				c := enginetest.ResourceCase{Resource: Resource{}, Name: family}
				for _, pairs := range [][]Pair{{{In: "usb0", Out: "wlan0"}}, {{In: "usb0", Out: "wlan0"}, {In: "usb*", Out: "wg0"}}, {{In: "abcdefghijklmno", Out: "abcdefghijklmn*"}},
					{{In: "wlan0", Out: "usb0", Published: true}, {In: "wlan0", Out: "usb0", Proto: "tcp", Port: 443}, {In: "wlan0", Out: "usb0", Proto: "udp", Port: 65535}}} {
					c.Values = append(c.Values, Want(family, pairs, "").Attrs)
				}
				return c
			})
		})
	}
}

// Ours stand behind the administrator's rules and before docker's return, and everything else
// is as it was when they have gone.
func TestPlace(t *testing.T) {
	world(t)
	before := nft(t, "", "list", "ruleset")
	w := Want("ip", []Pair{{In: "usb0", Out: "wlan0"}}, "")
	if err := (Resource{}).Set(t.Context(), "ip", nil, w.Attrs); err != nil {
		t.Fatal(err)
	}
	// In the kernel's own words: nft knows x_tables matches only where iptables is installed.
	out, _, _ := strings.Cut(nft(t, "", "--debug=netlink", "list", "chain", "ip", "filter", "DOCKER-USER"), "table ip filter {")
	var rules []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[") {
			rules = append(rules, strings.Trim(line, "[] "))
		}
	}
	want := []string{
		"payload load 4b @ network header + 12 => reg 1", "cmp eq reg 1 0x420200c0", "counter pkts 0 bytes 0", "immediate reg 0 drop",
		"meta load iifname => reg 1", "cmp eq reg 1 0x30627375 0x00000000", "meta load oifname => reg 1", "cmp eq reg 1 0x6e616c77 0x00000030",
		"match name comment rev 0", "counter pkts 0 bytes 0", "immediate reg 0 accept",
		"meta load iifname => reg 1", "cmp eq reg 1 0x6e616c77 0x00000030", "meta load oifname => reg 1", "cmp eq reg 1 0x30627375 0x00000000",
		"match name conntrack rev 3", "match name comment rev 0", "counter pkts 0 bytes 0", "immediate reg 0 accept",
		"counter pkts 0 bytes 0", "immediate reg 0 return",
	}
	if got := strings.Join(rules, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if err := (Resource{}).Set(t.Context(), "ip", w.Attrs, nil); err != nil {
		t.Fatal(err)
	}
	if after := nft(t, "", "list", "ruleset"); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

// Without docker there is nothing to do and nothing to undo.
func TestNoDocker(t *testing.T) {
	nstest.Network(t)
	w := Want("ip", []Pair{{In: "usb0", Out: "wlan0"}}, "")
	if have, err := (Resource{}).Get(t.Context(), "ip"); have != nil || err != nil {
		t.Errorf("got %v, %v", have, err)
	}
	if err := (Resource{}).Set(t.Context(), "ip", nil, w.Attrs); !errors.Is(err, provision.ErrPending) {
		t.Errorf("got %v, want ErrPending", err)
	}
	if err := (Resource{}).Set(t.Context(), "ip", nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := (Resource{}).Get(t.Context(), "inet"); err == nil {
		t.Error("inet was accepted")
	}
}

// A rule with our comment that is not ours is seen, so it can be removed.
func TestDamage(t *testing.T) {
	world(t)
	w := Want("ip", []Pair{{In: "usb0", Out: "wlan0"}}, "")
	if err := (Resource{}).Set(t.Context(), "ip", nil, w.Attrs); err != nil {
		t.Fatal(err)
	}
	c, err := dial("ip")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	id, err := c.generation()
	if err != nil {
		t.Fatal(err)
	}
	// Twice the same, and one that compares another device with itself.
	if err := c.change(id, nil, []rule{{in: "usb0", out: "wlan0"}, {in: "x", out: ""}}, 0); err != nil {
		t.Fatal(err)
	}
	have, err := (Resource{}).Get(t.Context(), "ip")
	if err != nil {
		t.Fatal(err)
	}
	if v := have[AttrRules]; strings.Count(v, "usb0>wlan0; ") != 2 || !strings.HasPrefix(v, "? ") {
		t.Errorf("got %q", v)
	}
	if err := (Resource{}).Set(t.Context(), "ip", have, w.Attrs); err != nil {
		t.Fatal(err)
	}
	if now, err := (Resource{}).Get(t.Context(), "ip"); err != nil || now[AttrRules] != w.Attrs[AttrRules] {
		t.Errorf("got %v, %v", now, err)
	}
	// Another transaction since: refused.
	if err := c.change(id, nil, []rule{{in: "a", out: "b"}}, 0); !errors.Is(err, errAgain) {
		t.Errorf("got %v", err)
	}
}

func TestParse(t *testing.T) {
	for _, ok := range []string{"usb0>wlan0", "usb0>wlan0; wlan0>usb0 replies", "a>b dnat; a>b tcp 443; a>b udp 1"} {
		if _, err := parse(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "usb0", "usb0>", ">wlan0", "usb0>wlan0 x", "usb0>wlan0 ", "a>b tcp 0", "a>b tcp 080", "a>b sctp 9", "a>b tcp 65536", "b>a; a>b", "a>b; a>b", "a>b/c", "*>b", "a>abcdefghijklmnop", "a+>b", "? 00"} {
		if r, err := parse(bad); err == nil {
			t.Errorf("%q is accepted as %v", bad, r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(rule{in: "usb0", out: "wlan*", only: "replies"}.exprs())
	f.Add(rule{in: "usb0", out: "wlan0"}.exprs())
	f.Add(rule{in: "wlan0", out: "usb0", only: "tcp 443"}.exprs())
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = plainReturn(b)
		r, ours := decode(b)
		if !ours || r.other != "" {
			return
		}
		// What is taken for ours says the same when it is written.
		if again, ok := decode(r.exprs()); !ok || again != r {
			t.Fatalf("%v became %v", r, again)
		}
	})
}
