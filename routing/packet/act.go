package packet

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
)

func (r *run) effect(format string, args ...any) {
	r.effects = append(r.effects, fmt.Sprintf(format, args...))
}

func (r *run) finish(kind string) outcome {
	r.verdict = nft.Verdict{Kind: kind}
	return ended
}

// act runs an expression that does something.
func (r *run) act(e *nft.Expr) outcome {
	m, s := r.m, r.m.s
	switch {
	case e.Verdict != nil:
		if e.Verdict.Kind == "continue" {
			return goOn
		}
		r.verdict = *e.Verdict
		return ended
	case e.Counter != nil:
		return goOn
	case e.Limit != nil: // taken as not exceeded
		return when(!e.Limit.Over)
	case e.Log != nil:
		if e.Log.Prefix != "" {
			r.effect("logged as %q", e.Log.Prefix)
		} else {
			r.effect("logged")
		}
		return goOn
	case e.Notrack != nil:
		if !m.seen {
			s.ctState, s.flow, m.seen = nft.StateUntracked, nil, true
			r.effect("not tracked")
		}
		return goOn
	case e.Reject != nil:
		m.out.Verdict = Rejected
		return r.finish("drop")
	case e.Meta != nil:
		return r.setMeta(e.Meta)
	case e.Ct != nil:
		if e.Ct.Key == "mark" && s.flow != nil {
			b, known := r.regs.get(e.Ct.Reg, 4)
			s.flow.mark = word{binary.NativeEndian.Uint32(b), known}
			r.effect("the flow's mark becomes %s", markText(s.flow.mark))
		} else if e.Ct.Key != "mark" {
			r.effect("sets ct %s", e.Ct.Key)
			if e.Ct.Key == "zone" {
				m.doubt("connection tracking zones are not simulated")
			}
		}
		return goOn
	case e.Exthdr != nil:
		r.effect("rewrites a TCP option")
		return goOn
	case e.DynSet != nil:
		return r.dynset(e.DynSet)
	case e.NAT != nil:
		return r.nat(e.NAT)
	case e.Masq != nil:
		return r.masquerade(e.Masq)
	case e.Redir != nil:
		return r.redirect(e.Redir)
	}
	return unsure
}

func markText(w word) string {
	if !w.known {
		return "unknown"
	}
	return fmt.Sprintf("%#x", w.v)
}

func (r *run) setMeta(e *nft.Meta) outcome {
	s := r.m.s
	switch e.Key {
	case "mark":
		b, known := r.regs.get(e.Reg, 4)
		s.mark = word{binary.NativeEndian.Uint32(b), known}
		r.effect("mark becomes %s", markText(s.mark))
	case "pkttype":
		if b, known := r.regs.get(e.Reg, 1); known {
			s.pktType = b[0]
		}
	case "nftrace", "priority":
	default:
		r.effect("sets meta %s", e.Key)
	}
	return goOn
}

// dynset follows nft_dynset_eval: the element's own expressions may end the rule.
func (r *run) dynset(e *nft.DynSet) outcome {
	set := r.set(e.Set)
	if set == nil {
		return unsure
	}
	key, known := r.regs.get(e.Reg, nft.KeySize(set.Key))
	name := r.setName(e.Set)
	if known && e.Op != "delete" {
		r.m.added[name] = append(r.m.added[name], slices.Clone(key))
	}
	switch e.Op {
	case "delete":
		r.effect("taken out of @%s", e.Set)
	default:
		r.effect("put into @%s", e.Set)
	}
	for _, x := range e.Exprs {
		if x.Limit != nil && x.Limit.Over {
			return noMatch
		}
		if x.Limit == nil && x.Counter == nil {
			return unsure
		}
	}
	if e.Invert {
		return noMatch
	}
	return goOn
}
