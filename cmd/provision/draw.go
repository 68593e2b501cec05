package main

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// drawEffects lists what was done, in order.
func drawEffects(p *page, r provision.Result) {
	for _, c := range r.Effects {
		p.line("%s %s", mark(p, c.Op), c.Ref)
	}
	for _, t := range r.Triggers {
		p.line("%s %s", p.yellow("!"), t)
	}
}

func mark(p *page, op provision.Op) string {
	switch op {
	case provision.Create:
		return p.green("+")
	case provision.Delete:
		return p.red("-")
	}
	return p.yellow("~")
}

// drawChange shows one difference, attribute by attribute; file contents as lines.
func drawChange(p *page, c provision.Change) {
	note := ""
	if c.Pruned {
		note = p.dim("  (nobody wants it any more)")
	}
	p.line("%s %s%s", mark(p, c.Op), c.Ref, note)
	if c.Why != "" {
		p.line("    %s", p.dim("because "+c.Why))
	}
	keys := map[string]bool{}
	for k := range c.Want {
		keys[k] = true
	}
	if c.Want == nil {
		for k := range c.Have {
			keys[k] = true
		}
	}
	names := make([]string, 0, len(keys))
	for k := range keys {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		have, had := c.Have[k]
		want, wanted := c.Want[k]
		if had && wanted && have == want {
			continue
		}
		if strings.Contains(have+want, "\n") {
			drawLines(p, have, want)
			continue
		}
		switch {
		case !had || c.Have == nil:
			p.line("    %s %s: %s", p.green("+"), k, want)
		case !wanted || c.Want == nil:
			p.line("    %s %s: %s", p.red("-"), k, have)
		default:
			p.line("    %s %s: %s -> %s", p.yellow("~"), k, have, want)
		}
	}
}

// drawLines shows the lines that differ between two texts, with one line around.
func drawLines(p *page, have, want string) {
	a, b := splitLines(have), splitLines(want)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	if head > 0 {
		p.line("      %s", p.dim(a[head-1]))
	}
	for _, l := range a[head : len(a)-tail] {
		p.line("    %s %s", p.red("-"), l)
	}
	for _, l := range b[head : len(b)-tail] {
		p.line("    %s %s", p.green("+"), l)
	}
	if tail > 0 {
		p.line("      %s", p.dim(a[len(a)-tail]))
	}
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

func drawNotes(p *page, notes []provision.Note) {
	for _, n := range notes {
		level := p.dim("note")
		if n.Level == "warning" {
			level = p.yellow("warning")
		}
		p.line("%s: %s: %s", level, n.Subject, n.Text)
	}
}

func drawPreview(p *page, v agent.Preview) {
	p.line("configuration: %s", v.Config)
	if v.Plan.Empty() {
		p.line("%s", p.green("nothing to do: the machine is as it should be"))
	} else {
		p.title("changes")
		for _, c := range v.Plan.Changes {
			drawChange(p, c)
		}
	}
	if len(v.Plan.Triggers) > 0 {
		p.title("then")
		for _, t := range v.Plan.Triggers {
			p.line("%s %s", p.yellow("!"), t.Name)
			p.line("    %s", p.dim(t.Why))
			if t.Gap != "" {
				p.line("    %s %s", p.yellow("expected gap:"), t.Gap)
			}
		}
	}
	drawForecast(p, v)
	if lines := v.SSH.Lines(); len(lines) > 0 {
		p.title("ssh sessions")
		for _, l := range lines {
			p.line("%s", l)
		}
	}
	drawUnmet(p, "does not hold now", v.Plan.Unmet)
	if len(v.Plan.Notes) > 0 {
		p.title("notes")
		drawNotes(p, v.Plan.Notes)
	}
}

// drawForecast shows the default routes now and after, and who wins when.
func drawForecast(p *page, v agent.Preview) {
	p.title("default routes")
	rows := [][]string{{"", "now", "after"}}
	now, after := routeLines(v, v.Routes), routeLines(v, v.Predicted)
	for i := 0; i < max(len(now), len(after)); i++ {
		row := []string{"", "", ""}
		if i < len(now) {
			row[1] = now[i]
		}
		if i < len(after) {
			row[2] = after[i]
		}
		rows = append(rows, row)
	}
	p.rows(rows)
	for i, w := range v.Winners {
		line := fmt.Sprintf("%s leaves by %s", w.Dst, orNone(w.Link))
		if i < len(v.After) && v.After[i].Link != w.Link {
			line += ", then by " + orNone(v.After[i].Link)
		}
		if i < len(v.AfterBoot) && i < len(v.After) && v.AfterBoot[i].Link != v.After[i].Link {
			line += ", after the next boot by " + orNone(v.AfterBoot[i].Link)
		}
		why := w.Why
		if i < len(v.After) {
			why = v.After[i].Why
		}
		p.line("%s %s", line, p.dim("("+why+")"))
	}
}

func orNone(link string) string {
	if link == "" {
		return "nothing (no route)"
	}
	return link
}

// routeLines are default routes by family and metric, as ip-route(8) names them.
func routeLines(v agent.Preview, routes []facts.Route) []string {
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b facts.Route) int {
		return cmp.Or(cmp.Compare(a.Dst.Addr().BitLen(), b.Dst.Addr().BitLen()), cmp.Compare(a.Metric, b.Metric))
	})
	var out []string
	for _, r := range routes {
		family := "IPv4"
		if r.Dst.Addr().Is6() {
			family = "IPv6"
		}
		hops := r.Hops
		if len(hops) == 0 {
			hops = []facts.Hop{{Gateway: r.Gateway, Link: r.Link}}
		}
		for _, h := range hops {
			via := ""
			if h.Gateway.IsValid() {
				via = " via " + h.Gateway.String()
			}
			out = append(out, fmt.Sprintf("%s dev %s%s metric %d", family, v.LinkName(h.Link), via, r.Metric))
		}
	}
	return out
}

func drawUnmet(p *page, title string, unmet []provision.Unmet) {
	if len(unmet) == 0 {
		return
	}
	p.title(title)
	for _, u := range unmet {
		have := attrText(u.Have)
		if u.Have == nil {
			have = "absent"
		}
		p.line("%s: %s, wanted %s", u.Ref, have, attrText(u.Want))
		if u.Why != "" {
			p.line("    %s", p.dim("because "+u.Why))
		}
	}
}

func attrText(a provision.Attrs) string {
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = k + "=" + a[k]
	}
	return strings.Join(parts, " ")
}

func drawOutcome(p *page, o agent.Outcome) {
	drawEffects(p, o.Result)
	switch {
	case o.Result.Writes == 0:
		p.line("%s (%s)", p.green("nothing to do: the machine is as it should be"), o.Took.Round(time.Millisecond))
	default:
		p.line("%s (%s, %s)", p.green("done and verified"), count(o.Result.Writes, "write"), o.Took.Round(time.Millisecond))
	}
	if o.Confirm > 0 && o.Result.Writes > 0 {
		p.line("%s", p.yellow(fmt.Sprintf("goes back unless 'provision confirm' comes within %s", o.Confirm)))
	}
	drawUnmet(p, "not there yet, and not counted as failure", o.Result.Unmet)
	drawNotes(p, o.Result.Notes)
}

func drawVerify(p *page, v provision.Verification) {
	if v.OK() {
		p.line("%s", p.green("the machine is as it should be"))
	}
	if len(v.Drift) > 0 {
		p.title("drifted")
		for _, c := range v.Drift {
			drawChange(p, c)
		}
	}
	drawUnmet(p, "does not hold", v.Unmet)
	drawUnmet(p, "conditional", v.Conditional)
	drawNotes(p, v.Notes)
	if v.Pending > 0 {
		p.line("%s", p.yellow(fmt.Sprintf("an apply waits for 'provision confirm' for another %s", v.Pending.Round(time.Second))))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
