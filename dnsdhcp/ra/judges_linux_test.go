//go:build lab

package ra_test

import (
	"bufio"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/ra"
)

func need(t *testing.T, tool, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("skipped: no %s; install %s", tool, pkg)
	}
	return path
}

func judged() ra.Config {
	c := ra.Default()
	c.MTU, c.Preference, c.Other = ra.MTUOfLink, ra.Low, true
	c.Prefixes = []ra.Prefix{{Prefix: netip.MustParsePrefix("fd00:a:b:1::/64"), OnLink: true, Autonomous: true, Preferred: time.Hour, Valid: ra.Infinite}}
	c.Routes = []ra.Route{{Prefix: netip.MustParsePrefix("fd77:0:ff00::/40"), Preference: ra.High, Lifetime: 2000 * time.Second}}
	c.Search = []string{"lab.example", "home.arpa"}
	c.NAT64 = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}
	c.CaptivePortal = "https://portal.example/api"
	return c
}

// TestRdisc6: what ndisc6's client reads.
func TestRdisc6(t *testing.T) {
	path := need(t, "rdisc6", "ndisc6")
	b := newBed(t)
	b.cable()
	b.run(judged(), ra.Uplink{Default6: true, Forwarding: true})
	b.until("ip -6 addr show dev eth0", "fd00:a:b:1:")
	out := b.host.Sh(path + " -1 eth0")
	for _, want := range []string{
		"Hop limit                 :           64 (      0x40)",
		"Stateful address conf.    :           No",
		"Stateful other conf.      :          Yes",
		"Router preference         :          low",
		"Router lifetime           :         1800 (0x00000708) seconds",
		"Prefix                   : fd00:a:b:1::/64",
		"On-link                 :          Yes",
		"Autonomous address conf.:          Yes",
		"Valid time              :     infinite (0xffffffff)",
		"Pref. time              :         3600 (0x00000e10) seconds",
		"Route                    : fd77:0:ff00::/40",
		"Route preference        :         high",
		"Route lifetime          :         2000 (0x000007d0) seconds",
		"Recursive DNS server     : fe80::",
		"DNS server lifetime     :         1800 (0x00000708) seconds",
		"DNS search list          : lab.example home.arpa",
		"DNS search list lifetime:         1800 (0x00000708) seconds",
		"MTU                      :         1500 bytes (valid)",
		"Source link-layer address: ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if n := b.recorded(ra.ReasonUnicast); n == 0 {
		t.Error("rdisc6 was not answered alone")
	}
}

// TestRadvdump: what radvd's listener reads, and writes as a configuration.
func TestRadvdump(t *testing.T) {
	path := need(t, "radvdump", "radvdump")
	b := newBed(t)
	b.cable()
	stdbuf := need(t, "stdbuf", "coreutils")
	var pipe io.ReadCloser
	var cmd *exec.Cmd
	var err error
	b.host.Do(func() {
		cmd = exec.Command(stdbuf, "-oL", path) // into a pipe it would keep its words to itself
		if pipe, err = cmd.StdoutPipe(); err == nil {
			err = cmd.Start()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	enough := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
	defer enough.Stop()
	c := judged()
	c.MinInterval, c.MaxInterval = 3*time.Second, 4*time.Second // it may not listen yet when the first one is sent
	c.RouterLifetime, c.DNSLifetime = 1800*time.Second, 1800*time.Second
	b.run(c, ra.Uplink{Default6: true, Forwarding: true})
	var out strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan() && !strings.Contains(out.String(), "AdvDNSSLLifetime"); {
		out.WriteString(lines.Text() + "\n")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	for _, want := range []string{
		"AdvManagedFlag off", "AdvOtherConfigFlag on", "AdvCurHopLimit 64", "AdvDefaultLifetime 1800", "AdvDefaultPreference low",
		"AdvSourceLLAddress on", "AdvLinkMTU 1500", "prefix fd00:a:b:1::/64", "AdvValidLifetime infinity", "AdvPreferredLifetime 3600",
		"AdvOnLink on", "AdvAutonomous on", "route fd77:0:ff00::/40", "AdvRoutePreference high", "AdvRouteLifetime 2000",
		"RDNSS fe80::", "AdvRDNSSLifetime 1800", "DNSSL lab.example home.arpa", "AdvDNSSLLifetime 1800",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
