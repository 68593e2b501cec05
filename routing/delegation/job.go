package delegation

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/routing/delegation/pd"
	"github.com/provision-net/provision/routing/watch"
)

// Job lets a watch keep the addresses of the networks; our own client runs beside it, in Run. With
// an empty configuration it takes away what an earlier one has left.
type Job struct {
	Config Config
	Link   Link // nil: our own client does not run
	// Tell makes the watch look, with what has happened; any goroutine calls it.
	Tell func(what string)
	Now  func() time.Time // nil: time.Now

	mu      sync.Mutex
	mem     memory
	changed bool
	ask     bool   // our own client is wanted
	up      int    // index of the uplink while it has carrier
	trouble string // of our own client
	wake    chan struct{}
}

// memory is what outlives the process.
type memory struct {
	// Own are the references that were set: addresses of networks, and the routes that refuse what is
	// nowhere.
	Own   []string `json:"own,omitempty"`
	Lease pd.Lease `json:"lease,omitzero"`
	// Device is where the server of the lease is.
	Device string `json:"device,omitempty"`
}

// owes reports whether a lease has to be given back: delegation was taken away, or moved to another uplink,
// and nothing uses it any more.
func (j *Job) owes() bool {
	return (!j.Config.Enabled() || j.moved()) && len(j.mem.Own) == 0 && len(j.mem.Lease.Prefixes) > 0
}

// moved reports whether the lease is of another uplink than the present one, whose server knows nothing of
// it and does not route it. It is given back where it is from, before the other server is asked.
func (j *Job) moved() bool {
	return j.Config.Enabled() && j.mem.Device != "" && j.mem.Device != j.Config.Interface && len(j.mem.Lease.Prefixes) > 0
}

var (
	_ watch.Job        = (*Job)(nil)
	_ watch.Rememberer = (*Job)(nil)
)

// Name is "delegation".
func (j *Job) Name() string { return "delegation" }

// Needs devices, addresses, IPv6 routes, and what it has set or would set.
func (j *Job) Needs() watch.Needs {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.Config.Enabled() && len(j.mem.Own) == 0 {
		return watch.Needs{}
	}
	// What a new prefix asks for is not known before it is seen: then the next look has it.
	n := watch.Needs{Parts: facts.PartLinks | facts.PartAddrs | facts.PartRoutes6}
	for _, name := range j.mem.Own {
		n.Refs = append(n.Refs, ref(name))
	}
	return n
}

func ref(name string) provision.Ref {
	kind, rest, _ := strings.Cut(name, ":")
	return provision.Ref{Kind: kind, Name: rest}
}

// Look says which addresses are missing, and which are left over.
func (j *Job) Look(s *watch.State) []watch.Repair {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.init()
	var out []watch.Repair
	note := func(key, format string, args ...any) {
		out = append(out, watch.Repair{Key: key, Why: fmt.Sprintf(format, args...)})
	}
	prefix, why := j.prefix(s)
	wants := map[string]provision.Want{}
	var order []string
	want := func(w provision.Want) {
		name := w.Ref.String()
		wants[name], order = w, append(order, name)
	}
	if prefix.IsValid() {
		networks, wrong := j.Config.Networks(prefix)
		for _, name := range wrong {
			note("too small "+name, "%s gets no network of %s: it is too small for the number of its subnet", name, prefix)
		}
		if why == own {
			want(route.Want(route.Spec{Key: route.Key{Type: route.Unreachable, Dst: prefix, Metric: route.Worst}}, "what of the delegated prefix is nowhere"))
		}
		for _, n := range networks {
			want(address.Want("name:"+n.Interface, n.Address, "of the delegated prefix "+prefix.String(), address.NoDAD))
		}
	}
	for _, name := range order {
		w := wants[name]
		have, read := s.Have[w.Ref]
		if !slices.Contains(j.mem.Own, name) {
			j.mem.Own, j.changed = append(j.mem.Own, name), true
		}
		if read && (have == nil || !holds(have, w.Attrs)) || !read && !present(s, w) {
			out = append(out, watch.Repair{Key: name, Why: w.Why, Set: &watch.Fix{Want: w, Have: have}})
		}
	}
	for _, name := range slices.Clone(j.mem.Own) {
		if _, wanted := wants[name]; wanted {
			continue
		}
		have, read := s.Have[ref(name)]
		switch {
		case !read:
		case have == nil:
			j.mem.Own = slices.DeleteFunc(j.mem.Own, func(o string) bool { return o == name })
			j.changed = true
		default:
			out = append(out, watch.Repair{Key: name, Why: "the prefix is another one now", Set: &watch.Fix{Want: provision.Want{Ref: ref(name)}, Have: have}})
		}
	}
	if j.owes() {
		j.poke()
	}
	if j.Config.Enabled() && !prefix.IsValid() {
		if j.trouble != "" {
			note("no prefix", "no prefix is delegated to this machine: %s", j.trouble)
		} else if j.up != 0 {
			out = append(out, watch.Repair{Key: "no prefix", Why: "no prefix is delegated to this machine yet", Harmless: true})
		}
	}
	return out
}

// own is why a prefix is there: our client has it.
const own = "own"

// prefix settles which prefix counts, and whether our own client has to ask.
func (j *Job) prefix(s *watch.State) (netip.Prefix, string) {
	managed := Managed(s.Routes)
	c := j.Config
	ask := c.Enabled() && (c.Source == own || c.Source != "manager" && len(managed) == 0)
	up := 0
	for _, l := range s.Links {
		if l.Name == c.Interface && l.Up && l.Carrier {
			up = l.Index
		}
	}
	if ask != j.ask || up != j.up {
		j.ask, j.up = ask, up
		j.poke()
	}
	if !c.Enabled() {
		return netip.Prefix{}, ""
	}
	if c.Source != own && len(managed) > 0 {
		return managed[0], "manager"
	}
	now := j.now()
	for _, p := range j.mem.Lease.Prefixes {
		if ask && !j.moved() && (p.Valid.IsZero() || now.Before(p.Valid)) && usable(p.Prefix) {
			return p.Prefix, own
		}
	}
	return netip.Prefix{}, ""
}

func holds(have, want provision.Attrs) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// present reports whether an address is there already, where its reference was not read.
func present(s *watch.State, w provision.Want) bool {
	if w.Kind != address.Kind {
		return false
	}
	selector, a, err := address.Parse(w.Name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.Addrs, func(o facts.Address) bool {
		return o.Prefix == a && slices.ContainsFunc(s.Links, func(l facts.Link) bool { return l.Index == o.Link && "name:"+l.Name == selector })
	})
}

func (j *Job) init() {
	if j.wake == nil {
		j.wake = make(chan struct{}, 1)
	}
}

func (j *Job) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *Job) now() time.Time {
	if j.Now != nil {
		return j.Now()
	}
	return time.Now()
}

// Remember implements watch.Rememberer.
func (j *Job) Remember() (any, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	changed := j.changed
	j.changed = false
	return memory{slices.Clone(j.mem.Own), j.mem.Lease, j.mem.Device}, changed
}

// Recall implements watch.Rememberer.
func (j *Job) Recall(text json.RawMessage) error {
	var m memory
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.init()
	j.mem = m
	j.poke()
	return nil
}
