package ifupdown

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/sysctl"
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
//
// The route that is there is left to the kernel: it replaces it at the next
// advertisement. A route moved by netlink lacks RTF_ADDRCONF, so the kernel does not
// find it, fails to add its own with the same metric, and then drops every further
// advertisement whole, prefixes included (net/ipv6/ndisc.c, ndisc_router_discovery;
// seen on 6.18).
func (j *job) ipv6(why string) {
	if j.metric6 == nil || j.n.Link.Sysctl["ipv6.disable_ipv6"] == "1" {
		return
	}
	static := slices.ContainsFunc(j.stanzas, func(s *interfaces.Stanza) bool {
		_, gateway := s.Option("gateway")
		return s.Family == "inet6" && gateway
	})
	if static {
		j.move(6, *j.metric6, why)
		return
	}
	if j.clientRA {
		// dhcpcd takes router advertisements over (accept_ra 0), unless a stanza hands
		// them back to the kernel: then both make a route.
		if slices.ContainsFunc(j.stanzas, func(s *interfaces.Stanza) bool { return s.Family == "inet6" }) {
			j.ra(why)
		}
		return
	}
	if j.ra(why) && !j.f.Machine.Offline {
		expect := routemetric.Expect(6, j.selector, *j.metric6, why)
		expect.Mode = provision.Report
		j.live.Expect = append(j.live.Expect, expect)
		if !j.has(6, *j.metric6) {
			j.note("info", j.link, "the IPv6 default route takes metric %d at the next router advertisement", *j.metric6)
		}
	}
}

// has reports whether all default routes of the NIC have the metric.
func (j *job) has(family int, metric uint32) bool {
	for _, r := range j.f.Defaults(j.n.Link.Index, family) {
		if r.Metric != metric {
			return false
		}
	}
	return true
}

// ra wants the sysctl, live and permanent; false where the kernel has none.
func (j *job) ra(why string) bool {
	if _, ok := j.n.Link.Sysctl["ipv6.ra_defrtr_metric"]; !ok && len(j.n.Link.Sysctl) > 0 {
		j.note("warning", j.link, "kernel %s has no metric for router advertisements (Linux 5.12 has): the IPv6 default route keeps 1024", j.f.Machine.Kernel)
		return false
	}
	m := fmt.Sprint(*j.metric6)
	j.sysctls = append(j.sysctls, sysctlLine{j.link, m, why})
	if !j.f.Machine.Offline {
		j.live.Wants = append(j.live.Wants, sysctl.Link("ipv6", j.selector, "ra_defrtr_metric", m, why))
	}
	if j.f.Machine.Init != "" && j.f.Machine.Init != "systemd" {
		j.note("info", j.link, "without systemd nothing applies %s to a NIC that is plugged in after boot", sysctlFile)
	}
	return true
}

// sysctlFile is the permanent values of all NICs.
func (p *plan) sysctlFile() (provision.Want, bool) {
	if len(p.sysctls) == 0 {
		return provision.Want{}, false
	}
	lines := slices.Clone(p.sysctls)
	slices.SortStableFunc(lines, func(a, b sysctlLine) int { return strings.Compare(a.link, b.link) })
	text := ourMark
	var whys []string
	for _, l := range lines {
		text += sysctlKey(l.link) + " = " + l.metric + "\n"
		if !slices.Contains(whys, l.why) {
			whys = append(whys, l.why)
		}
	}
	return file.Want(sysctlFile, []byte(text), 0o644, "metric of router advertisements: "+joinWhy(whys)), true
}

// sysctlKey is the key of sysctl.d(5). With a dot in the interface name only slashes
// between the parts are unambiguous.
func sysctlKey(link string) string {
	if strings.Contains(link, ".") {
		return "net/ipv6/conf/" + link + "/ra_defrtr_metric"
	}
	return "net.ipv6.conf." + link + ".ra_defrtr_metric"
}
