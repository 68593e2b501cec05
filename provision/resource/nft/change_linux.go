package nft

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/nft/nfnl"
)

// change makes goal of now.
func (r *Resource) change(ctx context.Context, c *nfnl.Conn, gen uint32, now *Table, goal *target, family, table string) error {
	if now == nil && goal.remove || !goal.remove && goal.table == nil && now != nil {
		return nil
	}
	if goal.table == nil && !goal.remove {
		goal.table = &Table{Family: family, Name: table}
		goal.text = Format(*goal.table)
	}
	if now != nil && now.Owner {
		return fmt.Errorf("cannot change table %s %s: it belongs to another process (flags owner) and goes with it", family, table)
	}
	if now.elements()+goal.table.elements() > 20*LargeSet {
		runtime.GC() // of what the elements were made of
	}
	if now != nil {
		// What goes now can come back: the snapshot names it by its digest only.
		if err := r.keep(*now, goal.table); err != nil {
			return err
		}
	}
	var batch *changes
	var err error
	if goal.remove {
		if batch, err = newChanges(family, table); err == nil {
			batch.deleteTable()
		}
	} else {
		batch, err = diff(now.sorted(), *goal.table)
	}
	if err != nil {
		return fmt.Errorf("cannot change table %s %s: %w", family, table, err)
	}
	if batch.batch.Len() == 0 {
		return nil
	}
	if err := batch.send(ctx, c, gen); err != nil {
		return err
	}
	kept := freshSets(gen, now, goal.table)
	if now.elements()+goal.table.elements() > 20*LargeSet {
		// The elements are about to be read again: not beside what is needed no more.
		batch, now, goal.table, kept = nil, nil, nil, nil
		runtime.GC()
	}
	return r.compare(ctx, c, gen, family, table, goal, kept)
}

// keep saves the elements of large sets that a change takes something from.
func (r *Resource) keep(now Table, goal *Table) error {
	var lost Table
	for _, s := range now.Sets {
		if s.Learnt || len(s.Elements) <= LargeSet {
			continue
		}
		same := goal != nil && slices.ContainsFunc(goal.Sets, func(w Set) bool {
			return w.Name == s.Name && len(w.Elements) == len(s.Elements) && digest(w.Elements) == digest(canonicalSet(s).Elements)
		})
		if !same {
			lost.Sets = append(lost.Sets, s)
		}
	}
	return r.Blobs.Save(lost)
}

// compare reads the table again: only what is there counts. Sets that kept has are not read.
func (r *Resource) compare(ctx context.Context, c *nfnl.Conn, gen uint32, family, table string, goal *target, kept large) error {
	lines := map[string]string{}
	after, now, err := readTable(ctx, c, family, table, hints{kept: kept, expect: goal.count, lines: lines, likely: goal.lines})
	if err != nil {
		return fmt.Errorf("table %s %s was changed, but: %w", family, table, err)
	}
	var text []byte
	if after != nil {
		text, _ = format(goal.room, Canonical(*after), lines, false)
	}
	if string(text) == goal.text {
		if after != nil {
			r.remember(family+" "+table, now, goal.text)
		}
		return nil
	}
	if now != gen+1 {
		return fmt.Errorf("table %s %s: %w", family, table, provision.ErrStale)
	}
	return fmt.Errorf("cannot change table %s %s: the kernel made something else of it: %s", family, table, firstDifference(string(text), goal.text))
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(is, want string) string {
	a, b := strings.Split(is, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "nothing", "nothing"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return fmt.Sprintf("line %d is %.300s and should be %.300s", i+1, x, y)
		}
	}
	return "nothing that can be seen"
}

// sorted is the canonical table with the handles of its rules, and with learnt elements.
func (t *Table) sorted() *Table {
	if t == nil {
		return nil
	}
	out := Canonical(*t)
	byChain := byName(t.Chains, chainName)
	for i := range out.Chains {
		for j := range out.Chains[i].Rules {
			out.Chains[i].Rules[j].Handle = byChain[out.Chains[i].Name].Rules[j].Handle
		}
	}
	sets := byName(t.Sets, setName)
	for i := range out.Sets {
		if s := sets[out.Sets[i].Name]; s != nil && out.Sets[i].Learnt {
			out.Sets[i].Elements = s.Elements
		}
	}
	return &out
}

func (t *Table) elements() (n int) {
	if t != nil {
		for i := range t.Sets {
			n += len(t.Sets[i].Elements)
		}
	}
	return n
}
