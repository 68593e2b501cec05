package trace

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
)

// countersMax bounds how many different events are told apart: record types come from the network. What is beyond is
// counted together, with the word "other" for all that it was.
const countersMax = 2048

// Counters counts entries by link, protocol, what came in, what was answered and why, and shows them in the text
// format of Prometheus.
type Counters struct {
	mu     sync.RWMutex
	events map[event]*atomic.Uint64
	gauges map[string]func() float64
}

type event struct{ link, proto, what, reply, reason string }

// NewCounters returns counters at zero.
func NewCounters() *Counters {
	return &Counters{events: map[event]*atomic.Uint64{}, gauges: map[string]func() float64{}}
}

// Gauge adds a figure that is asked for when somebody reads. labels are pairs of name and value.
func (c *Counters) Gauge(name string, value func() float64, labels ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gauges[series(name, labels...)] = value
}

// DropGauge takes a figure away again.
func (c *Counters) DropGauge(name string, labels ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.gauges, series(name, labels...))
}

// Count counts one entry.
func (c *Counters) Count(e Entry) {
	key := event{e.Link, e.Proto, e.What, e.Reply, e.Reason}
	c.mu.RLock()
	n := c.events[key]
	c.mu.RUnlock()
	if n == nil {
		n = c.add(key)
	}
	n.Add(1)
}

func (c *Counters) add(key event) *atomic.Uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.events[key]; n != nil {
		return n
	}
	if len(c.events) >= countersMax {
		key = event{"other", "other", "other", "other", "other"}
		if n := c.events[key]; n != nil {
			return n
		}
	}
	// The key outlives the buffer that its strings may lie in.
	for _, s := range []*string{&key.link, &key.proto, &key.what, &key.reply, &key.reason} {
		*s = strings.Clone(*s)
	}
	n := new(atomic.Uint64)
	c.events[key] = n
	return n
}

// series is a metric's name with its labels, escaped as Prometheus' text format demands: backslash, quote, line feed.
func series(name string, labels ...string) string {
	var b strings.Builder
	b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(labels[i] + `="`)
		for _, r := range labels[i+1] {
			switch {
			case r == '\\' || r == '"':
				b.WriteString(`\` + string(r))
			case r == '\n':
				b.WriteString(`\n`)
			case r < ' ' || r == 0x7f:
				fmt.Fprintf(&b, `\\x%02x`, r) // not a control sequence for whoever prints it
			default:
				b.WriteRune(r)
			}
		}
		b.WriteByte('"')
	}
	if len(labels) > 1 {
		b.WriteByte('}')
	}
	return b.String()
}

// WritePrometheus writes all figures in the text format of Prometheus, version 0.0.4.
func (c *Counters) WritePrometheus(w io.Writer) {
	var b bytes.Buffer
	b.WriteString("# TYPE provision_events_total counter\n")
	for _, t := range c.Totals() {
		name := series("provision_events_total", "link", t.Link, "proto", t.Proto, "what", t.What, "reply", t.Reply, "reason", t.Reason)
		fmt.Fprintf(&b, "%s %d\n", name, t.Count)
	}
	c.mu.RLock()
	gauges := maps.Clone(c.gauges)
	c.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(gauges)) {
		fmt.Fprintf(&b, "%s %g\n", name, gauges[name]())
	}
	_, _ = w.Write(b.Bytes()) // who hung up wants no figures
}

// Total is the count of one kind of event, for people.
type Total struct {
	Link   string `json:"link"`
	Proto  string `json:"proto"`
	What   string `json:"what"`
	Reply  string `json:"reply,omitempty"`
	Reason string `json:"reason,omitempty"`
	Count  uint64 `json:"count"`
}

// Totals lists all counts, sorted.
func (c *Counters) Totals() []Total {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]Total, 0, len(c.events))
	for k, n := range c.events {
		out = append(out, Total{k.link, k.proto, k.what, k.reply, k.reason, n.Load()})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.What, b.What), cmp.Compare(a.Reply, b.Reply), cmp.Compare(a.Reason, b.Reason)) < 0
	})
	return out
}
