package ifupdown

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// How a route metric that is set in a DHCP stanza gets to the kernel.
const (
	dhclient = "dhclient"
	dhcpcd   = "dhcpcd"
	udhcpc   = "udhcpc"

	flavourNG = "ifupdown-ng"
	flavour2  = "ifupdown2"
)

// ability is what one DHCP client, started by one ifupdown, can do with a metric.
type ability struct {
	option string // of the stanza: "metric" or "dhcp-opts"
	both   bool   // one metric for IPv4 and IPv6: the client handles router advertisements
	// sticks: a route moved by netlink stays; otherwise the running client brings its
	// old metric back at the next renewal.
	sticks bool
	// restart: the running client must be restarted to take the metric.
	restart bool
	refuse  string // why the stanza's metric would be a no-op, and what to do
}

// abilityOf is the table of what is known about each pair. Sources: inet.defn of
// ifupdown 0.8.41 to 0.8.45; executor-scripts/linux/dhcp of ifupdown-ng; ifupdown2
// issue 207; Debian's udhcpc default.script, which adds "default via ROUTER dev IF"
// without a metric at every bound and renew.
func abilityOf(flavour, client string) ability {
	install := "install isc-dhcp-client or dhcpcd-base and reboot"
	switch flavour {
	case flavour2:
		return ability{refuse: "ifupdown2 ignores metric in DHCP stanzas: give the NIC to another manager, or add a post-up command by hand"}
	case flavourNG:
		switch client {
		case dhcpcd:
			return ability{option: "dhcp-opts", both: true, restart: true}
		case udhcpc:
			return ability{option: "metric"} // its script reads IF_METRIC on Alpine
		}
		return ability{refuse: fmt.Sprintf("no way to give %s a metric through ifupdown-ng is known: install dhcpcd and reboot", orNone(client))}
	}
	switch client {
	case dhclient:
		return ability{option: "metric", sticks: true}
	case dhcpcd:
		return ability{option: "metric", both: true, restart: true}
	case udhcpc:
		return ability{refuse: "udhcpc has no metric: ifupdown does not pass it on, and /etc/udhcpc/default.script adds a default route without one at every renewal: " + install}
	}
	return ability{refuse: fmt.Sprintf("ifup would find no DHCP client that it knows (%s): %s", orNone(client), install)}
}

func orNone(client string) string {
	if client == "" {
		return "none"
	}
	return client
}

// client is the DHCP client of a NIC: the running one, for what holds now, and the
// one that ifup would start, for the next boot.
func (p *plan) client(link string) (running *facts.DHCPClient, next string) {
	next = p.f.Ifupdown.Client
	for i, c := range p.f.Clients {
		if c.Link == link && c.Family != 6 {
			running = &p.f.Clients[i]
			break
		}
	}
	if next == "" && running != nil {
		next = running.Name
	}
	return running, next
}

// optionValue is what the stanza's option must be so that the metric holds.
func (a ability) optionValue(present string, metric uint32) string {
	m := fmt.Sprint(metric)
	if a.option != "dhcp-opts" {
		return m
	}
	// Options of dhcpcd's command line: only -m is ours.
	var words []string
	all := strings.Fields(present)
	for i := 0; i < len(all); i++ {
		switch w := all[i]; {
		case w == "-m" || w == "--metric":
			i++
		case strings.HasPrefix(w, "-m") && !strings.HasPrefix(w, "--"), strings.HasPrefix(w, "--metric="):
		default:
			words = append(words, w)
		}
	}
	return strings.Join(append(words, "-m", m), " ")
}
