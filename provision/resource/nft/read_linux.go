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
	// lines, if there is one, gets the text of each chain's rules instead of rules, where no set
	// of the table is anonymous.
	lines  map[string]string
	likely map[string]string // what they probably are
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

// ownerOf reads the process of a message about a generation.
func ownerOf(a *attrs) (pid uint32, name string) {
	if p := a.tb[unix.NFTA_GEN_PROC_PID]; len(p) == 4 {
		pid = binary.BigEndian.Uint32(p)
	}
	name, _ = cstring(a.tb[unix.NFTA_GEN_PROC_NAME])
	return pid, name
}
