package nft

// chainPlan is what becomes of one chain's rules.
type chainPlan struct {
	name   string
	flush  bool     // all rules go
	gone   []uint64 // handles of rules that go
	fresh  []fresh  // rules that come, in order
	chain  *Chain   // that is wanted, nil: none
	before []uint64 // for each fresh rule the one that it goes before, 0: at the end
}

type fresh struct {
	n    int // place in the chain
	rule *Rule
}

// most pairs of rules that are compared to find what a chain keeps; beyond that only what is
// the same at its beginning and its end stays.
const most = 4 << 20

// rules plans all chains, those that go first.
func (d *difference) rules() []*chainPlan {
	var out []*chainPlan
	for i := range d.have.Chains {
		c := &d.have.Chains[i]
		if d.newChains[c.Name] == nil {
			out = append(out, &chainPlan{name: c.Name, flush: len(c.Rules) > 0})
		}
	}
	for i := range d.want.Chains {
		out = append(out, d.chainRules(&d.want.Chains[i]))
	}
	return out
}

func (d *difference) chainRules(w *Chain) *chainPlan {
	p := &chainPlan{name: w.Name, chain: w}
	o := d.oldChains[w.Name]
	if o == nil || d.chains[w.Name] {
		p.flush = o != nil && len(o.Rules) > 0
		for i := range w.Rules {
			p.put(i, &w.Rules[i], 0)
		}
		return p
	}
	have, want := d.keys(o.Rules), d.keys(w.Rules)
	kept := common(have, want)
	keptHave := make([]bool, len(have))
	for _, h := range kept {
		if h >= 0 {
			keptHave[h] = true
		}
	}
	for i := range o.Rules {
		if !keptHave[i] {
			p.gone = append(p.gone, o.Rules[i].Handle)
		}
	}
	next := make([]uint64, len(want)+1) // handle of the next rule that stays
	for i := len(want) - 1; i >= 0; i-- {
		next[i] = next[i+1]
		if h := kept[i]; h >= 0 {
			next[i] = o.Rules[h].Handle
		}
	}
	for i := range w.Rules {
		if kept[i] < 0 {
			p.put(i, &w.Rules[i], next[i+1])
		}
	}
	if len(p.gone) == len(o.Rules) && len(p.gone) > 1 {
		p.gone, p.flush = nil, true
	}
	return p
}

func (p *chainPlan) put(n int, r *Rule, before uint64) {
	p.fresh = append(p.fresh, fresh{n, r})
	p.before = append(p.before, before)
}

// keys are texts that are equal where rules are. A rule that has to be made anew equals none.
func (d *difference) keys(rules []Rule) []string {
	out := make([]string, len(rules))
	var w encoder
	for i := range rules {
		if d.tied(rules[i].Exprs) {
			continue
		}
		w.b = w.b[:0]
		w.exprs(rules[i].Exprs)
		out[i] = rules[i].Comment + "\x00" + string(w.b)
	}
	return out
}

// common finds, for each rule of want, the rule of have that it is, or -1: a longest common
// subsequence, so that a new rule in the middle moves no other.
func common(have, want []string) []int {
	kept := make([]int, len(want))
	for i := range kept {
		kept[i] = -1
	}
	same := func(h, w int) bool { return have[h] != "" && have[h] == want[w] }
	lo := 0
	for lo < len(have) && lo < len(want) && same(lo, lo) {
		kept[lo] = lo
		lo++
	}
	hi := 0
	for hi < len(have)-lo && hi < len(want)-lo && same(len(have)-1-hi, len(want)-1-hi) {
		hi++
		kept[len(want)-hi] = len(have) - hi
	}
	h, w := len(have)-lo-hi, len(want)-lo-hi
	if h == 0 || w == 0 || h*w > most {
		return kept
	}
	// length[i][j]: of the longest one of have[lo+i:] and want[lo+j:], in the middle part.
	length := make([]uint16, (h+1)*(w+1))
	for i := h - 1; i >= 0; i-- {
		for j := w - 1; j >= 0; j-- {
			at := i*(w+1) + j
			if same(lo+i, lo+j) {
				length[at] = length[at+w+2] + 1
			} else {
				length[at] = max(length[at+w+1], length[at+1])
			}
		}
	}
	for i, j := 0, 0; i < h && j < w; {
		at := i*(w+1) + j
		switch {
		case same(lo+i, lo+j):
			kept[lo+j] = lo + i
			i, j = i+1, j+1
		case length[at+w+1] >= length[at+1]:
			i++
		default:
			j++
		}
	}
	return kept
}

func (p *chainPlan) remove(d *difference) {
	if p.flush {
		d.c.deleteRule(p.name, 0)
	}
	for _, h := range p.gone {
		d.c.deleteRule(p.name, h)
	}
}

func (p *chainPlan) add(d *difference) error {
	for i, f := range p.fresh {
		if err := d.c.newRule(p.name, f.n, f.rule, p.before[i], d.ids); err != nil {
			return err
		}
	}
	return nil
}

// roughSize is about how many bytes the messages of the fresh rules have.
func roughSize(plans []*chainPlan) (n int) {
	for _, p := range plans {
		for _, f := range p.fresh {
			n += 144 + 60*len(f.rule.Exprs)
		}
	}
	return n
}
