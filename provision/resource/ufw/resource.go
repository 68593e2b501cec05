package ufw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// Resource is our rules in ufw.
type Resource struct {
	Files  Files
	Runner host.Runner
}

// Files is what is needed of a host.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
}

var (
	_ provision.Resource = (*Resource)(nil)
	_ provision.Author   = (*Resource)(nil)
)

// Wrote implements provision.Author: a rule with our comment is ours, whoever remembers it.
func (r *Resource) Wrote(have provision.Attrs) bool { return have != nil }

// Where ufw keeps its rules (ufw-framework(8)); /lib/ufw was used before 0.34.
const (
	file4    = "/etc/ufw/user.rules"
	file6    = "/etc/ufw/user6.rules"
	defaults = "/etc/default/ufw"

	maxFile = 4 << 20
	// Each command is a Python program, which takes seconds on a small board.
	limit = 2 * time.Minute
)

// state is what ufw remembers.
type state struct {
	there  bool // ufw is installed
	v4, v6 []tuple
	ipv6   bool
}

func (r *Resource) read() (state, error) {
	var texts [3]string
	for i, path := range []string{file4, file6, defaults} {
		b, err := r.Files.ReadFile(path, maxFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return state{}, fmt.Errorf("cannot read ufw's rules: %w", err)
		}
		if err != nil && i == 0 {
			return state{}, nil
		}
		texts[i] = string(b)
	}
	return state{there: true, v4: tuples(texts[0], "0.0.0.0/0"), v6: tuples(texts[1], "::/0"), ipv6: ipv6(texts[2])}, nil
}

// attrs gives our rules. One that only one family has is told as such.
func (s state) attrs() provision.Attrs {
	var all []string
	for _, t := range s.v4 {
		if t.ours && s.ipv6 && !has(s.v6, t.text, true) {
			all = append(all, t.text+" IPv4 only")
		} else if t.ours {
			all = append(all, t.text)
		}
	}
	for _, t := range s.v6 {
		if t.ours && !has(s.v4, t.text, true) {
			all = append(all, t.text+" IPv6 only")
		}
	}
	if len(all) == 0 {
		return nil
	}
	return provision.Attrs{AttrRules: join(all)}
}

// Get implements provision.Resource: nil without rules of ours, and without ufw.
func (r *Resource) Get(_ context.Context, name string) (provision.Attrs, error) {
	if name != Name {
		return nil, fmt.Errorf("ufw's rules %q: want %s", name, Name)
	}
	s, err := r.read()
	return s.attrs(), err
}

// Set implements provision.Resource. Without ufw, rules in it are provision.ErrPending.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if name != Name {
		return fmt.Errorf("ufw's rules %q: want %s", name, Name)
	}
	for k := range want {
		if k != AttrRules {
			return fmt.Errorf("cannot set %s of ufw's rules: unknown attribute", k)
		}
	}
	s, err := r.read()
	if err != nil {
		return err
	}
	now := s.attrs()
	if (now == nil) != (have == nil) || now[AttrRules] != have[AttrRules] {
		return fmt.Errorf("our rules in ufw: %w", provision.ErrStale)
	}
	value, listed := want[AttrRules]
	if want != nil && !listed || value == now[AttrRules] {
		return nil
	}
	var rules []Rule
	if value != "" {
		if rules, err = parse(value); err != nil {
			return fmt.Errorf("cannot set our rules in ufw: %w", err)
		}
	}
	if !s.there {
		return fmt.Errorf("ufw is not installed: %w", provision.ErrPending)
	}
	// ufw knows a rule once: ours on top of somebody's would rename theirs, and going back remove it.
	for _, w := range rules {
		if has(s.v4, w.String(), false) || has(s.v6, w.String(), false) {
			return fmt.Errorf("ufw has the rule %q already, and it is not ours; leave it and take ufw out of the adapters, or remove it (%s) and apply again",
				strings.Join(w.command("show")[1:], " "), strings.Join(w.command("delete"), " "))
		}
	}
	return r.bring(ctx, s, rules)
}

// bring adds before it deletes.
func (r *Resource) bring(ctx context.Context, s state, rules []Rule) error {
	wanted := map[string]bool{}
	for _, w := range rules {
		wanted[w.String()] = true
		if has(s.v4, w.String(), true) && (has(s.v6, w.String(), true) || !s.ipv6) {
			continue
		}
		if err := r.run(ctx, w.command("allow")); err != nil {
			return err
		}
	}
	done := map[string]bool{}
	for _, t := range append(s.v4[:len(s.v4):len(s.v4)], s.v6...) {
		if !t.ours || wanted[t.text] || done[t.text] {
			continue
		}
		done[t.text] = true
		old, err := parse(t.text)
		if err != nil {
			return fmt.Errorf("ufw has a rule with our comment that is none of ours, %q: give it another comment", strings.TrimPrefix(t.text, "? "))
		}
		if err := r.run(ctx, old[0].command("delete")); err != nil {
			return err
		}
	}
	s, err := r.read()
	if err != nil {
		return err
	}
	if got, want := s.attrs()[AttrRules], Want(rules, "").Attrs[AttrRules]; got != want {
		return fmt.Errorf("ufw has the rules %q where it was told %q", got, want)
	}
	return nil
}

func (r *Resource) run(ctx context.Context, argv []string) error {
	out, err := r.Runner.Run(ctx, host.Command{Argv: argv, Timeout: limit})
	if err != nil {
		return fmt.Errorf("cannot run %s: %w", strings.Join(argv, " "), err)
	}
	if out.Code != 0 {
		return fmt.Errorf("%s says: %s", strings.Join(argv, " "), strings.TrimSpace(string(out.Stderr)+string(out.Stdout)))
	}
	return nil
}
