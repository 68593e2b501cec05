package forward

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// notes tells what else on the machine has a say in the same parameters.
func (p *planner) notes(on string) {
	if on == "auto" {
		return
	}
	p.otherFiles()
	p.networkd(on == "yes")
	p.managedRA(on == "yes")
	if on == "yes" && p.KillSwitch {
		if _, docker := p.Facts.LinkByName("docker0"); docker {
			p.note("warning", "docker", "with the kill switch forwarding is off while docker starts: docker turns it on itself then and sets the policy of its FORWARD chain to drop")
		}
	}
	for _, want := range p.Loose {
		for _, l := range p.Facts.Links {
			if fits(want.Interface, l.Name) && l.Up && !p.hasIPv4(l.Index) && max(l.Sysctl["ipv4.rp_filter"], p.Facts.Sysctl["net.ipv4.conf.all.rp_filter"]) != "0" {
				p.note("warning", l.Name, "it has no IPv4 address: on such an interface the reverse path filter drops these packets even when it is loose (net/ipv4/fib_frontend.c); give it an address, or set rp-filter: off")
			}
		}
	}
}

func (p *planner) note(level, subject, text string) {
	n := provision.Note{Level: level, Subject: subject, Text: text}
	if !slices.Contains(p.d.Notes, n) {
		p.d.Notes = append(p.d.Notes, n)
	}
}

func (p *planner) hasIPv4(index int) bool {
	return slices.ContainsFunc(p.Facts.Addrs, func(a facts.Address) bool { return a.Link == index && a.Prefix.Addr().Is4() })
}

// otherFiles names files that systemd-sysctl reads after ours and that say otherwise. It sorts by
// the name alone, whatever the directory; /etc/sysctl.conf is read by procps after all of them
// (and by systemd where 99-sysctl.conf is a link to it).
func (p *planner) otherFiles() {
	want := map[string]string{}
	for _, l := range p.lines {
		want[l.key] = l.value
	}
	paths := make([]string, 0, len(p.Facts.Files))
	for f := range p.Facts.Files {
		paths = append(paths, f)
	}
	slices.Sort(paths)
	for _, f := range paths {
		if f == Path || f != "/etc/sysctl.conf" && (path.Base(path.Dir(f)) != "sysctl.d" || path.Base(f) < path.Base(Path)) {
			continue
		}
		for text := range strings.Lines(p.Facts.Files[f].Text) {
			key, value, ok := assignment(text)
			if v := want[key]; ok && v != "" && v != value && !(v != "0" && value != "0" && strings.Contains(key, "forward")) {
				p.note("warning", f, fmt.Sprintf("sets %s to %s after %s has set it to %s: at boot this file wins; remove the line", key, value, Path, v))
			}
		}
	}
}

// assignment reads a line of sysctl.d(5), its key with slashes.
func assignment(text string) (key, value string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' || text[0] == ';' {
		return "", "", false
	}
	key, value, ok = strings.Cut(strings.TrimPrefix(text, "-"), "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		// With a dot first, dots and slashes change places.
		key = strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, key)
	}
	return key, value, ok && key != ""
}

// networkd has keys of its own for the same switches (systemd.network(5), networkd.conf(5)):
// IPForward= only ever turns them on, IPv4Forwarding= and IPv6Forwarding= (version 256) also off.
func (p *planner) networkd(on bool) {
	if !p.Facts.Networkd.Running {
		return
	}
	paths := make([]string, 0, len(p.Facts.Files))
	for f := range p.Facts.Files {
		if strings.Contains(f, "/systemd/network") {
			paths = append(paths, f)
		}
	}
	slices.Sort(paths)
	for _, f := range paths {
		for text := range strings.Lines(p.Facts.Files[f].Text) {
			key, value, ok := strings.Cut(strings.TrimSpace(text), "=")
			key, value = strings.TrimSpace(key), strings.ToLower(strings.TrimSpace(value))
			if !ok || key != "IPForward" && key != "IPv4Forwarding" && key != "IPv6Forwarding" {
				continue
			}
			off := value == "no" || value == "false" || value == "0" || value == "off"
			switch {
			case on && off && key != "IPForward":
				p.note("warning", f, key+"="+value+" lets systemd-networkd turn forwarding off again: remove the line")
			case !off && (!on || p.KillSwitch):
				p.note("warning", f, key+"="+value+" lets systemd-networkd turn forwarding on by itself: remove the line")
			}
		}
	}
}

// managedRA says where router advertisements are not the kernel's, so that nobody wonders why
// nothing is set.
func (p *planner) managedRA(on bool) {
	for _, l := range p.Facts.Links {
		if on && matches(p.Uplinks, l.Name) && l.Sysctl["ipv6.accept_ra"] == "0" && p.Config.of(l.Name).AcceptRA == "" {
			p.note("info", l.Name, "accept_ra is 0: its network manager handles router advertisements itself, or nobody does; forwarding takes no route away")
		}
	}
}
