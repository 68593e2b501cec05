package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// StartDHCP starts the NIC's DHCP server (dnsmasq; also DHCPv6 if the NIC has it). Leases of an earlier one are remembered.
func (w *World) StartDHCP(name string) {
	w.t.Helper()
	n := w.nic(name)
	if n.dhcp != nil {
		return
	}
	first, last, router := n.host4(15), n.host4(99), n.server4.String()
	dns := n.server4.Next().String()
	if n.NoRouter {
		first, last, router, dns = n.host4(101), n.host4(254), "", ""
	}
	option := func(code int, value string) string {
		if value == "" {
			return fmt.Sprintf("--dhcp-option=%d", code) // an empty option is left out, also dnsmasq's own default
		}
		return fmt.Sprintf("--dhcp-option=%d,%s", code, value)
	}
	mask := netip.PrefixFrom(first, n.net4.Bits())
	args := []string{"dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file=", "--port=0",
		"--no-ping", // else it probes a fresh address for 3 s before it offers it
		"--dhcp-authoritative", "--dhcp-sequential-ip", "--interface=" + n.peer, "--bind-interfaces", "--except-interface=lo", "--log-dhcp",
		"--log-facility=" + w.dhcpLog(n), "--dhcp-leasefile=" + filepath.Join(w.dir, n.peer+".leases"),
		fmt.Sprintf("--dhcp-range=%s,%s,%s,%d", first, last, netmask(mask), int(n.Lease.Seconds())),
		option(3, router), option(6, dns)}
	if n.T1 != 0 {
		args = append(args, fmt.Sprintf("--dhcp-option-force=58,%ds", int(n.T1.Seconds())))
	}
	if n.T2 != 0 {
		args = append(args, fmt.Sprintf("--dhcp-option-force=59,%ds", int(n.T2.Seconds())))
	}
	if n.DHCPv6 {
		base := strings.TrimSuffix(n.net6.Masked().Addr().String(), "::")
		args = append(args, fmt.Sprintf("--dhcp-range=%s::100,%s::1ff,%d,%d", base, base, n.net6.Bits(), int(n.Lease.Seconds())))
	}
	p, err := w.ISP.start(os.Stderr, nil, args...)
	if err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	n.dhcp = p
	w.ready(p, "dnsmasq on "+n.peer, func() bool {
		log, _ := os.ReadFile(w.dhcpLog(n))
		return strings.Contains(string(log), "DHCP, sockets bound") || strings.Contains(string(log), "IP range")
	})
}

// KillDHCP makes the NIC's DHCP server fall silent, without a word.
func (w *World) KillDHCP(name string) {
	w.t.Helper()
	n := w.nic(name)
	n.kill(&n.dhcp)
}

// DHCPLog is what the NIC's DHCP server has logged so far: each packet with its options.
func (w *World) DHCPLog(name string) string {
	w.t.Helper()
	log, err := os.ReadFile(w.dhcpLog(w.nic(name)))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatalf("lab: %v", err)
	}
	return string(log)
}

func (w *World) dhcpLog(n *nic) string { return filepath.Join(w.dir, n.peer+".dhcp.log") }

// StartRA starts the NIC's router advertisements (radvd).
func (w *World) StartRA(name string) {
	w.t.Helper()
	n := w.nic(name)
	if n.ra != nil {
		return
	}
	lifetime := 600
	if n.NoRouter {
		lifetime = 0
	}
	conf := fmt.Sprintf(`interface %s {
	AdvSendAdvert on;
	MinRtrAdvInterval %g;
	MaxRtrAdvInterval %g;
	AdvDefaultLifetime %d;
	AdvDefaultPreference %s;
	AdvManagedFlag %s;
	prefix %s { AdvOnLink on; AdvAutonomous on; };
};
`, n.peer, n.RAMin.Seconds(), n.RAMax.Seconds(), lifetime, n.Preference, onOff(n.DHCPv6), n.net6.Masked())
	file := filepath.Join(w.dir, n.peer+".radvd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	log := filepath.Join(w.dir, n.peer+".radvd.log")
	_ = os.Remove(log)
	p, err := w.ISP.start(os.Stderr, nil, "radvd", "--nodaemon", "--config", file, "--pidfile", filepath.Join(w.dir, n.peer+".radvd.pid"),
		"--logmethod", "logfile", "--logfile", log, "--debug", "1")
	if err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	n.ra = p
	w.ready(p, "radvd on "+n.peer, func() bool { said, _ := os.ReadFile(log); return len(said) > 0 })
}

// KillRA makes the router fall silent: what it announced lives on until it expires.
func (w *World) KillRA(name string) {
	w.t.Helper()
	n := w.nic(name)
	n.kill(&n.ra)
}

// StopRA stops the router as an orderly shutdown does: a last advertisement withdraws it (RFC 4861 section 6.2.5).
func (w *World) StopRA(name string) {
	w.t.Helper()
	n := w.nic(name)
	if n.ra != nil {
		n.ra.stop(syscall.SIGTERM)
		n.ra = nil
	}
}

func (n *nic) kill(p **proc) {
	if *p != nil {
		(*p).stop(syscall.SIGKILL)
		*p = nil
	}
}

// ready waits until a server says in its log that it serves.
func (w *World) ready(p *proc, what string, ok func() bool) {
	w.t.Helper()
	deadline := time.After(runLimit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-p.done:
			w.t.Fatalf("lab: %s ended at once: %v", what, p.err)
		case <-deadline:
			w.t.Fatalf("lab: %s does not start to serve", what)
		case <-tick.C:
		}
	}
}

// host4 is the i-th address of the NIC's IPv4 network.
func (n *nic) host4(i byte) netip.Addr {
	a := n.net4.Masked().Addr().As4()
	a[3] += i
	return netip.AddrFrom4(a)
}

func netmask(p netip.Prefix) string {
	m := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
