package nft

import (
	"context"
	"errors"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// reading is one attempt.
type reading struct {
	ctx          context.Context
	c            *nfnl.Conn
	family, name string // empty: all
	gen          uint32
	hints
	tables []Table
}

func (r *reading) all(whole bool) error {
	if err := r.readTables(); err != nil || len(r.tables) == 0 {
		return err
	}
	if err := r.dump(unix.NFT_MSG_GETCHAIN, nil, r.chain); err != nil || !whole {
		return err
	}
	if err := r.dump(unix.NFT_MSG_GETSET, r.only(unix.NFTA_SET_TABLE), r.set); err != nil {
		return err
	}
	for i := range r.tables {
		for j := range r.tables[i].Sets {
			if err := r.elements(&r.tables[i], &r.tables[i].Sets[j]); err != nil {
				return err
			}
		}
	}
	if r.lines != nil {
		clear(r.lines)
		if len(r.tables) == 1 && anonymousNames(r.tables[0]) == nil {
			return r.rulesAsText()
		}
	}
	return r.rules()
}

func (r *reading) rules() error {
	chains := map[[3]string]*Chain{}
	for i := range r.tables {
		t := &r.tables[i]
		for j := range t.Chains {
			chains[[3]string{t.Family, t.Name, t.Chains[j].Name}] = &t.Chains[j]
		}
	}
	var rules ruleReader
	return r.dump(unix.NFT_MSG_GETRULE, r.only(unix.NFTA_RULE_TABLE), func(family string, b []byte) error {
		table, chain, rule, err := rules.read(b)
		if err != nil {
			return err
		}
		if c := chains[[3]string{family, table, chain}]; c != nil {
			c.Rules = append(c.Rules, rule)
		}
		return nil
	})
}

// rulesAsText fills lines.
func (r *reading) rulesAsText() error {
	t := &r.tables[0]
	text := map[string]*jsonText{}
	for i := range t.Chains {
		w := make(jsonText, 0, len(r.likely[t.Chains[i].Name]))
		text[t.Chains[i].Name] = &w
	}
	var rules ruleReader
	err := r.dump(unix.NFT_MSG_GETRULE, r.only(unix.NFTA_RULE_TABLE), func(family string, b []byte) error {
		table, chain, rule, list, err := rules.head(b)
		if err != nil || family != t.Family || table != t.Name || text[chain] == nil {
			return err
		}
		return rules.line(text[chain], rule, list)
	})
	for chain, w := range text {
		r.lines[chain] = string(*w)
	}
	return err
}

func (r *reading) only(kind uint16) []byte {
	if r.name == "" {
		return nil
	}
	return nfnl.PutString(nil, kind, r.name)
}

func (r *reading) number() uint8 {
	n, _ := familyNumber(r.family) // AF_UNSPEC without one: all
	return n
}

// dump asks for one sort of things. Families that are not known are left out.
func (r *reading) dump(kind uint8, attrs []byte, do func(family string, b []byte) error) error {
	return r.c.Dump(r.ctx, kind, r.number(), attrs, func(m nfnl.Message) error {
		family, ok := familyName(m.Family)
		if !ok {
			return nil
		}
		return do(family, m.Attrs)
	})
}

func (r *reading) readTables() error {
	if r.name == "" {
		return r.dump(unix.NFT_MSG_GETTABLE, nil, r.table)
	}
	err := r.c.Get(r.ctx, unix.NFT_MSG_GETTABLE, r.number(), nfnl.PutString(nil, unix.NFTA_TABLE_NAME, r.name),
		func(m nfnl.Message) error { return r.table(r.family, m.Attrs) })
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (r *reading) table(family string, b []byte) error {
	var a attrs
	a.read(b)
	t := Table{Family: family, Name: a.text(unix.NFTA_TABLE_NAME)}
	flags := a.opt(unix.NFTA_TABLE_FLAGS)
	t.Dormant, t.Owner = flags&tableDormant != 0, flags&tableOwner != 0
	if a.odd {
		return nfnl.ErrMessage
	}
	r.tables = append(r.tables, t)
	return nil
}

func (r *reading) find(family, name string) *Table {
	for i := range r.tables {
		if r.tables[i].Family == family && r.tables[i].Name == name {
			return &r.tables[i]
		}
	}
	return nil
}

func (r *reading) chain(family string, b []byte) error {
	table, c, ok := readChain(family, b)
	if !ok {
		return nfnl.ErrMessage
	}
	if t := r.find(family, table); t != nil {
		t.Chains = append(t.Chains, c)
	}
	return nil
}

func (r *reading) set(family string, b []byte) error {
	table, s, ok := readSet(b)
	if !ok {
		return nfnl.ErrMessage
	}
	if t := r.find(family, table); t != nil {
		t.Sets = append(t.Sets, s)
	}
	return nil
}

func (r *reading) elements(t *Table, s *Set) error {
	if r.kept != nil {
		if elems, ok := r.kept(r.gen, s.Name); ok {
			s.Elements = elems
			return nil
		}
	}
	n, _ := familyNumber(t.Family)
	b := nfnl.PutString(nil, unix.NFTA_SET_ELEM_LIST_TABLE, t.Name)
	b = nfnl.PutString(b, unix.NFTA_SET_ELEM_LIST_SET, s.Name)
	er := &elementReader{set: s}
	if n := r.expect[s.Name]; n > LargeSet {
		er.starts = make([]Element, 0, n)
		if s.Interval && !s.ranged() {
			er.ends = make([][]byte, 0, n+1)
		}
	}
	err := r.c.Dump(r.ctx, unix.NFT_MSG_GETSETELEM, n, b, func(m nfnl.Message) error { return er.message(m.Attrs) })
	s.Elements = er.elements()
	return err
}
