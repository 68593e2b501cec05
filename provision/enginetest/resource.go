package enginetest

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/provision-net/provision/provision"
)

// ResourceCase is one resource on a world of its own.
type ResourceCase struct {
	Resource provision.Resource
	// Name does not exist when the case begins, unless Fixed.
	Name string
	// Values are at least two canonical values with the same attributes, each of
	// which Name can be brought to, from nothing and from the others.
	Values []provision.Attrs
	// Optional are attributes of Values that need not be there: set to the empty
	// string they have to read as empty or missing again.
	Optional []string
	// Fixed state can be neither created nor removed (a sysctl).
	Fixed bool
}

// Resource checks the contract of provision.Resource: Get after Set is the identity,
// a stale have is refused, what is removed can be made anew, attributes that are not
// listed are not touched, and classes, List and SetAll agree with Get and Set. open
// is called for each subtest.
func Resource(t *testing.T, open func(t *testing.T) ResourceCase) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, *resourceCheck){
		"identity":     identity,
		"stale":        stale,
		"unlisted":     unlisted,
		"recreate":     recreate,
		"list":         list,
		"batch":        batch,
		"cancellation": cancellation,
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			if len(c.Values) < 2 {
				t.Fatal("a resource case needs two values")
			}
			check(t, &resourceCheck{t, c})
		})
	}
}

type resourceCheck struct {
	*testing.T
	ResourceCase
}

func (c *resourceCheck) get() provision.Attrs {
	c.Helper()
	a, err := c.Resource.Get(context.Background(), c.Name)
	if err != nil {
		c.Fatalf("get: %v", err)
	}
	return a
}

func (c *resourceCheck) set(have, want provision.Attrs) {
	c.Helper()
	if err := c.Resource.Set(context.Background(), c.Name, have, want); err != nil {
		c.Fatalf("set %s: %v", want, err)
	}
}

func (c *resourceCheck) class(attr string) provision.Class {
	if k, ok := c.Resource.(provision.Classifier); ok {
		return k.Class(attr)
	}
	return provision.Exact
}

// is fails unless the present value has all that want lists.
func (c *resourceCheck) is(want provision.Attrs, initial bool) provision.Attrs {
	c.Helper()
	have := c.get()
	if have == nil {
		c.Fatalf("is absent, want %s", want)
	}
	for k, v := range want {
		if have[k] != v && (initial || c.class(k) != provision.Initial) {
			c.Errorf("%s is %q, want %q: get after set is not the identity", k, have[k], v)
		}
	}
	return have
}

// compared leaves out what is never compared.
func (c *resourceCheck) compared(a provision.Attrs) provision.Attrs {
	m := maps.Clone(a)
	maps.DeleteFunc(m, func(k, _ string) bool { return c.class(k) == provision.Initial })
	return m
}

func identity(t *testing.T, c *resourceCheck) {
	have := c.get()
	if c.Fixed != (have != nil) {
		t.Fatalf("begins as %s, with fixed=%v", have, c.Fixed)
	}
	for i, v := range append(c.Values, c.Values[0]) {
		if have != nil {
			v = c.compared(v)
		}
		c.set(have, v)
		have = c.is(v, i == 0 && !c.Fixed)
		// Setting what is there already changes nothing.
		c.set(have, c.compared(v))
		if again := c.get(); !maps.Equal(have, again) {
			t.Errorf("setting the same again made %s of %s", again, have)
		}
	}
	if c.Fixed {
		return
	}
	c.set(have, nil)
	if have = c.get(); have != nil {
		t.Errorf("is %s after its removal", have)
	}
}

func stale(t *testing.T, c *resourceCheck) {
	ctx := context.Background()
	start := c.get()
	c.set(start, c.Values[0])
	first := c.get()
	c.set(first, c.compared(c.Values[1]))
	second := c.get()
	if maps.Equal(c.compared(first), c.compared(second)) {
		t.Fatal("the case's values do not differ")
	}
	if err := c.Resource.Set(ctx, c.Name, first, c.compared(c.Values[0])); !errors.Is(err, provision.ErrStale) {
		t.Errorf("set with a stale have returned %v, want ErrStale", err)
	}
	if now := c.get(); !maps.Equal(now, second) {
		t.Errorf("a refused set made %s of %s", now, second)
	}
	if c.Fixed {
		return
	}
	if err := c.Resource.Set(ctx, c.Name, nil, c.Values[0]); !errors.Is(err, provision.ErrStale) {
		t.Errorf("creating what exists returned %v, want ErrStale", err)
	}
	c.set(second, nil)
	if err := c.Resource.Set(ctx, c.Name, second, c.compared(c.Values[0])); !errors.Is(err, provision.ErrStale) {
		t.Errorf("updating what has gone returned %v, want ErrStale", err)
	}
	if now := c.get(); now != nil {
		t.Errorf("a refused set made %s", now)
	}
}

func unlisted(t *testing.T, c *resourceCheck) {
	c.set(c.get(), c.Values[0])
	for k, v := range c.compared(c.Values[1]) {
		before := c.get()
		c.set(before, provision.Attrs{k: v})
		after := c.get()
		for other, was := range before {
			if other != k && after[other] != was {
				t.Errorf("setting %s changed %s from %q to %q", k, other, was, after[other])
			}
		}
		if after[k] != v {
			t.Errorf("%s is %q, want %q", k, after[k], v)
		}
	}
	for _, k := range c.Optional {
		c.set(c.get(), provision.Attrs{k: ""})
		if v := c.get()[k]; v != "" {
			t.Errorf("%s is %q after it was unset", k, v)
		}
	}
}

// recreate is what going back from a removal does: everything that Get gave is
// given to Set.
func recreate(t *testing.T, c *resourceCheck) {
	if c.Fixed {
		t.Skip("fixed state is never removed")
	}
	c.set(nil, c.Values[0])
	whole := c.get()
	c.set(whole, nil)
	c.set(nil, whole)
	if again := c.get(); !maps.Equal(whole, again) {
		t.Errorf("made anew it is %s, it was %s", again, whole)
	}
}

func list(t *testing.T, c *resourceCheck) {
	l, ok := c.Resource.(provision.Lister)
	if !ok {
		t.Skip("offers no list")
	}
	c.set(c.get(), c.Values[0])
	all, err := l.List(context.Background(), []string{c.Name})
	if err != nil {
		t.Fatal(err)
	}
	if have := c.get(); !maps.Equal(all[c.Name], have) {
		t.Errorf("list says %s, get says %s", all[c.Name], have)
	}
	if c.Fixed {
		return
	}
	c.set(c.get(), nil)
	if all, err = l.List(context.Background(), []string{c.Name}); err != nil || all[c.Name] != nil {
		t.Errorf("list says %s of what is absent: %v", all[c.Name], err)
	}
}

func batch(t *testing.T, c *resourceCheck) {
	b, ok := c.Resource.(provision.Batcher)
	if !ok {
		t.Skip("offers no batch")
	}
	ctx := context.Background()
	start := c.get()
	if err := b.SetAll(ctx, []provision.Step{{Name: c.Name, Have: start, Want: c.Values[0]}}); err != nil {
		t.Fatal(err)
	}
	first := c.is(c.Values[0], !c.Fixed)
	c.set(first, c.compared(c.Values[1]))
	second := c.get()
	err := b.SetAll(ctx, []provision.Step{{Name: c.Name, Have: first, Want: c.compared(c.Values[0])}})
	if !errors.Is(err, provision.ErrStale) {
		t.Errorf("a stale batch returned %v, want ErrStale", err)
	}
	if now := c.get(); !maps.Equal(now, second) {
		t.Errorf("a refused batch made %s of %s", now, second)
	}
}

func cancellation(t *testing.T, c *resourceCheck) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	before := c.get()
	// Either answer is allowed, but a refusal must leave everything as it was.
	if err := c.Resource.Set(ctx, c.Name, before, c.Values[0]); err == nil {
		c.is(c.Values[0], before == nil)
	} else if now := c.get(); !maps.Equal(now, before) {
		t.Errorf("a cancelled set made %s of %s", now, before)
	}
}
