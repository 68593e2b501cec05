// Package daemon makes network managers take up changed files: the actions as data
// (constructors, every operating system) and the actors that carry them out over
// D-Bus (Linux). Each action takes the softest path known for its daemon; around
// each one the routes, policy rules and addresses that somebody else put on the
// links are saved and put back, because networkd deletes what it did not make.
package daemon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

// Kinds of actions. One Actor (see Actor) serves them all.
const (
	KindNetworkdReload      = "networkd-reload"
	KindNetworkdRestart     = "networkd-restart"
	KindNMReload            = "nm-reload"
	KindNMReapply           = "nm-reapply"
	KindNMRestart           = "nm-restart"
	KindNMReloadConnections = "nm-reload-connections"
	KindDhcpcdRestart       = "dhcpcd-restart"
	KindIfup                = "ifup"
)

// Kinds returns every action kind of this package, for registration.
func Kinds() []string {
	return []string{
		KindNetworkdReload, KindNetworkdRestart,
		KindNMReload, KindNMReapply, KindNMRestart, KindNMReloadConnections,
		KindDhcpcdRestart, KindIfup,
	}
}

// Names of arguments.
const (
	argSelectors = "selectors" // comma-joined device selectors
	argSelector  = "selector"
	argProbe     = "probe"
	argIfname    = "ifname"
	argMetric    = "metric"
	argMaster    = "master"
	argManaged   = "managed"
)

// NetworkdReload makes systemd-networkd read its files again (network1.Manager.Reload)
// and waits until the selected links are configured and have again what they had.
// Only links whose files changed are touched by networkd.
func NetworkdReload(selectors ...string) provision.Action {
	return withSelectors(KindNetworkdReload, selectors)
}

// NetworkdRestart restarts systemd-networkd.service and waits as NetworkdReload does.
// From networkd 248 to 252 this keeps addresses where a reload drops them.
func NetworkdRestart(selectors ...string) provision.Action {
	return withSelectors(KindNetworkdRestart, selectors)
}

// NMReload makes NetworkManager read conf.d again, nothing else: the new values
// take effect at the next renewal and router advertisement, without any gap.
func NMReload() provision.Action { return provision.Action{Kind: KindNMReload} }

// NMReapply is NMReload followed by Device.Reapply of the selected devices with
// their present profile; foreign addresses and routes are preserved by flag 1 where
// NetworkManager knows it (1.42), else by saving them.
func NMReapply(selectors ...string) provision.Action {
	return withSelectors(KindNMReapply, selectors)
}

// NMManaged returns a, which is NMReloadConnections, with the demand that a device that is there already is managed if the
// file conf has a line "match-device=interface-name:=IFNAME" for it, and not if it has none or is gone: NetworkManager reads
// device.managed (NetworkManager.conf(5)) when a device appears, and never again for the same one.
func NMManaged(a provision.Action, conf string) provision.Action {
	args := map[string]string{argManaged: conf}
	for k, v := range a.Args {
		if k != argManaged {
			args[k] = v
		}
	}
	return provision.Action{Kind: a.Kind, Args: args}
}

// NMRestart restarts NetworkManager.service and waits until the selected devices
// are activated again.
func NMRestart(selectors ...string) provision.Action {
	return withSelectors(KindNMRestart, selectors)
}

// NMReloadConnections makes NetworkManager read its profiles again and activates
// the selected devices that have no active connection.
func NMReloadConnections(selectors ...string) provision.Action {
	return withSelectors(KindNMReloadConnections, selectors)
}

// DhcpcdRestart restarts dhcpcd: with master the service dhcpcd.service, else the
// daemon that ifup started for the one NIC, as "dhcpcd -m METRIC IFNAME" in a cgroup
// of its own. When ifupdown can say what the stanza's metric is (ifquery), that
// value is used, so the same action serves the way there and the way back; metric
// is used where it cannot. It refuses when dhcpcd.conf lacks "persistent": then
// stopping the daemon would take the address away.
func DhcpcdRestart(selector, ifname string, metric uint32, master bool) provision.Action {
	return provision.Action{Kind: KindDhcpcdRestart, Args: map[string]string{
		argSelector: selector,
		argIfname:   ifname,
		argMetric:   strconv.FormatUint(uint64(metric), 10),
		argMaster:   strconv.FormatBool(master),
	}}
}

// OneDhcpcdRestart is one restart of dhcpcd.service in place of two, which looks after the
// NICs of both; false if they are not both that.
func OneDhcpcdRestart(a, b provision.Action) (provision.Action, bool) {
	if a.Kind != KindDhcpcdRestart || b.Kind != KindDhcpcdRestart || a.Args[argMaster] != "true" || b.Args[argMaster] != "true" {
		return a, false
	}
	var all []string
	for _, s := range strings.Split(a.Args[argSelector]+","+b.Args[argSelector], ",") {
		if s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	one := provision.Action{Kind: a.Kind, Args: map[string]string{}}
	for k, v := range a.Args {
		one.Args[k] = v
	}
	one.Args[argSelector] = strings.Join(all, ",")
	return one, true
}

// Ifup runs "ifup IFNAME" for a NIC that is not up yet and does nothing when
// ifupdown already lists it as up. When the NIC's own file (IfupFile) is gone, as on
// the way back, it runs ifdown with the definition saved when it was brought up.
func Ifup(ifname string) provision.Action {
	return provision.Action{Kind: KindIfup, Args: map[string]string{argIfname: ifname}}
}

// IfupFile is the file that defines a NIC which provision brought to ifupdown.
// Names in interfaces.d must match ^[a-zA-Z0-9_-]+$ (interfaces(5), source-directory),
// so other characters of the interface name become "_".
func IfupFile(ifname string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '_'
	}, ifname)
	return "/etc/network/interfaces.d/provision-" + safe
}

// Probe returns a with the demand that a DHCPv4 server is asked first: the action
// would lose the address if the server were silent, so then it is refused with an
// error before anything is touched.
func Probe(a provision.Action) provision.Action {
	args := map[string]string{argProbe: "true"}
	for k, v := range a.Args {
		if k != argProbe {
			args[k] = v
		}
	}
	return provision.Action{Kind: a.Kind, Args: args}
}

func withSelectors(kind string, selectors []string) provision.Action {
	var all []string
	for _, s := range selectors {
		for one := range strings.SplitSeq(s, ",") {
			if one != "" && !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	return provision.Action{Kind: kind, Args: map[string]string{argSelectors: strings.Join(all, ",")}}
}

// request is an action's arguments, checked.
type request struct {
	kind      string
	selectors []string
	probe     bool
	ifname    string
	metric    uint32
	master    bool
	managed   string // file that says which devices are managed
}

func parse(a provision.Action) (request, error) {
	r := request{kind: a.Kind}
	if !slices.Contains(Kinds(), a.Kind) {
		return r, fmt.Errorf("cannot run action %q: unknown kind", a.Kind)
	}
	for k, v := range a.Args {
		var err error
		switch k {
		case argSelectors, argSelector:
			for s := range strings.SplitSeq(v, ",") {
				if s == "" {
					continue
				}
				if _, e := netdev.Parse(s); e != nil {
					err = e
				}
				r.selectors = append(r.selectors, s)
			}
		case argProbe:
			r.probe, err = strconv.ParseBool(v)
		case argMaster:
			r.master, err = strconv.ParseBool(v)
		case argMetric:
			var m uint64
			m, err = strconv.ParseUint(v, 10, 32)
			r.metric = uint32(m)
		case argManaged:
			if r.managed = v; !strings.HasPrefix(v, "/") || a.Kind != KindNMReloadConnections {
				err = fmt.Errorf("no file for it: %q", v)
			}
		case argIfname:
			r.ifname, err = v, checkIfname(v)
		default:
			err = fmt.Errorf("unknown argument %q", k)
		}
		if err != nil {
			return r, fmt.Errorf("cannot run action %s: %w", a.Kind, err)
		}
	}
	if r.ifname == "" && (a.Kind == KindIfup || a.Kind == KindDhcpcdRestart && !r.master) {
		return r, fmt.Errorf("cannot run action %s: no interface name given", a.Kind)
	}
	return r, nil
}

// checkIfname refuses what the kernel refuses (dev_valid_name, net/core/dev.c) and
// what a command could take for an option.
func checkIfname(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." ||
		strings.ContainsAny(name, "/: \t\n\v\f\r") || strings.HasPrefix(name, "-") {
		return fmt.Errorf("%q is no interface name", name)
	}
	return nil
}
