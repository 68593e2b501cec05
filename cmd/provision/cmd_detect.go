package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

func newDetect(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "detect",
		Short: "Say who manages each NIC and why, which route wins, and what apply would change",
		Long: `Read-only, for any user: who manages each NIC with the evidence for it, what each NIC is for, which default route wins
and why, the name servers in effect, conflicts, and what apply would change. What could not be read is named; nothing
is guessed in its place. Add -v for all the evidence, -o json for programs.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDetect(cmd.Context(), g) },
	}
}

func runDetect(ctx context.Context, g *globals) error {
	a, err := g.agent()
	if err != nil {
		return err
	}
	d, err := a.Detect(ctx)
	if err != nil {
		return err
	}
	return g.emit(d, func(p *page) { drawDetection(p, d, g.verbose) })
}

func drawDetection(p *page, d agent.Detection, verbose bool) {
	p.line("%s", machineLine(d.Report))
	p.line("configuration: %s", d.Config)
	p.title("NICs")
	rows := [][]string{{"NAME", "MANAGER", "ROLE", "STATE", "ADDRESSES", "METRIC"}}
	for _, n := range d.NICs {
		if n.Role.Role == "loopback" {
			continue
		}
		rows = append(rows, []string{n.Name, manager(n.Owner), string(n.Role.Role), state(n), strings.Join(short(n.Addresses), " "), metrics(n)})
	}
	p.rows(rows)
	for _, n := range d.NICs {
		if n.Role.Role == "loopback" {
			continue
		}
		drawEvidence(p, n, verbose)
	}
	p.title("way out")
	for i, w := range d.Winners {
		line := fmt.Sprintf("IPv%d (%s): %s", w.Family, w.Dst, orNone(w.Link))
		if w.Gateway != "" {
			line += " via " + w.Gateway
		}
		line += p.dim("  " + w.Why)
		p.line("%s", line)
		if i < len(d.After) && d.After[i].Link != w.Link {
			p.line("      %s %s: %s", p.green("after apply:"), orNone(d.After[i].Link), d.After[i].Why)
		}
	}
	if len(d.DNS.Servers) > 0 || d.DNS.Owner != "" {
		p.line("DNS: %s (%s)", strings.Join(d.DNS.Servers, " "), d.DNS.Owner)
	}
	for _, c := range d.Conflicts {
		p.line("%s %s", p.red("conflict:"), c)
	}
	p.title("apply would")
	switch {
	case len(d.Problems) > 0:
		for _, text := range d.Problems {
			p.line("%s %s", p.red("refuse:"), text)
		}
	case d.PlanOnly != "":
		p.line("refuse: %s", d.PlanOnly)
	case len(d.Changes) == 0:
		p.line("change nothing")
	}
	for _, c := range d.Changes {
		p.line("%s %s  %s", p.yellow("~"), c.Ref, p.dim(c.Why))
	}
	for _, t := range d.Triggers {
		p.line("%s %s  %s", p.yellow("!"), t.Name, p.dim(t.Why))
	}
	if len(d.Notes) > 0 || len(d.Unreadable) > 0 {
		p.title("notes")
		drawNotes(p, d.Notes)
		for _, u := range d.Unreadable {
			p.line("%s: %s: %s", p.dim("not read"), u.Source, u.Reason)
		}
	}
}

func machineLine(r backends.Report) string {
	m := r.Machine
	parts := []string{}
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	add(strings.TrimSpace(m.OS + " " + m.OSVersion))
	if m.Systemd > 0 {
		add(fmt.Sprintf("systemd %d", m.Systemd))
	} else {
		add(m.Init)
	}
	add(m.Board)
	if m.Hypervisor != "" && m.Hypervisor != "none" {
		add("on " + m.Hypervisor)
	}
	if m.Container != "" {
		add("container " + m.Container)
	}
	if m.WSL {
		add("WSL")
	}
	if m.Chroot {
		add("chroot")
	}
	if m.Cloud != "" {
		add("cloud " + m.Cloud)
	}
	if m.CNI != "" {
		add("CNI " + m.CNI)
	}
	return strings.Join(parts, ", ")
}

func manager(o backends.Ownership) string {
	s := string(o.Owner)
	if o.Renderer != "" {
		s += " (" + string(o.Renderer) + ")"
	}
	for _, r := range o.Rivals {
		s += " AND " + string(r)
	}
	return s
}

func state(n backends.NICReport) string {
	switch {
	case !n.Up:
		return "down"
	case !n.Carrier:
		return "no carrier"
	}
	return "up"
}

// short drops link-local addresses, which every link has.
func short(addrs []string) []string {
	var out []string
	for _, a := range addrs {
		if !strings.HasPrefix(a, "fe80:") {
			out = append(out, a)
		}
	}
	return out
}

// metrics are those of the default routes, and the wanted ones where they differ.
func metrics(n backends.NICReport) string {
	var out []string
	for family, want := range map[int]*uint32{4: n.Metric4, 6: n.Metric6} {
		var have []string
		for _, r := range n.Defaults {
			if r.Dst.Addr().Is4() == (family == 4) {
				have = append(have, fmt.Sprint(r.Metric))
			}
		}
		text := strings.Join(have, ",")
		if want != nil && text != fmt.Sprint(*want) {
			if text == "" {
				text = "-"
			}
			text += fmt.Sprintf(" -> %d", *want)
		}
		if text != "" {
			out = append(out, fmt.Sprintf("v%d %s", family, text))
		}
	}
	if len(out) == 2 && out[0] > out[1] {
		out[0], out[1] = out[1], out[0]
	}
	return strings.Join(out, "; ")
}

func drawEvidence(p *page, n backends.NICReport, verbose bool) {
	evidence := n.Owner.Evidence
	if !verbose && len(evidence) > 1 {
		evidence = evidence[:1]
	}
	for _, e := range evidence {
		p.line("  %s: %s %s", n.Name, e.Text, p.dim(fmt.Sprintf("(%s, %s %d)", e.Source, e.Manager, e.Weight)))
	}
	if verbose {
		for _, e := range n.Role.Evidence {
			p.line("  %s: %s because %s", n.Name, n.Role.Role, e)
		}
	}
	if n.Owner.CloudInit != "" {
		p.line("  %s: cloud-init wrote %s and rewrites it on %s", n.Name, n.Owner.CloudInit, n.Owner.Rewrites)
	}
	if n.Left != "" {
		p.line("  %s: left alone: %s", n.Name, n.Left)
	}
}
