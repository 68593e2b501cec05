package facts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Reader sees what one look sees, and the parameters as /proc has them.
func TestReaderAgreesWithNetwork(t *testing.T) {
	inNetns(t, func(t *testing.T) {
		ip(t, "link", "set", "lo", "up")
		ip(t, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
		ip(t, "link", "set", "eth0", "up")
		ip(t, "link", "set", "eth1", "up")
		ip(t, "addr", "add", "192.0.2.2/24", "dev", "eth0")
		ip(t, "addr", "add", "2001:db8::2/64", "dev", "eth0", "nodad")
		ip(t, "route", "add", "default", "via", "192.0.2.1", "table", "1000", "proto", "158")
		ip(t, "route", "add", "198.51.100.0/24", "via", "192.0.2.1", "table", "1000")
		ip(t, "route", "add", "default", "via", "2001:db8::1", "table", "1000", "metric", "7")
		ip(t, "rule", "add", "from", "192.0.2.2", "lookup", "1000", "pref", "500")
		ip(t, "-6", "rule", "add", "from", "2001:db8::2", "oif", "eth0", "lookup", "1000", "pref", "500")
		r, err := OpenReader()
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		compare := func(parts Parts) {
			t.Helper()
			live, err := r.Read(context.Background(), parts)
			if err != nil {
				t.Error(err)
				return
			}
			whole, err := systemKernel().Network(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			var links []Link
			for _, l := range whole.Links {
				l.Sysctl, l.Ports = nil, nil
				links = append(links, l)
			}
			if !reflect.DeepEqual(live.Links, links) {
				t.Errorf("links:\n%+v\nwant\n%+v", live.Links, links)
			}
			if !reflect.DeepEqual(live.Rules, whole.Rules) {
				t.Errorf("rules:\n%+v\nwant\n%+v", live.Rules, whole.Rules)
			}
			if len(live.Addrs) != len(whole.Addrs) {
				t.Errorf("addresses:\n%+v\nwant\n%+v", live.Addrs, whole.Addrs)
			}
			var routes []Route
			for _, rt := range whole.Routes {
				if rt.Default() || !rt.Gateway.IsValid() {
					routes = append(routes, rt)
				}
			}
			if !reflect.DeepEqual(live.Routes, routes) {
				t.Errorf("routes:\n%+v\nwant\n%+v", live.Routes, routes)
			}
			for i, l := range live.Links {
				for key, got := range map[string]int32{
					"ipv4/conf/%s/rp_filter": live.Conf[i].RPFilter, "ipv4/conf/%s/proxy_arp": live.Conf[i].ProxyARP,
					"ipv4/conf/%s/log_martians": live.Conf[i].LogMartians, "ipv4/conf/%s/forwarding": live.Conf[i].Forwarding4,
					"ipv6/conf/%s/proxy_ndp": live.Conf[i].ProxyNDP, "ipv6/conf/%s/forwarding": live.Conf[i].Forwarding6,
				} {
					sysctlIs(t, fmt.Sprintf(key, l.Name), got)
				}
			}
			sysctlIs(t, "ipv4/conf/all/rp_filter", live.All.RPFilter)
			sysctlIs(t, "ipv4/conf/all/forwarding", live.All.Forwarding4)
			sysctlIs(t, "ipv4/conf/all/proxy_arp", live.All.ProxyARP)
			sysctlIs(t, "ipv6/conf/all/forwarding", live.All.Forwarding6)
		}
		compare(AllParts)
		for key, value := range map[string]string{
			"ipv4/conf/all/rp_filter": "2", "ipv4/conf/eth0/rp_filter": "1", "ipv4/conf/eth1/proxy_arp": "1", "ipv4/conf/eth1/log_martians": "1", "ipv6/conf/eth0/proxy_ndp": "1",
		} {
			if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
				t.Error(err)
			}
		}
		compare(PartLinks)
		ip(t, "route", "del", "default", "table", "1000")
		compare(PartRoutes4)
		ip(t, "link", "set", "eth0", "down")
		ip(t, "rule", "del", "pref", "500")
		compare(AllParts)
	})
}

func sysctlIs(t *testing.T, key string, got int32) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/" + key)
	if err != nil {
		return // this kernel has none
	}
	if want := strings.TrimSpace(string(text)); fmt.Sprint(got) != want {
		t.Errorf("%s: read %d, /proc says %s", key, got, want)
	}
}

// BenchmarkReader reads a machine with 1,000 NICs and 10,000 rules: everything, and what
// single events make it read.
func BenchmarkReader(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("making a network namespace needs root")
	}
	runtime.LockOSThread() // for good: the thread ends with its goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skipf("cannot make a network namespace: %v", err)
	}
	var batch strings.Builder
	for i := range 500 {
		fmt.Fprintf(&batch, "link add eth%d type veth peer name eth%d\n", 2*i, 2*i+1)
		fmt.Fprintf(&batch, "addr add 10.%d.%d.2/24 dev eth%d\nlink set eth%d up\n", 1+i/250, i%250, 2*i, 2*i)
	}
	for i := range 10000 {
		fmt.Fprintf(&batch, "rule add from 10.%d.%d.%d lookup %d pref 1536\n", 1+i/25000, i/100%250, 3+i%100, 1000+i/100)
	}
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	r, err := OpenReader()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for _, parts := range []Parts{AllParts, PartLinks | PartRoutes4 | PartRoutes6, PartAddrs | PartRoutes4, PartRoutes4, PartRules4} {
		b.Run(parts.String(), func(b *testing.B) {
			b.ReportAllocs()
			begin := cpu()
			for b.Loop() {
				if _, err := r.Read(b.Context(), parts); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu()-begin).Microseconds())/float64(b.N), "us-cpu/op")
		})
	}
	if n, m := len(r.live.Links), len(r.live.Rules); n < 1001 || m < 10000 {
		b.Fatalf("%d links, %d rules", n, m)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
