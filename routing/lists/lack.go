package lists

import "slices"

// Lacks are the lists that rules ask for, themselves or as what is excepted, and that have no copy of what
// they are made from now, by name. Without those in open, what a rule blocks is not blocked: every other
// rule leaves packets the way that they would take without it.
func (c Config) Lacks(rules Smart, copies map[string]Copy) (names, open []string) {
	need := map[string]bool{}
	var ask func(n string)
	ask = func(n string) {
		if need[n] {
			return
		}
		need[n] = true
		for _, e := range c[n].Except {
			ask(e)
		}
	}
	blocked := map[string]bool{}
	for _, r := range rules {
		for _, n := range r.Lists {
			ask(n)
			blocked[n] = blocked[n] || r.Uplink == Block
		}
	}
	for _, n := range c.Names() {
		if cp, ok := copies[n]; !need[n] || !c[n].Fetched() || ok && cp.Spec == c[n].Spec() {
			continue
		}
		names = append(names, n)
		if blocked[n] {
			open = append(open, n)
		}
	}
	return slices.Clip(names), slices.Clip(open)
}
