package watch

import (
	"net/netip"
	"slices"
	"time"
)

// restartKubeProxy is the action that stops and removes kube-proxy's pod.
const restartKubeProxy = "restart-kube-proxy"

// presets are configurations for known places.
func presets() map[string]Config {
	yes := true
	return map[string]Config{
		// A node of Amazon's Kubernetes. Its NICs are eth1 (Amazon Linux 2), ens6 or enp0s6
		// (Nitro), enX1 (Xen); eniXXXXXXXXXXX are the host's sides of pods. VPC-CNI gives the
		// NIC with device number N the table N+1, or 10000 and up, with its gateway as a host
		// route on the link and a default route by it (pkg/networkutils/network.go,
		// setupENINetwork); the gateway is the network's first address, or fe80:ec2::1.
		// ec2-net-utils has the tables from 10000. Cilium's tables are not of NICs: 200 and 201
		// (encryption), 2004 and 2005 (proxy); they have no default route to be repaired.
		"eks": {
			Preset: "eks",
			Tables: TablesConfig{
				Repair: &yes, Interfaces: []string{"eth*", "ens*", "enp*", "enX*"}, Except: []uint32{200, 201, 2004, 2005},
				Gateway4: "first", Gateway6: "fe80:ec2::1", FixCopies: &yes,
			},
			RPFilter: RPFilterConfig{Loose: []string{"eth*", "ens*", "enp*", "enX*", "eni*"}},
			Martians: MartiansConfig{Watch: &yes},
		},
	}
}

// Preset is the configuration of that name.
func Preset(name string) (Config, bool) {
	c, ok := presets()[name]
	return c, ok
}

// Complete fills from the preset what c leaves out.
func (c Config) Complete() Config {
	p := presets()[c.Preset]
	t, pt := &c.Tables, p.Tables
	t.Repair, t.FixCopies = or(t.Repair, pt.Repair), or(t.FixCopies, pt.FixCopies)
	if t.Interfaces == nil {
		t.Interfaces = pt.Interfaces
	}
	t.Except = slices.Concat(pt.Except, t.Except)
	if t.Gateway4 == "" {
		t.Gateway4 = pt.Gateway4
	}
	if t.Gateway6 == "" {
		t.Gateway6 = pt.Gateway6
	}
	if c.RPFilter.Loose == nil {
		c.RPFilter = p.RPFilter
	}
	c.Martians.Watch = or(c.Martians.Watch, p.Martians.Watch)
	return c
}

func or(a, b *bool) *bool {
	if a != nil {
		return a
	}
	return b
}

func yes(b *bool) bool { return b != nil && *b }

// Jobs makes the jobs of a configuration without problems, but for "keep", which needs what was
// committed.
func (c Config) Jobs() []Job {
	c = c.Complete()
	var jobs []Job
	if yes(c.Tables.Repair) {
		t := &Tables{Interfaces: c.Tables.Interfaces, Except: c.Tables.Except, First4: c.Tables.Gateway4 == "first", FixCopies: yes(c.Tables.FixCopies)}
		t.Gateway6, _ = netip.ParseAddr(c.Tables.Gateway6)
		jobs = append(jobs, t)
	}
	if len(c.RPFilter.Loose) > 0 {
		jobs = append(jobs, &RPFilter{Interfaces: c.RPFilter.Loose})
	}
	if yes(c.Martians.Watch) || c.Martians.Name {
		jobs = append(jobs, &MartianJob{NameThem: c.Martians.Name})
	}
	if len(c.Proxy) > 0 {
		p := &ProxyJob{}
		for _, x := range c.Proxy {
			l := ProxyLink{Interface: x.Interface, All: x.ProxyARP}
			for _, text := range x.Addresses {
				if a, err := single(text); err == nil {
					l.Addresses = append(l.Addresses, a)
				}
			}
			p.Links = append(p.Links, l)
		}
		jobs = append(jobs, p)
	}
	for _, r := range c.Reactions {
		jobs = append(jobs, r.job())
	}
	return jobs
}

// Keeps reports whether what was committed is to be kept.
func (c Config) Keeps() bool { return c.Keep == nil || *c.Keep }

func (r ReactionEntry) job() *Reaction {
	on := r.On
	if len(on) == 0 {
		on = []string{"appear", "change"}
	}
	time := func(text string) (d time.Duration) {
		d, _ = duration(text)
		return d
	}
	j := &Reaction{
		Title: r.Name, Interfaces: r.Interfaces, AtStart: r.AtStart, Settle: time(r.Settle), Pause: time(r.Pause),
		Appear: slices.Contains(on, "appear"), Change: slices.Contains(on, "change"), Vanish: slices.Contains(on, "vanish"),
		Run: Run{Command: r.Run, Timeout: cmpDuration(time(r.Timeout), defaultTimeout)},
	}
	if r.Action == restartKubeProxy {
		crictl := []string{"crictl"}
		if r.Endpoint != "" {
			crictl = append(crictl, "--runtime-endpoint", r.Endpoint)
		}
		with := func(args ...string) []string { return slices.Concat(crictl, args) }
		j.Run.Command = nil
		j.Run.List = with("pods", "--namespace", "kube-system", "--name", "kube-proxy", "--state", "Ready", "--quiet")
		j.Run.Each = [][]string{with("stopp", "{}"), with("rmp", "{}")}
	}
	return j
}

// defaultTimeout is that of a reaction's command.
const defaultTimeout = 30 * time.Second
