package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/routemetric"
	"github.com/provision-net/provision/provision/resource/solicit"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// What detect shows of each known machine, on a terminal of 100 columns.
func TestDetectOnKnownMachines(t *testing.T) {
	all := machines(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		_, report, _ := backends.Plan(all[name], backends.Config{}, backends.Memory{}, planners())
		d := agent.Detection{Config: "built-in defaults", Report: report}
		p := newPage(100)
		p.device = func(selector string) string {
			for _, l := range all[name].Links {
				if l.Selector() == selector {
					return l.Name
				}
			}
			return ""
		}
		drawDetection(p, d, false)
		text := p.buf.String()
		if strings.Contains(text, "proves nothing") {
			t.Errorf("%s: evidence that proves nothing is shown:\n%s", name, text)
		}
		for line := range strings.Lines(text) {
			if columns(line) > 101 && strings.Count(strings.TrimSpace(line), " ") > 1 && !tableRow(line) {
				t.Errorf("%s: a line of %d columns: %s", name, columns(line), line)
			}
		}
		switch name {
		case "vagrant-virtualbox-debian", "trixie-two-owners", "networkmanager-desktop", "pizerow-bookworm-composite", "pizero2w-trixie-g-ether", "vm-dummy-udc":
			golden(t, "testdata/detect-"+name+".golden", text)
		}

		v := newPage(0)
		drawDetection(v, d, true)
		if v.buf.Len() < p.buf.Len() {
			t.Errorf("%s: -v says less", name)
		}
	}
}

// tableRow recognises a row by its gaps of two and more blanks: rows are not wrapped.
func tableRow(line string) bool { return strings.Contains(strings.TrimSpace(line), "  ") }

func TestActionsInWords(t *testing.T) {
	names := func(s string) string { return map[string]string{"mac:08:00:27:00:00:01": "eth0"}[s] }
	const mac = "mac:08:00:27:00:00:01"
	actions := map[string]provision.Action{
		"reload systemd-networkd, for eth0":                                        daemon.NetworkdReload(mac),
		"restart systemd-networkd, watching eth0, eth1":                            daemon.NetworkdRestart(mac, "name:eth1"),
		"restart systemd-networkd, watching eth0, once a DHCP server has answered": daemon.Probe(daemon.NetworkdRestart(mac)),
		"have NetworkManager read its configuration":                               daemon.NMReload(),
		"have NetworkManager read its configuration and reapply eth0":              daemon.NMReapply(mac),
		"restart NetworkManager, watching eth0":                                    daemon.NMRestart(mac),
		"have NetworkManager read its profiles":                                    daemon.NMReloadConnections(),
		"have NetworkManager read its profiles and activate mac:08:00:27:00:00:02": daemon.NMReloadConnections("mac:08:00:27:00:00:02"),
		"restart dhcpcd, for eth0":                                                 daemon.DhcpcdRestart(mac, "eth0", 5, true),
		"restart the dhcpcd of eth0":                                               daemon.DhcpcdRestart(mac, "eth0", 5, false),
		"ifup eth1":                                                                daemon.Ifup("eth1"),
		"bring netplan's generated files in line":                                  daemon.NetplanGenerate(),
		"add the default route that dhclient was offered for eth0":                 leaseroute.Add(mac, "eth0", 10),
		"ask for a router advertisement on eth0":                                   solicit.Action(mac),
	}
	said := map[string]bool{}
	for want, a := range actions {
		said[a.Kind] = true
		if got := actionText(a, names); got != want {
			t.Errorf("%v: %q, want %q", a, got, want)
		}
	}
	for _, kind := range daemon.Kinds() {
		if !said[kind] {
			t.Errorf("there are no words for the action %s", kind)
		}
	}
}

func TestRefsInWords(t *testing.T) {
	names := func(s string) string { return map[string]string{"mac:08:00:27:00:00:01": "eth0"}[s] }
	const mac = "mac:08:00:27:00:00:01"
	for want, r := range map[string]provision.Ref{
		"/etc/x":                     file.Ref("/etc/x"),
		"/etc/y":                     file.SecretRef("/etc/y"),
		"IPv4 default route of eth0": routemetric.Ref(4, mac),
		"IPv6 default route of eth1": routemetric.DaemonRef(6, "name:eth1"),
		"link eth0":                  link.Ref(mac),
		"sysctl net.ipv6.conf.eth0.ra_defrtr_metric": sysctl.LinkRef("ipv6", mac, "ra_defrtr_metric"),
		"sysctl net.ipv4.ip_forward":                 sysctl.GlobalRef("net.ipv4.ip_forward"),
		"other:thing":                                {Kind: "other", Name: "thing"},
	} {
		if got := refText(r, names); got != want {
			t.Errorf("%v: %q, want %q", r, got, want)
		}
	}
}

// What people read after each command, in all its cases.
func TestOutcomesInWords(t *testing.T) {
	change := func(op provision.Op, ref provision.Ref, have, want provision.Attrs) provision.Change {
		return provision.Change{Ref: ref, Op: op, Have: have, Want: want, Why: "nics[0].route-metric"}
	}
	metric := routemetric.DaemonRef(4, "name:eth0")
	notes := []provision.Note{{Level: "info", Subject: "eth0", Text: "an aside"}, {Level: "warning", Subject: "eth0", Text: "beware"}}
	unmet := []provision.Unmet{{Ref: metric, Want: provision.Attrs{"metrics": "10"}, Why: "a lease"}, {Ref: metric, Have: provision.Attrs{"metrics": "100"}, Want: provision.Attrs{"metrics": "10"}}}
	p := newPage(80)
	p.title("apply")
	drawOutcome(p, agent.Outcome{Took: 1234 * time.Millisecond, Confirm: time.Minute, Result: provision.Result{
		Effects:  []provision.Change{change(provision.Create, file.Ref("/etc/new"), nil, nil), change(provision.Delete, file.Ref("/etc/old"), nil, nil), change(provision.Update, metric, nil, nil)},
		Triggers: []string{"systemd-networkd"}, Writes: 4, Unmet: unmet[:1], Notes: notes}})
	p.title("apply, nothing to do")
	drawOutcome(p, agent.Outcome{Took: 12 * time.Millisecond, Confirm: time.Minute, Result: provision.Result{Notes: notes}})
	p.title("verify")
	drawVerify(p, provision.Verification{Drift: []provision.Change{
		change(provision.Update, file.Ref("/etc/interfaces"), provision.Attrs{"content": "a\nb\nc\nd\n", "mode": "0644"}, provision.Attrs{"content": "a\nb\nx\nd\n", "mode": "0644"}),
		change(provision.Create, file.Ref("/etc/d"), nil, provision.Attrs{"type": "dir", "mode": "0755"}),
		change(provision.Create, file.Ref("/etc/d/f"), nil, provision.Attrs{"type": "file", "mode": "0600", "uid": "0", "gid": "0", "content": "one\ntwo\n"}),
		change(provision.Delete, file.Ref("/etc/gone"), provision.Attrs{"type": "file", "mode": "0600"}, nil),
		change(provision.Update, metric, provision.Attrs{"metrics": "10,100"}, provision.Attrs{"metrics": "10"}),
	}, Unmet: unmet[1:], Conditional: unmet[:1], Notes: notes, Pending: 90 * time.Second})
	p.title("verify, all well")
	drawVerify(p, provision.Verification{Notes: notes})
	p.title("revert")
	drawResult(p, provision.Result{Writes: 1, Effects: []provision.Change{change(provision.Delete, file.Ref("/etc/new"), nil, nil)},
		Foreign: []provision.Ref{file.Ref("/etc/theirs")}, NotRestored: []provision.Ref{metric}}, "as before provision came")
	p.title("plan")
	drawTriggers(p, []provision.Trigger{{Name: "n", Do: daemon.NetworkdReload("name:eth0"), Why: "no version is known that would lose nothing, and this is a long sentence about it", Gap: "50 to 110 ms"}})
	golden(t, "testdata/outcomes.golden", p.buf.String())
}
