package foreign

import (
	"github.com/provision-net/provision/provision/resource/nft"
)

// event is a place where a packet is dropped.
type event struct {
	chain string
	rule  int // from 1; 0 is the policy of the base chain
	drops Drops
}

// walker follows a packet through one table.
type walker struct {
	table  *nft.Table
	packet packet
	events []event
	// accepted says that earlier rules have let some of the packets through.
	accepted truth
	steps    int
}

// maxSteps bounds a walk: chains may call chains, 16 deep in the kernel.
const maxSteps = 200_000

// base runs a base chain from its first rule to its policy.
func (w *walker) base(c nft.Chain) {
	w.accepted, w.steps = no, 0
	if !w.chain(c, yes, 0) && c.Base.Policy == "drop" {
		w.drop(c.Name, 0, yes)
	}
}

// chain runs a chain for those packets for which on holds, and reports whether all of them have
// met their end in it.
func (w *walker) chain(c nft.Chain, on truth, depth int) (ended bool) {
	if depth > 16 {
		w.accepted = blind
		return false
	}
	for i, r := range c.Rules {
		if w.steps++; w.steps > maxSteps {
			w.accepted = blind
			return false
		}
		var regs registers
		hit, out := w.rule(r, &regs)
		if hit == no {
			continue
		}
		on := on.and(hit)
		switch out.Kind {
		case "accept":
			if hit == yes {
				w.lose(on)
				return true
			}
			w.lose(on)
		case "drop":
			w.drop(c.Name, i+1, on)
			if hit == yes {
				return true
			}
			w.lose(on)
		case "perhaps":
			w.lose(blind)
		case "jump", "goto":
			gone := false
			for _, s := range out.targets {
				cond, t := on.and(s.on), w.find(s.chain)
				if t == nil {
					continue
				}
				switch {
				case s.accept:
					w.lose(cond)
					gone = gone || s.on == yes
				case s.drop:
					w.drop(c.Name, i+1, cond)
					w.lose(cond)
					gone = gone || s.on == yes
				default:
					end := w.chain(*t, cond, depth+1)
					gone = gone || end && s.on == yes
				}
			}
			if hit == yes && gone {
				return true
			}
			if hit == yes && out.Kind == "goto" && len(out.targets) == 1 && out.targets[0].on == yes {
				return false
			}
		case "return":
			if hit == yes {
				return false
			}
		}
	}
	return false
}

// lose remembers that packets under a condition do not come to what follows. Those that all meet
// their end do not count: then nothing follows.
func (w *walker) lose(on truth) {
	if on == blind || w.accepted == blind {
		w.accepted = blind
	} else if on != no {
		w.accepted = some
	}
}

func (w *walker) drop(chain string, rule int, on truth) {
	e := event{chain: chain, rule: rule, drops: All}
	switch {
	case on == blind || w.accepted == blind:
		e.drops = Perhaps
	case on == some:
		e.drops = Some
	case w.accepted == some:
		e.drops = Most
	}
	w.events = append(w.events, e)
}

func (w *walker) find(name string) *nft.Chain {
	for i := range w.table.Chains {
		if w.table.Chains[i].Name == name {
			return &w.table.Chains[i]
		}
	}
	return &nft.Chain{} // one that cannot be seen does nothing
}
