package main

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/nft"
)

// drawEffects lists what was done, in order.
func drawEffects(p *page, r provision.Result) {
	for _, c := range r.Effects {
		p.line("%s %s", mark(p, c.Op), p.ref(c.Ref))
	}
	for _, t := range r.Triggers {
		p.line("%s %s", p.yellow("!"), t)
	}
}

// tableText is a table in nft's own syntax.
func tableText(attr string) string {
	if attr == "" {
		return ""
	}
	t, err := nft.Parse(attr)
	if err != nil {
		return attr
	}
	return nft.Text(t)
}

func mark(p *page, op provision.Op) painted {
	switch op {
	case provision.Create:
		return p.green("+")
	case provision.Delete:
		return p.red("-")
	}
	return p.yellow("~")
}

// drawChange shows one difference, attribute by attribute; file contents as lines. What
// a new file of root's always has, and our own memory, is not worth a line.
func drawChange(p *page, c provision.Change) {
	created := c.Op == provision.Create && (c.Ref.Kind == file.Kind || c.Ref.Kind == file.SecretKind)
	note := painted("")
	switch {
	case c.Pruned:
		note = p.dim("  (nobody wants it any more)")
	case created && c.Want[file.AttrType] == file.TypeDir:
		note = p.dim("  (folder)")
	case created && c.Want[file.AttrMode] != "":
		note = p.dim("  (mode " + c.Want[file.AttrMode] + ")")
	}
	p.line("%s %s%s", mark(p, c.Op), p.ref(c.Ref), note)
	if c.Why != "" {
		p.line("    %s", p.dim(c.Why))
	}
	if c.Ref.Name == backends.MemoryPath || created && c.Want[file.AttrType] == file.TypeDir {
		return
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
		usual := k == file.AttrType || k == file.AttrMode || (k == file.AttrUID || k == file.AttrGID) && want == "0"
		if had && wanted && have == want || created && usual {
			continue
		}
		if c.Ref.Kind == nft.Kind {
			have, want = tableText(have), tableText(want)
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
		drawTriggers(p, v.Plan.Triggers)
	}
	drawForecast(p, v)
	if lines := v.SSH.Lines(); len(lines) > 0 {
		p.title("ssh sessions")
		for _, l := range lines {
			p.line("%s", l)
		}
	}
	if v.Plan.Empty() { // otherwise it is what the changes are for
		drawUnmet(p, "does not hold now", v.Plan.Unmet)
	}
	if len(v.Plan.Notes) > 0 {
		p.title("notes")
		drawNotes(p, v.Plan.Notes)
	}
}

// drawTriggers says what is done once the changes are made, and why that way.
func drawTriggers(p *page, triggers []provision.Trigger) {
	for _, t := range triggers {
		p.line("%s %s", p.yellow("!"), actionText(t.Do, p.device))
		if t.Why != "" {
			p.line("    %s", p.dim(t.Why))
		}
		if t.Gap != "" {
			p.line("    %s %s", p.yellow("expected gap:"), t.Gap)
		}
	}
}

// drawForecast shows the default routes now and after, and who wins when.
func drawForecast(p *page, v agent.Preview) {
	p.title("default routes")
	p.rows(routeRows(v))
	for i, w := range v.Winners {
		line := fmt.Sprintf("%s leaves by %s", w.Dst, orNone(w.Link))
		if w.Link == "" {
			line = w.Dst + " has no way out"
		}
		why := w.Why
		if i < len(v.After) {
			why = v.After[i].Why
			if v.After[i].Link != w.Link {
				line += ", then by " + orNone(v.After[i].Link)
			}
			if i < len(v.AfterBoot) && v.AfterBoot[i].Link != v.After[i].Link {
				line += ", after the next boot by " + orNone(v.AfterBoot[i].Link)
				why = v.AfterBoot[i].Why
			}
		}
		p.line("%s %s", line, p.dim("("+why+")"))
	}
}

func orNone(link string) string {
	if link == "" {
		return "nothing"
	}
	return link
}

// routeRows are the default routes, one line each, with their metrics now and after.
func routeRows(v agent.Preview) [][]string {
	type way struct{ family, link, gateway string }
	var order []way
	metrics := map[way]*[2][]string{}
	for i, routes := range [][]facts.Route{v.Routes, v.Predicted} {
		for _, r := range byMetric(routes) {
			hops := r.Hops
			if len(hops) == 0 {
				hops = []facts.Hop{{Gateway: r.Gateway, Link: r.Link}}
			}
			for _, h := range hops {
				w := way{"IPv4", v.LinkName(h.Link), "on the link"}
				if r.Dst.Addr().Is6() {
					w.family = "IPv6"
				}
				if h.Gateway.IsValid() {
					w.gateway = h.Gateway.String()
				}
				if metrics[w] == nil {
					order, metrics[w] = append(order, w), &[2][]string{}
				}
				metrics[w][i] = append(metrics[w][i], fmt.Sprint(r.Metric))
			}
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return order[i].family < order[j].family })
	rows := [][]string{{"", "NIC", "GATEWAY", "METRIC NOW", "AFTER"}}
	for _, w := range order {
		row := []string{w.family, w.link, w.gateway}
		for _, m := range metrics[w] {
			text := strings.Join(m, ",")
			if text == "" {
				text = "-"
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	if len(rows) == 1 {
		return [][]string{{"none"}}
	}
	return rows
}

func byMetric(routes []facts.Route) []facts.Route {
	routes = slices.Clone(routes)
	sort.SliceStable(routes, func(i, j int) bool {
		a, b := routes[i], routes[j]
		return cmp.Or(cmp.Compare(a.Dst.Addr().BitLen(), b.Dst.Addr().BitLen()), cmp.Compare(a.Metric, b.Metric)) < 0
	})
	return routes
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
		p.line("%s: %s, wanted %s", p.ref(u.Ref), have, attrText(u.Want))
		if u.Why != "" {
			p.line("    %s", p.dim(u.Why))
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
	notes := o.Result.Notes
	if o.Result.Writes == 0 {
		notes = warnings(notes)
	}
	drawNotes(p, notes)
}

// warnings leaves out what has been said when something was done.
func warnings(notes []provision.Note) []provision.Note {
	return slices.DeleteFunc(slices.Clone(notes), func(n provision.Note) bool { return n.Level != "warning" })
}

func drawVerify(p *page, v provision.Verification) {
	if v.OK() {
		p.line("%s", p.green("the machine is as it should be"))
		v.Notes = warnings(v.Notes)
	}
	if len(v.Drift) > 0 {
		p.title("drifted")
		for _, c := range v.Drift {
			drawChange(p, c)
		}
	}
	drawUnmet(p, "does not hold", v.Unmet)
	drawUnmet(p, "not there yet, and not counted as drift", v.Conditional)
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
