package ifupdown

import (
	"slices"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/provision"
)

// ipv6 plans the default routes of IPv6.
//
// Under ifupdown they come from router advertisements that the kernel handles, also
// beside "inet6 dhcp" (DHCPv6 has no default route) and for a NIC without any inet6
// stanza. Their metric is net.ipv6.conf.IF.ra_defrtr_metric (Linux 5.12).
//
// It is made permanent by a file in sysctl.d and not by a command in the stanza:
// systemd's 99-systemd.rules applies sysctl.d to every NIC at its udev add event,
// after it has its name; ifup@.service is bound to the device unit, which appears
// when that event is done, and networking.service runs after systemd-sysctl.service
// and after udev has settled (ifupdown-pre.service). So the value is there before the
// NIC is up, hot-plugged or not. A post-up command runs only after DHCP has ended,
// which is after the first advertisement, whose route would then keep 1024 until the
// next one, up to 30 minutes later (RFC 4861, section 6.2.1); and Debian's minimal
// system has no sysctl(8).
func (j *job) ipv6() {
	if j.metric6 == nil || j.n.Link.Sysctl["ipv6.disable_ipv6"] == "1" {
		return
	}
	static := slices.ContainsFunc(j.stanzas, func(s *interfaces.Stanza) bool {
		_, gateway := s.Option("gateway")
		return s.Family == "inet6" && gateway
	})
	if static {
		j.move(6, *j.metric6)
		return
	}
	n := j.n
	n.Metric6 = j.metric6
	if !j.clientRA {
		j.kernelRA = append(j.kernelRA, n)
	} else if slices.ContainsFunc(j.stanzas, func(s *interfaces.Stanza) bool { return s.Family == "inet6" }) {
		// dhcpcd takes router advertisements over (accept_ra 0), but this stanza hands
		// them back to the kernel: both make a route, and dhcpcd's stays its own.
		n.Lazy = true
		j.kernelRA = append(j.kernelRA, n)
	} else {
		return
	}
	if init := j.f.Machine.Init; init != "" && init != "systemd" {
		j.note("info", j.link, "without systemd nothing applies %s to a NIC that is plugged in after boot", backends.SysctlPath)
	}
}

// expect verifies a metric; lazily it is only looked at.
func (j *job) expect(w provision.Want) {
	if j.n.Lazy {
		w.Mode = provision.Report
	}
	j.live.Expect = append(j.live.Expect, w)
}
