package enginetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/provision-net/provision/provision"
)

// The model is a machine with the truths that broke other tools:
//
//   - a daemon derives routes from files, only when told to and some time later;
//   - a gadget whose functions cannot be changed while it is bound, whose
//     functions cannot go while they are linked, and which loses its addresses
//     when it is unbound;
//   - a slot that only one owner can have, so that the new one cannot be made
//     before the old one is gone;
//   - state that cannot be absent (sysctl), state that exists only on its own
//     account (lease), peers with secrets and roaming endpoints, in batches;
//   - file contents of any bytes.
//
// Its oracle is closed: the state for a Desired is the base with the wants laid
// over it and the derived state computed anew. It knows nothing of how to get there.
type model struct {
	base State
	slow time.Duration // of the daemon
	with map[string]bool
}

func ref(kind, name string) provision.Ref { return provision.Ref{Kind: kind, Name: name} }

var (
	udc   = ref("udc", "g")
	errNo = errors.New("no such device")
)

func (mo *model) rules() Rules {
	return Rules{
		Class: func(kind, attr string) provision.Class {
			switch {
			case kind == "peer" && attr == "key":
				return provision.Secret
			case kind == "peer" && attr == "endpoint":
				return provision.Initial
			}
			return provision.Exact
		},
		Refuse: refuse,
		Follow: func(m *Machine, r provision.Ref) {
			if r == udc && m.State[udc]["to"] == "" {
				for a := range m.State {
					if a.Kind == "addr" {
						delete(m.State, a)
					}
				}
			}
		},
		Act: func(m *Machine, a provision.Action) error {
			if a.Kind == "daemon" {
				m.Later(mo.slow, func(m *Machine) { derive(m.State) })
			}
			return nil
		},
		Dump:  map[string]bool{"peer": true, "sysctl": true, "file": true},
		Batch: map[string]bool{"peer": true, "addr": true},
	}
}

func refuse(m *Machine, r provision.Ref, have, want provision.Attrs) error {
	bound := m.State[udc]["to"] != ""
	linked := func(fn string) bool { return m.State[ref("link", fn)] != nil }
	switch r.Kind {
	case "route", "lease":
		return provision.ErrPending
	case "sysctl":
		if want == nil {
			return errNo
		}
	case "fn":
		if bound || want == nil && linked(r.Name) {
			return syscall.EBUSY
		}
	case "link":
		if bound {
			return syscall.EBUSY
		}
		if want != nil && m.State[ref("fn", r.Name)] == nil {
			return errNo
		}
	case "udc":
		if want == nil {
			return errNo
		}
		if want["to"] != "" {
			for l := range m.State {
				if l.Kind == "link" {
					return nil
				}
			}
			return errNo
		}
	case "addr":
		if !bound && want != nil {
			return errNo
		}
	case "slot":
		if want != nil && have == nil {
			for s := range m.State {
				if s.Kind == "slot" {
					return provision.ErrBusy
				}
			}
		}
	}
	return nil
}

// derive is the daemon: each file with a metric makes a route.
func derive(s State) {
	for r := range s {
		if r.Kind == "route" {
			delete(s, r)
		}
	}
	for r, a := range s {
		if r.Kind == "file" {
			if metric, ok := strings.CutPrefix(a["content"], "metric="); ok {
				s[ref("route", r.Name)] = provision.Attrs{"metric": metric}
			}
		}
	}
}

func newModel(rnd *rand.Rand) *model {
	mo := &model{base: State{udc: {}}, slow: time.Duration(rnd.IntN(4)) * 30 * time.Millisecond, with: map[string]bool{}}
	for range 1 + rnd.IntN(3) {
		mo.with[[]string{"file", "sysctl", "peer", "slot", "gadget", "gadget", "file"}[rnd.IntN(7)]] = true
	}
	b := mo.base
	for i := range 3 {
		if rnd.IntN(2) == 0 {
			b[ref("file", fmt.Sprint("f", i))] = provision.Attrs{"content": content(rnd), "mode": "0644", "owner": "root"}
		}
	}
	for i := range 3 {
		b[ref("sysctl", fmt.Sprint("s", i))] = provision.Attrs{"value": fmt.Sprint(rnd.IntN(3))}
	}
	for i := range 3 {
		if rnd.IntN(4) == 0 {
			b[ref("peer", fmt.Sprint("p", i))] = provision.Attrs{"key": fmt.Sprint("old", rnd.IntN(3)), "allowed": "::/0", "endpoint": "home", "note": "theirs"}
		}
	}
	if rnd.IntN(3) == 0 {
		b[ref("slot", fmt.Sprint("o", rnd.IntN(3)))] = provision.Attrs{"by": "them"}
	}
	if rnd.IntN(2) == 0 {
		b[ref("lease", "l")] = provision.Attrs{"metric": "10"}
	}
	derive(b)
	return mo
}

func content(rnd *rand.Rand) string {
	switch rnd.IntN(4) {
	case 0:
		return "\xff\xfe raw \x00 bytes " + fmt.Sprint(rnd.IntN(3))
	default:
		return fmt.Sprint("metric=", rnd.IntN(3)*100)
	}
}

// desired draws one.
func (mo *model) desired(rnd *rand.Rand) provision.Desired {
	var d provision.Desired
	add := func(r provision.Ref, a provision.Attrs) *provision.Want {
		d.Wants = append(d.Wants, provision.Want{Ref: r, Attrs: a, Why: "drawn"})
		return &d.Wants[len(d.Wants)-1]
	}
	reload := provision.Trigger{Name: "reload", Do: provision.Action{Kind: "daemon"}}
	for i := range 3 {
		if !mo.with["file"] {
			break
		}
		name := fmt.Sprint("f", i)
		f := ref("file", name)
		switch rnd.IntN(4) {
		case 0:
		case 1:
			if mo.base[f] != nil {
				add(f, nil)
				reload.On = append(reload.On, f)
			}
		default:
			a := provision.Attrs{"content": content(rnd)}
			if mo.base[f] == nil || rnd.IntN(2) == 0 {
				a["mode"] = "0600"
			}
			add(f, a)
			reload.On = append(reload.On, f)
			if metric, ok := strings.CutPrefix(a["content"], "metric="); ok && rnd.IntN(2) == 0 {
				w := provision.Want{Ref: ref("route", name), Attrs: provision.Attrs{"metric": metric}, Why: "drawn", Via: []string{"reload"}}
				if rnd.IntN(2) == 0 {
					d.Wants = append(d.Wants, w)
				} else {
					d.Expect = append(d.Expect, w)
				}
			}
		}
	}
	if len(reload.On) > 0 {
		d.Triggers = append(d.Triggers, reload)
	}
	for i := range 3 {
		if mo.with["sysctl"] && rnd.IntN(2) == 0 {
			add(ref("sysctl", fmt.Sprint("s", i)), provision.Attrs{"value": fmt.Sprint(rnd.IntN(3))})
		}
	}
	for i := range 3 {
		if !mo.with["peer"] {
			break
		}
		switch r := ref("peer", fmt.Sprint("p", i)); rnd.IntN(4) {
		case 0:
			add(r, provision.Attrs{"key": fmt.Sprint("key", rnd.IntN(3)), "allowed": fmt.Sprintf("10.0.%d.0/24", rnd.IntN(3)), "endpoint": "wan"})
		case 1:
			if mo.base[r] != nil {
				add(r, nil)
			}
		}
	}
	if mo.with["slot"] && rnd.IntN(3) > 0 {
		taken := ""
		for r := range mo.base {
			if r.Kind == "slot" {
				taken = r.Name
			}
		}
		mine := fmt.Sprint("o", rnd.IntN(3))
		if taken != "" && taken != mine {
			add(ref("slot", taken), nil)
		}
		add(ref("slot", mine), provision.Attrs{"by": "us"})
	}
	mo.gadget(rnd, &d, add)
	switch rnd.IntN(4) {
	case 0:
		d.Wants = append(d.Wants, provision.Want{Ref: ref("lease", "never"), Attrs: provision.Attrs{"metric": "5"}, Mode: provision.IfPresent})
	case 1:
		d.Expect = append(d.Expect, provision.Want{Ref: ref("lease", "never"), Attrs: provision.Attrs{"metric": "5"}, Mode: provision.IfPresent})
	case 2:
		d.Wants = append(d.Wants, provision.Want{Ref: ref("lease", "l"), Attrs: provision.Attrs{"metric": "7"}, Mode: provision.Report})
	}
	return d
}

func (mo *model) gadget(rnd *rand.Rand, d *provision.Desired, add func(provision.Ref, provision.Attrs) *provision.Want) {
	if !mo.with["gadget"] || rnd.IntN(4) == 0 {
		return
	}
	hold := provision.Hold{Ref: udc, Attrs: provision.Attrs{"to": ""}}
	var linked bool
	var links []provision.Ref
	for _, fn := range []string{"acm", "ecm", "ncm"} {
		if rnd.IntN(2) == 0 {
			continue
		}
		add(ref("fn", fn), provision.Attrs{"param": fmt.Sprint(rnd.IntN(2) + 1)})
		hold.While = append(hold.While, ref("fn", fn))
		if rnd.IntN(4) > 0 {
			links = append(links, ref("link", fn))
			hold.While = append(hold.While, ref("link", fn))
			linked = true
		}
	}
	for _, l := range links {
		add(l, provision.Attrs{"config": "c.1"})
	}
	if len(hold.While) > 0 {
		d.Holds = append(d.Holds, hold)
	}
	if linked {
		add(udc, provision.Attrs{"to": "musb"})
		for i := range 2 {
			if rnd.IntN(2) == 0 {
				add(ref("addr", fmt.Sprint("usb0 10.55.0.", i)), provision.Attrs{"plen": fmt.Sprint(24 + rnd.IntN(2))})
			}
		}
	}
}

// expected is the oracle. What from had removed and d makes anew is made with d's
// initial attributes.
func (mo *model) expected(from, d provision.Desired) State {
	s := mo.base.Clone()
	class := mo.rules().Class
	removed := map[provision.Ref]bool{}
	for _, w := range from.Wants {
		removed[w.Ref] = w.Attrs == nil
	}
	for _, w := range d.Wants {
		switch {
		case w.Mode != provision.Must || w.Kind == "route":
		case w.Attrs == nil:
			delete(s, w.Ref)
		default:
			fresh := s[w.Ref] == nil
			if fresh {
				s[w.Ref] = provision.Attrs{}
			}
			for k, v := range w.Attrs {
				if fresh || removed[w.Ref] || class(w.Kind, k) != provision.Initial {
					s[w.Ref][k] = v
				}
			}
		}
	}
	derive(s)
	return s
}

func newRand(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
