package ifupdown

import (
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// fresh gives a NIC that no stanza names a file of its own.
func (j *job) fresh(ownFile string) error {
	present, exists := j.texts[ownFile]
	if why, hidden := j.unreadable[ownFile]; hidden {
		return fmt.Errorf("%s: %s", ownFile, why)
	}
	if exists && !strings.HasPrefix(present, ourMark) {
		return fmt.Errorf("%s exists and is not ours: rename it, or name %s in it", ownFile, j.link)
	}
	if !exists {
		if err := j.idle(); err != nil {
			return err
		}
	}
	if len(j.config.Covering(ownFile)) == 0 {
		return fmt.Errorf("no source line of %s covers %s: add the line \"source %s/*\" to it", interfacesFile, ownFile, path.Dir(ownFile))
	}
	running, next := j.client(j.link)
	a := abilityOf(j.f.Ifupdown.Flavour, next)
	text, err := j.freshText(a)
	if err != nil {
		return err
	}
	j.own[ownFile] = true
	j.change(ownFile, text, fmt.Sprintf("%s has no configuration (%s)", j.link, j.n.Why))
	j.restanza()
	j.files = []string{ownFile}
	j.clientRA = a.both && j.n.DHCP4
	j.made4 = j.n.DHCP4 && j.metric4 != nil
	switch {
	case !j.clientRA:
		j.liveState()
	case exists && j.metric4 != nil && running != nil && running.Name == next && a.restart && (present != text || !j.has(4, *j.metric4) || !j.has(6, *j.metric6)):
		// Only then: on the way back ifdown ends dhcpcd, nothing is to be restarted.
		j.restartDhcpcd()
	default:
		j.prune("")
	}
	j.triggerIfup(ownFile)
	if j.n.DHCP6 && !j.clientRA {
		j.note("info", j.link, "IPv6 comes from router advertisements; no address is asked for by DHCPv6, since ifup waits for ever where no DHCPv6 server answers")
	}
	return nil
}

// idle refuses a NIC that somebody else has brought up.
func (j *job) idle() error {
	if j.f.Ifupdown.State[j.link] != "" {
		return nil
	}
	for _, addr := range j.f.Addrs {
		if addr.Link == j.n.Link.Index && addr.Scope == "global" && addr.Prefix.Addr().Is4() {
			return fmt.Errorf("no stanza names it, but it has %s: somebody else brought it up", addr.Prefix)
		}
	}
	for _, c := range j.f.Clients {
		if c.Link == j.link {
			return fmt.Errorf("no stanza names it, but %s (process %d) serves it: somebody else brought it up", c.Name, c.PID)
		}
	}
	return nil
}

// freshText is the content of the file: IPv4 by DHCP, and IPv6 by router
// advertisements unless the DHCP client handles them.
func (j *job) freshText(a ability) (string, error) {
	class := "auto"
	if j.n.Optional {
		class = "allow-hotplug"
	}
	text := ourMark + class + " " + j.link + "\n"
	if j.n.DHCP4 {
		if a.refuse != "" && j.metric4 != nil {
			return "", fmt.Errorf("%s", a.refuse)
		}
		text += "iface " + j.link + " inet dhcp\n"
		if a.both {
			if err := j.oneMetric(dhcpcd); err != nil {
				return "", err
			}
		}
		if j.metric4 != nil {
			text += "    " + a.option + " " + a.optionValue("", *j.metric4) + "\n"
		}
		if a.both {
			return text, nil
		}
	}
	if j.n.DHCP6 {
		text += "iface " + j.link + " inet6 auto\n"
	}
	if !j.n.DHCP4 && !j.n.DHCP6 {
		return "", fmt.Errorf("neither DHCPv4 nor DHCPv6 is wanted for a NIC without configuration")
	}
	return text, nil
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

// triggerIfup brings a NIC up whose file is new; ifup passes over one that is up.
func (j *job) triggerIfup(ownFile string) {
	if j.f.Machine.Offline {
		return
	}
	j.ifups = append(j.ifups, provision.Trigger{Name: "ifup-" + j.link, On: []provision.Ref{file.Ref(ownFile)}, Do: daemon.Ifup(j.link),
		Why: "ifup brings up a NIC that ifstate does not list; on the way back ifdown takes it down"})
}
