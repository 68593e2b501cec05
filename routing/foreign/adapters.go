package foreign

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/dockeruser"
	"github.com/provision-net/provision/provision/resource/firewalld"
	"github.com/provision-net/provision/provision/resource/ufw"
)

// Adapters are the foreign firewalls that are told what our policy lets through, each by its own
// extension point: docker, ufw, firewalld, or auto for those that are there. Empty is none.
type Adapters []string

// Problem is something wrong with the configuration.
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Problems lists everything that is wrong; path is that of the list.
func (a Adapters) Problems(path string) []Problem {
	var out []Problem
	for i, name := range a {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !slices.Contains([]string{"docker", "ufw", "firewalld", "auto"}, name):
			out = append(out, Problem{at, fmt.Sprintf("%q is no adapter: want docker, ufw, firewalld or auto", name)})
		case slices.Contains(a[:i], name):
			out = append(out, Problem{at, name + " is there twice"})
		case name == "auto" && len(a) > 1:
			out = append(out, Problem{at, "auto stands alone: it means every one that is there"})
		}
	}
	return out
}

// Plan makes the wants of the adapters that are asked for. They depend on the flows and on what
// is installed, never on what is dropped at present: an adapter whose work shows is still needed.
func (a Adapters) Plan(s Seen, flows []Flow) provision.Desired {
	var d provision.Desired
	there := map[string]Product{}
	for _, p := range Detect(s) {
		there[p.Name] = p
	}
	for _, name := range []string{"docker", "ufw", "firewalld"} {
		p, found := there[name]
		auto := slices.Contains(a, "auto")
		switch {
		case !auto && !slices.Contains(a, name):
			continue
		case auto && (!found || p.State == Installed && name != "ufw"):
			continue
		case !found || name == "firewalld" && p.State == Installed:
			d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "routing.adapters", Text: name + " is asked for and is not running here: nothing was told to it"})
			continue
		}
		switch name {
		case "docker":
			d.Append(docker(s, p, flows))
		case "ufw":
			d.Append(ufwRules(flows))
		case "firewalld":
			d.Append(zones(flows))
		}
	}
	return d
}

// docker lets pairs of devices through. What docker publishes itself needs nothing.
func docker(s Seen, p Product, flows []Flow) provision.Desired {
	var d provision.Desired
	note := func(text string) {
		d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "routing.adapters: docker", Text: text})
	}
	if p.Backend == byLegacy {
		note("docker uses the old x_tables, which are not written to; let update-alternatives --config iptables choose iptables-nft and restart docker")
		return d
	}
	for _, f := range []struct {
		family int
		name   string
	}{{4, "ip"}, {6, "ip6"}} {
		if !hasChain(s, f.name, "DOCKER-USER") {
			continue // docker with its nftables backend drops nothing of ours
		}
		var pairs []dockeruser.Pair
		for _, l := range flows {
			pair := dockeruser.Pair{In: l.In, Out: l.Out, Published: l.Published}
			if !l.Published && l.Port != 0 && (l.Proto == "tcp" || l.Proto == "udp") {
				pair.Proto, pair.Port = l.Proto, l.Port
			}
			if l.hook() != "forward" || !slices.Contains(l.families(), f.family) || slices.Contains(pairs, pair) {
				continue
			}
			if dockeruser.Check(l.In) != nil || dockeruser.Check(l.Out) != nil {
				note(fmt.Sprintf("%s to %s cannot be written as a rule of iptables", l.In, l.Out))
				continue
			}
			pairs = append(pairs, pair)
		}
		if len(pairs) > 0 {
			d.Wants = append(d.Wants, dockeruser.Want(f.name, pairs, "routing.adapters: docker's policy for forwarded packets is drop"))
		}
	}
	return d
}

func ufwRules(flows []Flow) provision.Desired {
	var d provision.Desired
	var rules []ufw.Rule
	for _, l := range flows {
		if l.hook() == "output" {
			continue // accepted by default; who has changed that has a reason
		}
		r := ufw.Rule{In: l.In, Out: l.Out}
		if l.Port != 0 && (l.Proto == "tcp" || l.Proto == "udp") {
			r.Proto, r.Port = l.Proto, l.Port
		}
		if err := r.Check(); err != nil {
			d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "routing.adapters: ufw", Text: err.Error()})
			continue
		}
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	// A rule for every port makes those for single ports of the same devices superfluous.
	rules = slices.DeleteFunc(rules, func(r ufw.Rule) bool {
		return r.Port != 0 && slices.Contains(rules, ufw.Rule{In: r.In, Out: r.Out})
	})
	if len(rules) > 0 {
		d.Wants = append(d.Wants, ufw.Want(rules, "routing.adapters: ufw denies what it is not told"))
	}
	return d
}

// trusted lists the devices that go into the zone which accepts everything: those from which our
// policy lets everything through to others, or to this machine. A device with single ports open,
// as that to the outside, stays where it is.
func trusted(flows []Flow) []string {
	var out []string
	for _, l := range flows {
		if l.hook() != "output" && l.Port == 0 && !l.Published && l.Proto != "icmp" && l.Proto != "icmpv6" && !slices.Contains(out, l.In) {
			out = append(out, l.In)
		}
	}
	return out
}

func zones(flows []Flow) provision.Desired {
	var d provision.Desired
	in := trusted(flows)
	for _, dev := range in {
		if base, ok := strings.CutSuffix(dev, "*"); ok {
			dev = base + "+"
		}
		if err := firewalld.Check(dev); err != nil {
			d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "routing.adapters: firewalld", Text: err.Error()})
			continue
		}
		d.Wants = append(d.Wants, firewalld.Want(dev, firewalld.Trusted, "routing.adapters: firewalld rejects what comes from a device of its default zone"))
	}
	inward := slices.DeleteFunc(slices.Clone(flows), func(l Flow) bool { return l.hook() == "output" }) // accepted by default
	if left := firewalldCommands(inward, in); len(left) > 0 {
		d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: "routing.adapters: firewalld",
			Text: "single ports of other devices are left to you: " + strings.Join(left, "; ")})
	}
	return d
}
