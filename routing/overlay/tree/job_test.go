package tree

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/watch"
)

// between is a configuration with three nodes, of which laptop roams; the wire to quito has a fixed cost.
func between(costs string) overlay.Config {
	key := func(n byte) string { return wireguard.Key{1: n}.Clamp().Public().String() }
	return overlay.Config{Node: "osaka", PrivateKeyFile: "/k", Costs: costs, Wires: []overlay.Wire{{Between: []string{"quito", "osaka"}, Cost: 77}}, Nodes: map[string]overlay.Node{
		"osaka":  {PublicKey: key(1), Endpoint: "192.0.2.1:51821", Addresses: []string{"10.97.99.1/24"}, BridgeAddresses: []string{"10.97.100.1/24"}},
		"paris":  {PublicKey: key(2), Endpoint: "192.0.2.2:51821", Addresses: []string{"10.97.99.2/24"}, BridgeAddresses: []string{"10.97.100.2/24"}},
		"quito":  {PublicKey: key(3), Endpoint: "192.0.2.3:51821", Addresses: []string{"10.97.99.3/24"}},
		"laptop": {PublicKey: key(4), Addresses: []string{"10.97.99.4/24"}, BridgeAddresses: []string{"10.97.100.4/24"}},
	}}
}

// line answers after a time, by address.
type line struct {
	takes map[string]time.Duration
	tree  *bridge.Spanning
	asked atomic.Int32
}

func (l *line) Echo(_ context.Context, device string, to netip.Addr) (time.Duration, error) {
	l.asked.Add(1)
	d, ok := l.takes[device+" "+to.String()]
	if !ok {
		return 0, errors.New("no answer in time")
	}
	return d, nil
}

func (l *line) Spanning(context.Context, string) (*bridge.Spanning, error) { return l.tree, nil }

func look(j *Job, costs map[string]string) map[string]string {
	have := map[provision.Ref]provision.Attrs{}
	for name, c := range costs {
		have[bridge.PortRef("name:"+name)] = provision.Attrs{bridge.AttrBridge: "br-overlay", bridge.AttrCost: c}
	}
	out := map[string]string{}
	for _, r := range j.Look(&watch.State{Have: have}) {
		out[r.Set.Want.Name] = r.Set.Want.Attrs[bridge.AttrCost] + ", " + r.Why
	}
	return out
}

func TestJob(t *testing.T) {
	w := &line{takes: map[string]time.Duration{"wg-overlay 10.97.99.2": ms(90), "wg-overlay 10.97.99.3": ms(90)}}
	var told []string
	j := &Job{Config: between("measured"), World: w, Tell: func(what string) { told = append(told, what) }, Now: start}
	if n := j.Needs(); len(n.Refs) != 2 || n.Parts == 0 {
		t.Errorf("it needs %v", n)
	}
	first := map[string]string{"vx-paris": "100", "vx-laptop": "20100", "vx-quito": "100"}
	if out := look(j, first); len(out) != 0 {
		t.Errorf("before anything is known: %v", out)
	}
	if out := look(j, map[string]string{"vx-laptop": "2"}); !strings.HasPrefix(out["name:vx-laptop"], "20100, the wire to laptop costs 20100, and not 2: nothing is known") {
		t.Errorf("a cost of somebody else: %v", out)
	}
	for range enough {
		j.round(t.Context())
	}
	if len(told) != 1 || w.asked.Load() != 2*enough {
		t.Errorf("told %v, asked %d times", told, w.asked.Load())
	}
	out := look(j, first)
	if len(out) != 1 || out["name:vx-paris"] != "1300, the wire to paris costs 1300, and not 100: answers take 90ms" {
		t.Errorf("%v", out)
	}
	if out := look(j, map[string]string{"vx-paris": "1300", "vx-laptop": "20100"}); len(out) != 0 {
		t.Errorf("what is right is changed: %v", out)
	}
	elsewhere := map[provision.Ref]provision.Attrs{bridge.PortRef("name:vx-paris"): {bridge.AttrBridge: "br0", bridge.AttrCost: "9"}, bridge.PortRef("name:vx-laptop"): nil}
	if out := j.Look(&watch.State{Have: elsewhere}); len(out) != 0 {
		t.Errorf("what is no port of the bridge: %v", out)
	}

	w.tree = &bridge.Spanning{Root: bridge.ID{Priority: 1, MAC: "x"}}
	j.round(t.Context())
	if len(told) != 2 || told[1] != "the spanning tree has changed" {
		t.Errorf("told %v", told)
	}
	kept, changed := j.Remember()
	text, err := json.Marshal(kept)
	if err != nil || !changed {
		t.Fatal(err, changed)
	}
	next := &Job{Config: between("measured"), World: w}
	if err := next.Recall(text); err != nil {
		t.Fatal(err)
	}
	if out := look(next, first); len(out) != 1 || !strings.HasPrefix(out["name:vx-paris"], "1300,") {
		t.Errorf("after a restart: %v", out)
	}
}

// Fixed costs are nobody's business here: nobody is asked, and the tree is looked at all the same.
func TestFixed(t *testing.T) {
	w := &line{tree: &bridge.Spanning{Root: bridge.ID{Priority: 1, MAC: "x"}}}
	ctx, cancel := context.WithCancel(t.Context())
	told := ""
	j := &Job{Config: between(""), World: w, Tell: func(what string) { told = what; cancel() }}
	if n := j.Needs(); len(n.Refs) != 0 {
		t.Errorf("it needs %v", n)
	}
	if err := j.Run(ctx); !errors.Is(err, context.Canceled) || told == "" || w.asked.Load() != 0 {
		t.Errorf("%v, told %q, asked %d times", err, told, w.asked.Load())
	}
	if out := look(j, map[string]string{"vx-paris": "5"}); len(out) != 0 {
		t.Errorf("%v", out)
	}
}
