package nft

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/nft/nfnl"
)

// Resource is the tables of the calling thread's network namespace. Without Blobs it takes no
// table with a large set.
type Resource struct {
	Blobs Blobs

	mu    sync.Mutex
	ports []uint32        // of the last sockets of ours, so that Watch knows our own changes
	seen  map[string]seen // by name
	made  *Made           // known by its text
}

// Know spares Set the reading of a text that Make has written.
func (r *Resource) Know(m *Made) {
	if m != nil && !m.plain() {
		m = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = m
}

// known is what has that text, nil when it has to be read.
func (r *Resource) known(text string) *Made {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made == nil || r.made.text != text {
		return nil
	}
	return r.made
}

var (
	_ provision.Resource = (*Resource)(nil)
	_ provision.Author   = (*Resource)(nil)
)

// Wrote implements provision.Author: a table of our name is of our making.
func (r *Resource) Wrote(have provision.Attrs) bool {
	t, err := Parse(have[AttrTable])
	return err == nil && t.Family == OwnFamily && t.Name == OwnTable
}

// connect opens a socket and remembers its port.
func (r *Resource) connect() (*nfnl.Conn, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.ports, c.Port()) {
		if len(r.ports) >= 256 {
			r.ports = slices.Delete(r.ports, 0, 128)
		}
		r.ports = append(r.ports, c.Port())
	}
	return c, nil
}

func (r *Resource) ours(port uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.ports, port)
}

func parseName(name string) (family, table string, err error) {
	family, table, ok := strings.Cut(name, " ")
	if _, known := familyNumber(family); !ok || !known || table == "" || strings.ContainsAny(table, " \x00") || len(table) > maxName {
		return "", "", fmt.Errorf(`cannot understand the table %q: want a family (inet, ip, ip6, arp, bridge, netdev) and a name`, name)
	}
	return family, table, nil
}

// Get implements provision.Resource. The elements of large sets are told by their digest.
func (r *Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	family, table, err := parseName(name)
	if err != nil {
		return nil, err
	}
	c, err := r.connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if text, ok := r.unchanged(ctx, c, name); ok {
		return provision.Attrs{AttrTable: text}, nil
	}
	lines := map[string]string{}
	t, gen, err := readTable(ctx, c, family, table, hints{lines: lines})
	if t == nil || err != nil {
		return nil, err
	}
	written, _ := format(nil, Canonical(*t), lines, false)
	text := string(written)
	r.remember(name, gen, text)
	return provision.Attrs{AttrTable: text}, nil
}

// Set implements provision.Resource, in one transaction that holds or fails as a whole. What
// have and want share stays as it is: chains, rules with their counters, sets; learnt sets keep
// their elements. Afterwards the table is read and compared with want; of small sets that it made
// of nothing one of each sort, as long as nobody else has changed anything.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	family, table, err := parseName(name)
	if err != nil {
		return err
	}
	goal, err := r.goal(family, table, want)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := r.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	for range attempts {
		now, gen, err := readTable(ctx, c, family, table, hints{kept: r.large(name)})
		if err != nil {
			return err
		}
		if s, ok := r.recall(name); !ok || s.gen != gen || now == nil || s.text != have[AttrTable] {
			if err := upToDate(name, now, have); err != nil {
				return err
			}
		}
		err = r.change(ctx, c, gen, now, &goal, family, table)
		if err == errRaced {
			continue
		}
		return err
	}
	return raced("table " + name)
}

// upToDate refuses what is no longer as it was when it was read.
func upToDate(name string, now *Table, have provision.Attrs) error {
	if (now == nil) != (have == nil) {
		return fmt.Errorf("table %s: %w", name, provision.ErrStale)
	}
	if now != nil && Format(*now) != have[AttrTable] {
		return fmt.Errorf("table %s: %w", name, provision.ErrStale)
	}
	return nil
}

// target is a table that is wanted: nil leaves the table as it is.
type target struct {
	remove bool
	table  *Table
	text   string
	count  map[string]int    // of the elements of its large sets
	lines  map[string]string // of its chains' rules, those that are known
	room   []byte            // for another text
}

// goal reads and judges what is wanted, before anything is done.
func (r *Resource) goal(family, table string, want provision.Attrs) (target, error) {
	if want == nil {
		return target{remove: true}, nil
	}
	for k := range want {
		if k != AttrTable {
			return target{}, fmt.Errorf("cannot set %s of table %s %s: unknown attribute", k, family, table)
		}
	}
	text, ok := want[AttrTable]
	if !ok {
		return target{}, nil
	}
	known := r.known(text)
	var t Table
	var lines map[string]string
	var err error
	if known != nil {
		t, lines = known.table, known.lines
	} else if t, lines, err = parse(text); err != nil {
		return target{}, err
	}
	if t.Family != family || t.Name != table {
		return target{}, fmt.Errorf("cannot set table %s %s: the text is of table %s %s", family, table, t.Family, t.Name)
	}
	if t.Owner {
		return target{}, fmt.Errorf("cannot set table %s %s: no table is made with an owner", family, table)
	}
	if err := t.sendable(); err != nil {
		return target{}, fmt.Errorf("cannot set table %s %s: %w", family, table, err)
	}
	if known != nil { // it is canonical, and Format wrote the text
		return target{table: &t, text: text, count: map[string]int{}, lines: lines}, nil
	}
	count := map[string]int{}
	for _, s := range t.Sets {
		count[s.Name] = s.Count
	}
	if err := r.Blobs.Load(&t); err != nil {
		return target{}, fmt.Errorf("cannot set table %s %s: %w", family, table, err)
	}
	if anonymousNames(t) != nil {
		lines = nil // rules name what gets new names
	}
	t = Canonical(t)
	room, _ := format(nil, t, lines, false)
	if string(room) != text {
		return target{}, fmt.Errorf("cannot set table %s %s: the text is not as Format writes it", family, table)
	}
	return target{table: &t, text: text, count: count, lines: lines, room: room}, nil
}
