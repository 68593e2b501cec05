package nft

import (
	"fmt"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// cause is what a message of a batch is about, in words and, for a rule, with its expressions:
// the kernel names what it does not like by its place in the message.
type cause struct {
	what  string
	exprs []Expr
	// Of a rule, in place of what: where it is.
	chain string
	n     int
	rule  *Rule
}

// text is what was to be done.
func (c cause) text() string {
	if c.rule == nil {
		return c.what
	}
	s := fmt.Sprintf("add rule %d of chain %s", c.n+1, c.chain)
	if c.rule.Comment != "" {
		s += fmt.Sprintf(" (%s)", c.rule.Comment)
	}
	return s
}

// changes is a batch for one table.
type changes struct {
	batch  nfnl.Batch
	causes []cause
	family uint8
	words  string // the family's name
	table  string
	lastID uint32
	rule   []byte // room for the next one
}

func newChanges(family, table string) (*changes, error) {
	n, ok := familyNumber(family)
	if !ok {
		return nil, fmt.Errorf("there is no family %q", family)
	}
	return &changes{family: n, words: family, table: table}, nil
}

func (c *changes) add(kind uint8, flags uint16, attrs []byte, why cause) {
	c.batch.Add(kind, flags, c.family, attrs)
	c.causes = append(c.causes, why)
}

// newTable makes the table or, of one that is there, changes whether it is switched off.
func (c *changes) newTable(dormant bool) {
	b := nfnl.PutString(nil, unix.NFTA_TABLE_NAME, c.table)
	b = nfnl.Put32(b, unix.NFTA_TABLE_FLAGS, uint32(either(dormant, tableDormant, 0)))
	c.add(unix.NFT_MSG_NEWTABLE, nfnl.Create, b, cause{what: "make table " + c.table})
}

func (c *changes) deleteTable() {
	c.add(unix.NFT_MSG_DELTABLE, 0, nfnl.PutString(nil, unix.NFTA_TABLE_NAME, c.table), cause{what: "remove table " + c.table})
}

func (c *changes) newChain(ch *Chain) error {
	b, err := putChain(nil, c.words, c.table, ch)
	if err != nil {
		return fmt.Errorf("chain %s: %w", ch.Name, err)
	}
	what := "make chain " + ch.Name
	if ch.Base != nil {
		what += fmt.Sprintf(" (%s, hook %s)", ch.Base.Type, ch.Base.Hook)
	}
	c.add(unix.NFT_MSG_NEWCHAIN, nfnl.Create, b, cause{what: what})
	return nil
}

// policy changes what becomes of packets at the end of a base chain, and nothing else of it.
func (c *changes) policy(ch *Chain) error {
	code, ok := verdictCode(ch.Base.Policy)
	if !ok || code < 0 {
		return fmt.Errorf("chain %s: policy %q is neither accept nor drop", ch.Name, ch.Base.Policy)
	}
	b := nfnl.PutString(nil, unix.NFTA_CHAIN_TABLE, c.table)
	b = nfnl.PutString(b, unix.NFTA_CHAIN_NAME, ch.Name)
	b = nfnl.Put32(b, unix.NFTA_CHAIN_POLICY, uint32(code))
	c.add(unix.NFT_MSG_NEWCHAIN, 0, b, cause{what: "set the policy of chain " + ch.Name})
	return nil
}

func (c *changes) deleteChain(name string) {
	b := nfnl.PutString(nil, unix.NFTA_CHAIN_TABLE, c.table)
	b = nfnl.PutString(b, unix.NFTA_CHAIN_NAME, name)
	c.add(unix.NFT_MSG_DELCHAIN, 0, b, cause{what: "remove chain " + name})
}

func (c *changes) newRule(chain string, n int, r *Rule, before uint64, ids map[string]uint32) error {
	why := cause{exprs: r.Exprs, chain: chain, n: n, rule: r}
	b, err := putRule(c.rule[:0], c.table, chain, r, before, ids)
	if err != nil {
		return fmt.Errorf("cannot %s: %w", why.text(), err)
	}
	c.rule = b
	flags := uint16(nfnl.Create)
	if before == 0 {
		flags |= nfnl.Append
	}
	c.add(unix.NFT_MSG_NEWRULE, flags, b, why)
	return nil
}

// deleteRule removes one rule, or with handle 0 all of the chain's.
func (c *changes) deleteRule(chain string, handle uint64) {
	b := nfnl.PutString(nil, unix.NFTA_RULE_TABLE, c.table)
	b = nfnl.PutString(b, unix.NFTA_RULE_CHAIN, chain)
	what := "remove the rules of chain " + chain
	if handle != 0 {
		b = nfnl.Put64(b, unix.NFTA_RULE_HANDLE, handle)
		what = "remove a rule of chain " + chain
	}
	c.add(unix.NFT_MSG_DELRULE, 0, b, cause{what: what})
}

func (c *changes) newSet(s *Set) (id uint32, err error) {
	c.lastID++
	b, err := putSet(nil, c.table, s, c.lastID)
	if err != nil {
		return 0, fmt.Errorf("set %s: %w", s.Name, err)
	}
	c.add(unix.NFT_MSG_NEWSET, nfnl.Create, b, cause{what: fmt.Sprintf("make set %s (%s)", s.Name, typeText(s.Key))})
	return c.lastID, nil
}

func (c *changes) deleteSet(name string) {
	b := nfnl.PutString(nil, unix.NFTA_SET_TABLE, c.table)
	b = nfnl.PutString(b, unix.NFTA_SET_NAME, name)
	c.add(unix.NFT_MSG_DELSET, 0, b, cause{what: "remove set " + name})
}

// elements adds or, with del, removes elements.
func (c *changes) elements(s *Set, id uint32, del bool, elems []Element) error {
	if len(elems) == 0 {
		return nil
	}
	kind := uint8(unix.NFT_MSG_NEWSETELEM)
	if del {
		kind = unix.NFT_MSG_DELSETELEM
	}
	if len(elems) > LargeSet {
		// Two attributes of a set with ranges, each with a key in two others.
		c.batch.Grow(len(elems) * (2*(12+(len(elems[0].Key)+3)&^3) + 8))
	}
	w := elementWriter{changes: c, kind: kind, set: s, id: id}
	if err := w.all(elems); err != nil {
		return fmt.Errorf("set %s: %w", s.Name, err)
	}
	return nil
}

// flushSet removes all elements.
func (c *changes) flushSet(name string) {
	b := nfnl.PutString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, c.table)
	b = nfnl.PutString(b, unix.NFTA_SET_ELEM_LIST_SET, name)
	c.add(unix.NFT_MSG_DELSETELEM, 0, b, cause{what: "empty set " + name})
}
