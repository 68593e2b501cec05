// Package match makes the kernel's expressions from words: match.IIFName("usb0") is what
// nft compiles from `iifname "usb0"`, expression by expression, so a table made of these words
// prints, reads back and compares as one made by nft. Words are joined to a rule:
//
//	match.Rule("rules[3] web server",
//		match.IIFName("eth0"), match.DPort(match.TCP, 443), match.Counter(), match.Accept())
//
// Each word stands alone: what needs to know the family or the transport protocol first loads
// it itself (a table of family inet sees both), and Join leaves out what was said before.
// Words load into register 1; none relies on what another left there.
//
// What makes a word stays a call (go:noinline): made in place wherever a rule is written, words cost a
// tenth of a megabyte of the program and save no time that matters.
package match

import (
	"bytes"
	"encoding/binary"

	"github.com/provision-net/provision/provision/resource/nft"
)

// Join puts words into one rule's list, without the conditions on family and transport
// protocol that an earlier word already made.
func Join(words ...[]nft.Expr) []nft.Expr {
	n := 0
	for _, w := range words {
		n += len(w)
	}
	if n == 0 {
		return nil
	}
	out := make([]nft.Expr, 0, n)
	for _, w := range words {
		for i := 0; i < len(w); i++ {
			if i+1 < len(w) && condition(&w[i], &w[i+1]) && said(out, &w[i], &w[i+1]) {
				i++
				continue
			}
			out = append(out, w[i])
		}
	}
	return out
}

// Rule is Join with a comment.
//
//go:noinline
func Rule(comment string, words ...[]nft.Expr) nft.Rule {
	return nft.Rule{Exprs: Join(words...), Comment: comment}
}

// Not turns the last comparison or lookup of a word around: Not(IIFName("wg0")), Not(SAddrIn(4, "lan")).
// What stands before it (the family, the protocol) still has to hold, as in nft.
func Not(word []nft.Expr) []nft.Expr {
	if len(word) == 0 {
		return nil
	}
	out := append([]nft.Expr(nil), word...)
	last := &out[len(out)-1]
	switch {
	case last.Lookup != nil:
		l := *last.Lookup
		l.Invert = !l.Invert
		last.Lookup = &l
	case last.Range != nil:
		r := *last.Range
		r.Op = turned(r.Op)
		last.Range = &r
	case last.Cmp != nil && last.Cmp.Op == "<=" && len(out) > 1 && out[len(out)-2].Cmp != nil:
		from := out[len(out)-2].Cmp
		r := nft.Range{Op: "!=", Reg: from.Reg, From: from.Data, To: last.Cmp.Data}
		out = append(out[:len(out)-2], nft.Expr{Range: &r})
	case last.Cmp != nil:
		c := *last.Cmp
		c.Op = turned(c.Op)
		last.Cmp = &c
	}
	return out
}

func turned(op string) string {
	switch op {
	case "==":
		return "!="
	case "!=":
		return "=="
	}
	return op
}

//go:noinline
func condition(load, cmp *nft.Expr) bool {
	return load.Meta != nil && !load.Meta.Set && (load.Meta.Key == "nfproto" || load.Meta.Key == "l4proto") &&
		cmp.Cmp != nil && cmp.Cmp.Op == "==" && cmp.Cmp.Reg == load.Meta.Reg
}

func said(out []nft.Expr, load, cmp *nft.Expr) bool {
	for i := 0; i+1 < len(out); i++ {
		if condition(&out[i], &out[i+1]) && *out[i].Meta == *load.Meta && bytes.Equal(out[i+1].Cmp.Data, cmp.Cmp.Data) {
			return true
		}
	}
	return false
}

//go:noinline
func meta(key string) nft.Expr { return nft.Expr{Meta: &nft.Meta{Key: key, Reg: 1}} }

//go:noinline
func cmp(op string, data []byte) nft.Expr {
	return nft.Expr{Cmp: &nft.Cmp{Op: op, Reg: 1, Data: data}}
}

//go:noinline
func equal(data []byte) nft.Expr { return cmp("==", data) }

//go:noinline
func lookup(set string) nft.Expr { return nft.Expr{Lookup: &nft.Lookup{Set: set, Reg: 1}} }

// within compares with both ends, as nft does.
//
//go:noinline
func within(from, to []byte) []nft.Expr { return []nft.Expr{cmp(">=", from), cmp("<=", to)} }

// host32 is a number as the kernel keeps it in a register: marks, states, device indexes.
//
//go:noinline
func host32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

//go:noinline
func net16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
