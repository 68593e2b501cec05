package foreign

import (
	"bytes"

	"github.com/provision-net/provision/provision/resource/nft"
)

// outcome is what a rule does with packets that it matches.
type outcome struct {
	// Kind: accept, drop, jump, goto, return, "perhaps" for what cannot be read, "" to go on.
	Kind    string
	targets []step
}

// step is a chain to go to, or an end, under a condition.
type step struct {
	on           truth
	chain        string
	accept, drop bool
}

// rule runs the expressions of a rule until one does not match.
func (w *walker) rule(r nft.Rule, regs *registers) (truth, outcome) {
	hit := yes
	for _, e := range r.Exprs {
		t, out := w.expr(e, regs)
		if hit = hit.and(t); hit == no {
			return no, outcome{}
		}
		if out.Kind != "" && out.Kind != "continue" {
			return hit, out
		}
	}
	return hit, outcome{}
}

func (w *walker) expr(e nft.Expr, regs *registers) (truth, outcome) {
	p := w.packet
	switch {
	case e.Meta != nil:
		if !e.Meta.Set {
			regs.put(e.Meta.Reg, p.meta(e.Meta.Key))
		}
	case e.Payload != nil:
		regs.put(e.Payload.Reg, p.payload(*e.Payload))
	case e.Ct != nil:
		if !e.Ct.Set {
			regs.put(e.Ct.Reg, p.ct(*e.Ct))
		}
	case e.Fib != nil:
		regs.put(e.Fib.Reg, p.fib(*e.Fib))
	case e.Rt != nil:
		regs.put(e.Rt.Reg, unknown(16))
	case e.Exthdr != nil:
		if e.Exthdr.Set {
			break
		}
		if e.Exthdr.Present && e.Exthdr.Op != "tcpopt" {
			regs.put(e.Exthdr.Reg, exactly([]byte{0})) // plain packets have no extension headers
		} else if e.Exthdr.Op == "ipv6" {
			return no, outcome{} // a header that is not there does not match
		} else {
			regs.put(e.Exthdr.Reg, unknown(int(e.Exthdr.Len)))
		}
	case e.Immediate != nil:
		regs.put(e.Immediate.Reg, exactly(e.Immediate.Data))
	case e.Bitwise != nil:
		regs.bitwise(*e.Bitwise)
	case e.Byteorder != nil:
		regs.byteorder(*e.Byteorder)
	case e.Cmp != nil:
		return regs.get(e.Cmp.Reg, len(e.Cmp.Data)).compare(e.Cmp.Op, e.Cmp.Data), outcome{}
	case e.Range != nil:
		v := regs.get(e.Range.Reg, len(e.Range.From))
		t := v.compare(">=", e.Range.From).and(v.compare("<=", e.Range.To))
		if e.Range.Op == "!=" {
			t = t.not()
		}
		return t, outcome{}
	case e.Lookup != nil:
		return w.lookup(*e.Lookup, regs)
	case e.Limit != nil, e.DynSet != nil:
		return some, outcome{}
	case e.Verdict != nil:
		return yes, verdict(*e.Verdict, yes)
	case e.Reject != nil:
		return yes, outcome{Kind: "drop"}
	case e.Unknown != nil:
		return w.unknown(*e.Unknown)
	}
	return yes, outcome{}
}

// unknown reads what iptables-nft puts into rules, and takes the rest for a match that cannot be read.
func (w *walker) unknown(u nft.Unknown) (truth, outcome) {
	x, ok := readExtension(u.Data)
	switch {
	case ok && u.Name == "match":
		return w.packet.match(x), outcome{}
	case ok && u.Name == "target":
		kind, read := target(x)
		if !read {
			kind = "perhaps"
		}
		return yes, outcome{Kind: kind}
	case u.Name == "queue", u.Name == "tproxy", u.Name == "synproxy", u.Name == "fwd":
		return yes, outcome{Kind: "perhaps"}
	case u.Name == "connlimit", u.Name == "quota", u.Name == "last", u.Name == "osf", u.Name == "numgen", u.Name == "hash", u.Name == "socket":
		return some, outcome{}
	case u.Name == "dup", u.Name == "flow_offload", u.Name == "objref", u.Name == "notrack", u.Name == "secmark":
		return yes, outcome{}
	}
	return blind, outcome{}
}

func verdict(v nft.Verdict, on truth) outcome {
	s := step{on: on, chain: v.Chain}
	switch v.Kind {
	case "jump", "goto":
		return outcome{Kind: v.Kind, targets: []step{s}}
	}
	return outcome{Kind: v.Kind}
}

// lookup looks into a set or map, with as much of the key as is known.
func (w *walker) lookup(l nft.Lookup, regs *registers) (truth, outcome) {
	var set *nft.Set
	for i := range w.table.Sets {
		if w.table.Sets[i].Name == l.Set {
			set = &w.table.Sets[i]
		}
	}
	if set == nil || set.SHA256 != "" && len(set.Elements) < set.Count {
		return blind, outcome{}
	}
	hit := no
	var out outcome
	for _, e := range set.Elements {
		t := yes
		if len(e.Key) > 0 {
			t = in(regs.get(l.Reg, len(e.Key)), e)
		} else if hit == yes {
			t = no // "*" is for keys without an element
		}
		if t == no {
			continue
		}
		hit = max(hit, t)
		if l.Map && l.Dst == 0 && e.Verdict != nil {
			out = out.add(*e.Verdict, t)
		} else if l.Map && t == yes {
			regs.put(l.Dst, exactly(e.Data))
		} else if l.Map {
			regs.put(l.Dst, unknown(max(len(e.Data), 4)))
		}
		if t == yes && len(e.Key) > 0 {
			break
		}
	}
	if l.Invert {
		hit = hit.not()
	}
	return hit, out
}

func in(v value, e nft.Element) truth {
	if e.To == nil {
		return v.compare("==", e.Key)
	}
	if bytes.Equal(e.Key, e.To) {
		return v.compare("==", e.Key)
	}
	return v.compare(">=", e.Key).and(v.compare("<=", e.To))
}

// add collects what a verdict map may do. Several verdicts become steps of one jump.
func (o outcome) add(v nft.Verdict, on truth) outcome {
	if o.Kind == "" && on == yes {
		return verdict(v, yes)
	}
	if o.Kind != "" && o.Kind != "jump" && o.Kind != "goto" && len(o.targets) == 0 {
		return o
	}
	s := step{on: on, chain: v.Chain}
	switch v.Kind {
	case "accept":
		s.accept = true
	case "drop":
		s.drop = true
	case "jump", "goto":
	default:
		return o
	}
	o.Kind = "jump"
	o.targets = append(o.targets, s)
	return o
}

func (r *registers) bitwise(b nft.Bitwise) {
	v := r.get(b.Src, int(b.Len))
	for i := range v.data {
		if i >= len(b.Mask) || i >= len(b.Xor) {
			break
		}
		v.data[i] = v.data[i]&b.Mask[i] ^ b.Xor[i]
		if b.Mask[i] == 0 {
			v.data[i], v.known[i] = b.Xor[i], true
		}
	}
	r.put(b.Dst, v)
}

func (r *registers) byteorder(b nft.Byteorder) {
	v := r.get(b.Src, int(b.Len))
	if little() && b.Size > 0 {
		for at := 0; at+int(b.Size) <= len(v.data); at += int(b.Size) {
			for i, j := at, at+int(b.Size)-1; i < j; i, j = i+1, j-1 {
				v.data[i], v.data[j] = v.data[j], v.data[i]
				v.known[i], v.known[j] = v.known[j], v.known[i]
			}
		}
	}
	r.put(b.Dst, v)
}

// little reports whether this machine is little-endian, as the kernel whose numbers are read.
func little() bool { return host32(1).data[0] == 1 }
