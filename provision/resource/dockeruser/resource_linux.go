package dockeruser

import (
	"context"
	"errors"
	"fmt"

	"github.com/provision-net/provision/provision"
	"golang.org/x/sys/unix"
)

// Resource is our rules in docker's chain, in the calling thread's network namespace.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Author   = Resource{}
)

// Wrote implements provision.Author: a rule with our comment is ours, whoever remembers it.
func (Resource) Wrote(have provision.Attrs) bool { return have != nil }

// attempts bounds how often a change is tried that another transaction got ahead of.
const attempts = 8

// Get implements provision.Resource: nil without rules of ours, and without docker's chain.
func (Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	var out provision.Attrs
	err := with(ctx, name, func(c *conn) error {
		_, rules, err := look(c)
		out = attrs(rules)
		return err
	})
	return out, err
}

// Set implements provision.Resource. The chain is docker's to make: while it is not there, rules
// in it are provision.ErrPending.
func (Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	var rules []rule
	for k := range want {
		if k != AttrRules {
			return fmt.Errorf("cannot set %s of docker's chain %s: unknown attribute", k, name)
		}
	}
	if value := want[AttrRules]; value != "" {
		var err error
		if rules, err = parse(value); err != nil {
			return fmt.Errorf("cannot set the rules in docker's chain %s: %w", name, err)
		}
	}
	err := with(ctx, name, func(c *conn) error {
		// The generation first: what changes after it, also between the next two lines, is noticed.
		generation, err := c.generation()
		if err != nil {
			return err
		}
		there, now, err := look(c)
		if err != nil {
			return err
		}
		if a := attrs(now); (a == nil) != (have == nil) || a[AttrRules] != have[AttrRules] {
			return provision.ErrStale
		}
		if want != nil {
			if _, ok := want[AttrRules]; !ok {
				return nil
			}
		}
		if !there {
			if len(rules) == 0 {
				return nil
			}
			return fmt.Errorf("docker has not made it yet: %w", provision.ErrPending)
		}
		return bring(c, generation, now, rules)
	})
	if errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("it has just gone: %w", provision.ErrStale)
	}
	if err != nil {
		return fmt.Errorf("docker's chain %s %s: %w", name, chainName, err)
	}
	return nil
}

// bring makes the difference: what is right stays where it is.
func bring(c *conn, generation uint32, now []found, want []rule) error {
	missing := map[rule]bool{}
	for _, r := range want {
		missing[r] = true
	}
	var remove []uint64
	var before uint64
	for _, f := range now {
		switch {
		case f.ours && missing[f.rule]:
			delete(missing, f.rule)
		case f.ours:
			remove = append(remove, f.handle)
		case f.plain && before == 0:
			before = f.handle
		}
	}
	var add []rule
	for _, r := range want {
		if missing[r] {
			add = append(add, r)
		}
	}
	if len(add)+len(remove) == 0 {
		return nil
	}
	return c.change(generation, remove, add, before)
}

func look(c *conn) (there bool, rules []found, err error) {
	if there, err = c.exists(); err != nil || !there {
		return there, nil, err
	}
	rules, err = c.rules()
	return true, rules, err
}

func attrs(all []found) provision.Attrs {
	var ours []rule
	for _, f := range all {
		if f.ours {
			ours = append(ours, f.rule)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return provision.Attrs{AttrRules: format(ours)}
}

// with opens nf_tables and repeats f while the tables change under it.
func with(ctx context.Context, name string, f func(*conn) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := errAgain
	for i := 0; i < attempts && errors.Is(err, errAgain); i++ {
		if err = ctx.Err(); err != nil {
			return err
		}
		var c *conn
		if c, err = dial(name); err != nil {
			return err
		}
		err = f(c)
		c.close()
	}
	return err
}
