package backends

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/solicit"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// SysctlPath is the one file for all NICs whose router advertisements the kernel
// handles. sysctl.d(5): applied at boot, and by udev to each device that appears.
const SysctlPath = "/etc/sysctl.d/90-provision.conf"

// raMetric is the sysctl of Linux 5.12 and later (Documentation/networking/ip-sysctl.rst,
// ra_defrtr_metric).
const raMetric = "ra_defrtr_metric"

// KernelRA wants the IPv6 metric for NICs whose router advertisements the kernel
// itself handles (ifupdown's inet6 auto, NetworkManager's method=ignore): the sysctl
// now, its file for the next boot, and the routers asked to advertise, because the next
// advertisement may be minutes away; the kernel replaces its own route when it hears
// one, and nobody else may (see package solicit). A router that stays silent is only
// reported. NICs without Metric6 are skipped; call it once
// with all NICs of a backend. Plan joins the files of several backends.
func KernelRA(f *facts.Facts, nics []NIC) provision.Desired {
	var d provision.Desired
	var lines []string
	var live []provision.Want
	for _, n := range nics {
		if n.Metric6 == nil {
			continue
		}
		_, known := n.Link.Sysctl["ipv6."+raMetric]
		if !known && !f.Machine.Offline {
			d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: n.Link.Name,
				Text: fmt.Sprintf("its IPv6 default route comes from the kernel, and kernel %s cannot change its metric (net.ipv6.conf.*.%s came with 5.12): IPv6 stays as it is", f.Machine.Kernel, raMetric)})
			continue
		}
		lines = append(lines, sysctlLine(n.Link.Name, *n.Metric6))
		if f.Machine.Offline {
			continue
		}
		why := "the kernel handles its router advertisements: " + n.Why
		live = append(live, sysctl.Link("ipv6", n.Link.Selector(), raMetric, strconv.FormatUint(uint64(*n.Metric6), 10), why))
		effect := routemetric.Expect(6, n.Link.Selector(), *n.Metric6, why)
		effect.Mode = provision.Report
		d.Expect = append(d.Expect, effect)
		if n.Lazy {
			continue
		}
		d.Triggers = append(d.Triggers, provision.Trigger{
			Name: "router-solicit-" + n.Link.Name,
			On:   []provision.Ref{sysctl.LinkRef("ipv6", n.Link.Selector(), raMetric)},
			Do:   solicit.Action(n.Link.Selector()),
			Why:  "the kernel gives its route the new metric with the next router advertisement: ask for one now",
		})
	}
	if len(lines) == 0 {
		return d
	}
	d.Wants = append(d.Wants,
		file.Dir(path.Dir(SysctlPath), "holds "+path.Base(SysctlPath)),
		file.Want(SysctlPath, sysctlFile(lines), 0o644, "metric of the kernel's own IPv6 default routes at the next boot"))
	d.Wants = append(d.Wants, live...)
	return d
}

// sysctlLine uses slashes, which leave dots in device names alone, and the leading
// dash that makes a missing device no error (sysctl.d(5)).
func sysctlLine(name string, metric uint32) string {
	return fmt.Sprintf("-net/ipv6/conf/%s/%s = %d", name, raMetric, metric)
}

func sysctlFile(lines []string) []byte {
	lines = slices.Clone(lines)
	slices.Sort(lines)
	return []byte(facts.Marker + "\n" + strings.Join(slices.Compact(lines), "\n") + "\n")
}

// joinSysctl is the union of two contents of SysctlPath.
func joinSysctl(a, b string) string {
	var lines []string
	for line := range strings.Lines(a + "\n" + b) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return string(sysctlFile(lines))
}
