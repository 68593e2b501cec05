package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// attempts bounds how often something is read again because somebody changed it meanwhile.
const attempts = 20

// errChanging is what comes of a ruleset that does not hold still.
var errChanging = errors.New("it keeps changing while it is read")

// Dump reads one table of the calling thread's network namespace, nil when there is none. What
// this package does not know of it is Unknown; chains and sets are in the kernel's order.
func Dump(ctx context.Context, family, name string) (*Table, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	t, _, err := readTable(ctx, c, family, name, hints{})
	return t, err
}

// DumpAll reads all tables of the calling thread's network namespace.
func DumpAll(ctx context.Context) ([]Table, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tables, _, err := read(ctx, c, "", "", true, hints{})
	return tables, err
}

// Tables lists all tables with their base chains and their policies, without rules, sets and
// other chains: what is cheap and tells who has a firewall here.
func Tables(ctx context.Context) ([]Table, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	tables, _, err := read(ctx, c, "", "", false, hints{})
	for i := range tables {
		var base []Chain
		for _, ch := range tables[i].Chains {
			if ch.Base != nil {
				base = append(base, ch)
			}
		}
		tables[i].Chains = base
	}
	return tables, err
}

func dial() (*nfnl.Conn, error) {
	c, err := nfnl.Dial()
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("%w: it has no nfnetlink", ErrUnsupported)
	}
	return c, err
}

// large finds the elements of a set that need not be read from the kernel, because in this
// generation it has the elements that are kept elsewhere.
type large func(gen uint32, set string) ([]Element, bool)

// hints are what is known before a table is read.
type hints struct {
	kept   large          // may be nil
	expect map[string]int // how many elements a set will have
}

func readTable(ctx context.Context, c *nfnl.Conn, family, name string, h hints) (*Table, uint32, error) {
	if _, ok := familyNumber(family); !ok {
		return nil, 0, fmt.Errorf("cannot read table %s %s: there is no such family", family, name)
	}
	tables, gen, err := read(ctx, c, family, name, true, h)
	if err != nil || len(tables) == 0 {
		return nil, gen, err
	}
	return &tables[0], gen, nil
}

// read reads all tables, or one. It is of one generation, which it returns: nothing was changed
// between its first and its last part.
func read(ctx context.Context, c *nfnl.Conn, family, name string, whole bool, h hints) ([]Table, uint32, error) {
	for range attempts {
		before, err := generation(ctx, c)
		if err != nil {
			return nil, 0, readError(err)
		}
		r := &reading{ctx: ctx, c: c, family: family, name: name, gen: before, hints: h}
		err = r.all(whole)
		if err == nil {
			var after uint32
			if after, err = generation(ctx, c); err == nil && after == before {
				return r.tables, before, nil
			}
		}
		// What has just gone away is not there to be asked about.
		if err != nil && !errors.Is(err, nfnl.ErrInterrupted) && !errors.Is(err, unix.ENOENT) {
			return nil, 0, readError(err)
		}
	}
	return nil, 0, readError(errChanging)
}

func readError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot read nf_tables: run as root: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("cannot read nf_tables: %w: it has no nf_tables", ErrUnsupported)
	}
	return fmt.Errorf("cannot read nf_tables: %w", err)
}

// generation is a number that grows with every change of any table.
func generation(ctx context.Context, c *nfnl.Conn) (gen uint32, err error) {
	err = c.Get(ctx, unix.NFT_MSG_GETGEN, unix.AF_UNSPEC, nil, func(m nfnl.Message) error {
		var a attrs
		a.read(m.Attrs)
		if gen = a.u32(unix.NFTA_GEN_ID); a.odd {
			return nfnl.ErrMessage
		}
		return nil
	})
	return gen, err
}

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
	chains := map[[3]string]*Chain{}
	for i := range r.tables {
		t := &r.tables[i]
		for j := range t.Chains {
			chains[[3]string{t.Family, t.Name, t.Chains[j].Name}] = &t.Chains[j]
		}
	}
	return r.dump(unix.NFT_MSG_GETRULE, r.only(unix.NFTA_RULE_TABLE), func(family string, b []byte) error {
		table, chain, rule, err := readRule(b)
		if err != nil {
			return err
		}
		if c := chains[[3]string{family, table, chain}]; c != nil {
			c.Rules = append(c.Rules, rule)
		}
		return nil
	})
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

// ownerOf reads the process of a message about a generation.
func ownerOf(a *attrs) (pid uint32, name string) {
	if p := a.tb[unix.NFTA_GEN_PROC_PID]; len(p) == 4 {
		pid = binary.BigEndian.Uint32(p)
	}
	name, _ = cstring(a.tb[unix.NFTA_GEN_PROC_NAME])
	return pid, name
}
