package ifupdown

import (
	"fmt"

	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// running looks at the client that serves the NIC now: it decides what can hold
// before the next boot.
func (j *job) running(c facts.DHCPClient, next string) error {
	a := abilityOf(j.f.Ifupdown.Flavour, c.Name)
	if a.refuse != "" {
		return fmt.Errorf("process %d serves it: %s", c.PID, a.refuse)
	}
	if c.Name != next {
		j.note("info", j.link, "%s serves it now (process %d), ifup would start %s", c.Name, c.PID, next)
	}
	switch {
	case a.restart:
		j.restart = true
	case !a.sticks:
		j.waits = true
		j.note("info", j.link, "the running %s (process %d) brings its old metric back at each renewal: the new one holds from the next boot on", c.Name, c.PID)
	case c.Env["IF_METRIC"] != fmt.Sprint(*j.metric4):
		j.note("info", j.link, "the running %s (process %d) was started without this metric: it leaves the moved route alone at renewals, but a lease with another address brings the old metric back until the next boot", c.Name, c.PID)
	}
	return nil
}

// liveState moves the routes that are there now.
func (j *job) liveState() {
	if j.restart {
		j.restartDhcpcd()
	} else if j.made4 {
		j.move(4, *j.metric4)
		j.missing()
	}
	j.ipv6()
}

// missing brings the default route that dhclient had no room for. It is triggered by
// the stanza's file, so it runs in both directions, and stands in lazy mode too: the
// client is not touched.
func (j *job) missing() {
	if !j.leaseRoute || len(j.files) == 0 || j.f.Machine.Offline {
		return
	}
	t := provision.Trigger{Name: "ifupdown-lease-route-" + j.link, Do: leaseroute.Add(j.selector, j.link, *j.metric4),
		Why: "beside another default route without a metric dhclient could not add its own; with a metric there is room for it"}
	for _, f := range j.files {
		t.On = append(t.On, file.Ref(f))
	}
	j.live.Triggers = append(j.live.Triggers, t)
	if running, _ := j.client(j.link); running != nil && len(j.f.Defaults(j.n.Link.Index, 4)) == 0 {
		j.note("info", j.link, "it has no IPv4 default route, though dhclient serves it: if its lease has a router, the route is added")
	}
}

func (j *job) move(family int, metric uint32) {
	if j.f.Machine.Offline {
		return
	}
	why := j.n.Why
	expect := routemetric.Expect(family, j.selector, metric, why)
	if j.waits {
		expect.Mode = provision.Report
	} else {
		j.live.Wants = append(j.live.Wants, routemetric.Move(family, j.selector, metric, why))
	}
	j.expect(expect)
}

// restartDhcpcd has the running client started again with the stanza's metric: only
// its command line counts, and it undoes whatever else moves its routes.
func (j *job) restartDhcpcd() {
	if j.f.Machine.Offline {
		return
	}
	name := "ifupdown-dhcpcd-" + j.link
	if text, ok := j.texts[dhcpcdConf]; ok && !j.n.Lazy {
		// A file that cannot be parsed has no line either that could be relied on.
		if c, err := conf.Parse(dhcpcdConf, text); err != nil || !c.Global("persistent") {
			j.n.Lazy = true
			j.note("warning", j.link, "%s has no line persistent: stopping dhcpcd would take the address away; add that line to have the metric sooner", dhcpcdConf)
		}
	}
	if j.n.Lazy {
		j.note("info", j.link, "dhcpcd keeps its metric until it is started again: the new one holds from the next boot on")
	}
	j.prune(name)
	if j.n.Lazy || j.metric4 == nil {
		return
	}
	action := daemon.DhcpcdRestart(j.selector, j.link, *j.metric4, false)
	if !j.n.AllowGap {
		action = daemon.Probe(action)
	}
	t := provision.Trigger{Name: name, Do: action,
		Why: "dhcpcd started by ifup takes a metric only from its command line; it is stopped (persistent) and started again, without losing the address"}
	for _, f := range j.files {
		t.On = append(t.On, file.Ref(f))
	}
	j.restarts = append(j.restarts, restarting{t, j.n.Link.Index, *j.metric4})
}

// prune wants what dhcpcd brings, and nothing left over beside it. via is the trigger
// that makes it do so; lazily, nobody does.
func (j *job) prune(via string) {
	if j.f.Machine.Offline {
		return
	}
	for _, family := range []int{4, 6} {
		m := map[int]*uint32{4: j.metric4, 6: j.metric6}[family]
		if m == nil {
			continue
		}
		if !j.n.Lazy {
			prune := routemetric.Prune(family, j.selector, *m, j.n.Why)
			if via != "" {
				prune.Via = []string{via}
			}
			j.live.Wants = append(j.live.Wants, prune)
		}
		j.expect(routemetric.Expect(family, j.selector, *m, j.n.Why))
	}
}
