package main

import (
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/solicit"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// refText names a piece of state in the words that people use for it; device turns a
// selector ("mac:08:00:27:..") into a name where it can.
func refText(r provision.Ref, device func(string) string) string {
	name := func(selector string) string { return deviceText(selector, device) }
	family := map[string]string{"inet": "IPv4", "inet6": "IPv6"}
	switch r.Kind {
	case file.Kind, file.SecretKind:
		return r.Name
	case routemetric.Kind, routemetric.DaemonKind:
		if f, selector, ok := strings.Cut(r.Name, " "); ok && family[f] != "" {
			return family[f] + " default route of " + name(selector)
		}
	case link.Kind:
		return "link " + name(r.Name)
	case sysctl.Kind:
		if w := strings.Fields(r.Name); len(w) == 3 {
			return "sysctl net." + w[0] + "." + name(w[1]) + "." + w[2]
		}
		return "sysctl " + strings.TrimPrefix(r.Name, "global ")
	}
	return r.String()
}

func deviceText(selector string, device func(string) string) string {
	if device != nil {
		if n := device(selector); n != "" {
			return n
		}
	}
	return strings.TrimPrefix(selector, "name:")
}

// actionText says what a trigger does.
func actionText(a provision.Action, device func(string) string) string {
	var names []string
	for _, s := range strings.Split(a.Args["selectors"]+","+a.Args["selector"], ",") {
		if s != "" {
			names = append(names, deviceText(s, device))
		}
	}
	of := strings.Join(names, ", ")
	nic := a.Args["ifname"]
	text := a.Kind
	switch a.Kind {
	case daemon.KindNetworkdReload:
		text = "reload systemd-networkd, for " + of
	case daemon.KindNetworkdRestart:
		text = "restart systemd-networkd, watching " + of
	case daemon.KindNMReload:
		text = "have NetworkManager read its configuration"
	case daemon.KindNMReapply:
		text = "have NetworkManager read its configuration and reapply " + of
	case daemon.KindNMRestart:
		text = "restart NetworkManager, watching " + of
	case daemon.KindNMReloadConnections:
		text = "have NetworkManager read its profiles"
		if of != "" {
			text += " and activate " + of
		}
	case daemon.KindDhcpcdRestart:
		text = "restart the dhcpcd of " + nic
		if a.Args["master"] == "true" {
			text = "restart dhcpcd, for " + of
		}
	case daemon.KindIfup:
		text = "ifup " + nic
	case daemon.KindNetplanGenerate:
		text = "bring netplan's generated files in line"
	case leaseroute.Kind:
		text = "add the default route that dhclient was offered for " + nic
	case solicit.Kind:
		text = "ask for a router advertisement on " + of
	}
	if a.Args["probe"] == "true" {
		text += ", once a DHCP server has answered"
	}
	return text
}
