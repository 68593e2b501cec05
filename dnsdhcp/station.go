package dnsdhcp

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/dnsdhcp/dhcp6"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/ra"
)

// station is what is served on the link of one name, whether it is there or not. The link may vanish and come back
// as another incarnation: sockets end with the incarnation, what was announced on the link does not. All but updates
// is guarded by the server's lock.
type station struct {
	name string
	log  *slog.Logger

	rule        *rule
	link        link.Link     // Index 0: missing
	left        clock.Instant // when it was there last
	notes       []string      // what is missing for more
	tasks       map[string]*task
	keys        map[string]string // what each task was started with
	advertiser  *ra.Advertiser
	endRA       func()
	information *dhcp6.Server
	endDHCP6    func()

	mu      sync.Mutex
	updates map[int]func(link.Link) // of the tasks that want to know of changes of the link
	next    int
}

// dhcp4Task is the name of the task that answers DHCPv4.
const dhcp4Task = "dhcp4"

// want is one thing that is to be served on a link now. A task runs until its key changes.
type want struct {
	key string
	run func(ctx context.Context, up func()) error
}

// have makes the running tasks those that are wanted.
func (st *station) have(ctx context.Context, wants map[string]want) {
	for name, t := range st.tasks {
		if w, ok := wants[name]; !ok || w.key != st.keys[name] {
			t.stop()
			delete(st.tasks, name)
		}
	}
	// DHCPv4 last: what was started last is what Go runs first.
	names := slices.Sorted(maps.Keys(wants))
	slices.Reverse(names)
	for _, name := range names {
		w := wants[name]
		if st.tasks[name] != nil {
			continue
		}
		t := &task{name: name, run: w.run, log: st.log}
		t.start(ctx)
		st.tasks[name], st.keys[name] = t, w.key
	}
}

// listen has f called for every change of the link until the returned function is called.
func (st *station) listen(f func(link.Link)) (end func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	id := st.next
	st.next++
	st.updates[id] = f
	return func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		delete(st.updates, id)
	}
}

// tell passes a change of the link on.
func (st *station) tell(l link.Link) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, f := range st.updates {
		f(l)
	}
}

// end stops everything on the link, with the farewells that the protocols want.
func (st *station) end() {
	var wg sync.WaitGroup
	for _, t := range st.tasks {
		wg.Go(t.stop)
	}
	if st.advertiser != nil {
		wg.Go(st.endRA)
	}
	if st.information != nil {
		wg.Go(st.endDHCP6)
	}
	wg.Wait()
	st.tasks, st.advertiser, st.information = map[string]*task{}, nil, nil
}

// status is the station as it is shown.
func (st *station) status() control.Link {
	v := control.Link{Name: st.name, Index: st.link.Index, Rule: st.rule.pattern, Up: st.link.Up, Notes: slices.Clone(st.notes)}
	for _, a := range st.link.Addrs {
		v.Addresses = append(v.Addresses, a.Prefix.String())
	}
	for name, t := range st.tasks {
		state, why := t.get()
		v.Services = append(v.Services, control.Service{Name: name, State: state, Why: why})
	}
	if st.advertiser != nil {
		one := control.Service{Name: "ra", State: running}
		switch {
		case st.link.Index == 0:
			one.State = waiting
		case !st.advertiser.Status().Source.IsValid():
			one.State, one.Why = waiting, "the interface has no link-local address that can be used"
		}
		v.Services = append(v.Services, one)
	}
	if st.information != nil {
		one := control.Service{Name: "dhcp6", State: running}
		if st.link.Index == 0 || !st.link.Up {
			one.State = waiting
		}
		v.Services = append(v.Services, one)
	}
	sort.Slice(v.Services, func(i, j int) bool { return v.Services[i].Name < v.Services[j].Name })
	return v
}
