package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision/facts"
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
	if m := machineLine(d.Report); m != "" {
		p.line("%s", m)
	}
	p.line("configuration: %s", d.Config)
	p.title("NICs")
	drawNICs(p, d)
	for _, n := range d.NICs {
		if n.Role.Role != facts.RoleLoopback {
			drawEvidence(p, n, verbose, said(d))
		}
	}
	if len(d.USB) > 0 {
		p.title("USB device side")
		for _, u := range d.USB {
			p.line("%s", usbLine(u))
		}
	}
	p.title("way out")
	drawWayOut(p, d)
	for _, n := range d.NICs {
		if n.Owner.Conflict() {
			p.line("%s %s is configured by %s", p.red("conflict:"), n.Name, manager(n.Owner))
		}
	}
	p.title("apply would")
	switch {
	case len(d.Problems) > 0:
		for _, text := range d.Problems {
			p.line("%s %s", p.red("refuse:"), text)
		}
	case d.PlanOnly != "" && !d.Machine.Offline:
		p.line("refuse: %s", d.PlanOnly)
	case len(d.Changes) == 0:
		p.line("change nothing")
	}
	for _, c := range d.Changes {
		p.line("%s %s", p.yellow("~"), p.ref(c.Ref))
		p.line("    %s", p.dim(c.Why))
	}
	drawTriggers(p, d.Triggers)
	if len(d.Notes) > 0 || len(d.Unreadable) > 0 {
		p.title("notes")
		drawNotes(p, d.Notes)
		for _, u := range d.Unreadable {
			p.line("%s: %s: %s", p.dim("not read"), u.Source, u.Reason)
		}
	}
}

// drawNICs is the table of NICs; further addresses stand below the first.
func drawNICs(p *page, d agent.Detection) {
	rows := [][]string{{"NAME", "MANAGER", "ROLE", "STATE", "IPV4 METRIC", "IPV6 METRIC", "ADDRESSES"}}
	for _, n := range d.NICs {
		if n.Role.Role == facts.RoleLoopback {
			continue
		}
		addrs := append(short(n.Addresses), "")
		up := state(n)
		if d.Machine.Offline {
			up = "-"
		}
		rows = append(rows, []string{n.Name, manager(n.Owner), string(n.Role.Role), up, metric(n, 4), metric(n, 6), addrs[0]})
		for i := 1; i < len(addrs)-1; i++ {
			rows = append(rows, []string{"", "", "", "", "", "", addrs[i]})
		}
	}
	if len(rows) > 1 {
		p.rows(rows)
		return
	}
	if d.Machine.Offline {
		p.line("none can be seen in a mounted image; those that the configuration calls by name are planned for")
		return
	}
	p.line("none")
}

// said are the texts of notes: what they say of all NICs is not repeated for each.
func said(d agent.Detection) map[string]bool {
	out := map[string]bool{}
	for _, n := range d.Notes {
		out[n.Text] = true
	}
	return out
}

func drawWayOut(p *page, d agent.Detection) {
	for i, w := range d.Winners {
		line := fmt.Sprintf("IPv%d (%s): %s", w.Family, w.Dst, orNone(w.Link))
		if w.Gateway != "" {
			line += " via " + w.Gateway
		}
		p.line("%s %s", line, p.dim("("+w.Why+")"))
		if i < len(d.After) && d.After[i].Link != w.Link {
			p.line("    %s %s %s", p.green("after apply:"), orNone(d.After[i].Link), p.dim("("+d.After[i].Why+")"))
		}
	}
	if len(d.DNS.Servers) > 0 {
		by := ""
		if d.DNS.Owner != "" {
			by = " (" + d.DNS.Owner + ")"
		}
		p.line("DNS: %s%s", strings.Join(d.DNS.Servers, " "), by)
	}
}

// usbLine says in one line what a controller does.
func usbLine(u backends.USBReport) string {
	line := u.Name
	if u.Driver != "" {
		line += " (" + u.Driver + ")"
	}
	line += ": " + orNone(u.State)
	switch {
	case u.Function == "":
		return line + ", free"
	case u.Legacy:
		line += ", held by the module " + u.Function
	default:
		line += ", held by the gadget " + u.Function
	}
	if len(u.Functions) > 0 {
		line += " (" + strings.Join(u.Functions, " ") + ")"
	}
	if len(u.NICs) > 0 {
		line += ", NIC " + strings.Join(u.NICs, " ")
	}
	return line
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
	} else if m.Init != "other" {
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
		s += " and " + string(r)
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

// metric is that of the default routes of one family, and the wanted one where it
// differs.
func metric(n backends.NICReport, family int) string {
	var have []string
	for _, r := range n.Defaults {
		if r.Dst.Addr().Is4() == (family == 4) {
			have = append(have, fmt.Sprint(r.Metric))
		}
	}
	text := strings.Join(have, ",")
	want := n.Metric4
	if family == 6 {
		want = n.Metric6
	}
	if want != nil && text != fmt.Sprint(*want) {
		if text == "" {
			text = "-"
		}
		text += fmt.Sprintf(" -> %d", *want)
	}
	return text
}

// drawEvidence says by what the manager was recognised; all of it when verbose, with
// what proves nothing.
func drawEvidence(p *page, n backends.NICReport, verbose bool, said map[string]bool) {
	for i, e := range n.Owner.Evidence {
		switch {
		case verbose && e.Source == "":
			p.line("  %s: %s: %s %s", n.Name, e.Manager, e.Text, p.dim(fmt.Sprintf("(weight %d)", e.Weight)))
		case verbose:
			p.line("  %s: %s: %s %s", n.Name, e.Manager, e.Text, p.dim(fmt.Sprintf("(%s, weight %d)", e.Source, e.Weight)))
		case e.Manager == n.Owner.Owner && i == firstOf(n.Owner), e.Weight >= backends.WeightLive && e.Manager != n.Owner.Owner:
			p.line("  %s: %s %s", n.Name, e.Text, p.dim("("+e.Source+")"))
		}
	}
	if verbose {
		for _, e := range n.Role.Evidence {
			p.line("  %s: %s because: %s", n.Name, n.Role.Role, e)
		}
	}
	switch file := n.Owner.CloudInit; {
	case file == "":
	case n.Owner.Rewrites == "never":
		p.line("  %s: cloud-init wrote %s and does not write it again", n.Name, file)
	default:
		p.line("  %s: cloud-init wrote %s and writes it anew at every %s", n.Name, file, strings.TrimPrefix(n.Owner.Rewrites, "every "))
	}
	if n.Left != "" && (verbose || !said[n.Left] && !said["left alone: "+n.Left]) {
		p.line("  %s: left alone: %s", n.Name, n.Left)
	}
}

// firstOf is the place of the heaviest evidence for the owner, -1 where all that
// there is proves nothing.
func firstOf(o backends.Ownership) int {
	for i, e := range o.Evidence {
		if e.Manager == o.Owner && e.Weight > backends.WeightInstalled {
			return i
		}
	}
	return -1
}
