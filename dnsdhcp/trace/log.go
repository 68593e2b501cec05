package trace

import (
	"container/list"
	"strings"
	"sync"
)

// Limits of a Log. An Entry with its strings takes some 300 bytes, so all of them together stay below 2 MB.
const (
	recentLen  = 1024 // entries of all clients, so that what happened to a client that never gave an address is found too
	clientsMax = 256  // clients with a history of their own, the one that was silent longest gives way
	clientLen  = 16   // entries of one client: a busy neighbour cannot push them out
)

// Log is a Recorder that keeps the last entries of each client and counts all of them.
type Log struct {
	Counters *Counters // nil counts nothing

	mu      sync.Mutex
	recent  ring
	clients map[string]*list.Element // by hardware address
	order   *list.List               // of *history, the latest in front
}

type history struct {
	hw string
	ring
}

// ring holds the last entries, oldest first from next on.
type ring struct {
	entries []Entry
	next    int
}

func (r *ring) add(e Entry, size int) {
	if len(r.entries) < size {
		r.entries = append(r.entries, e)
		return
	}
	r.entries[r.next] = e
	r.next = (r.next + 1) % size
}

func (r *ring) each(f func(Entry)) {
	for i := range r.entries {
		f(r.entries[(r.next+i)%len(r.entries)])
	}
}

// NewLog returns an empty Log.
func NewLog(c *Counters) *Log {
	return &Log{Counters: c, clients: map[string]*list.Element{}, order: list.New()}
}

// Record is Recorder's.
func (l *Log) Record(e Entry) {
	if l.Counters != nil {
		l.Counters.Count(e)
	}
	// What was decoded in a buffer that is used again must not change afterwards.
	e.HW, e.Name, e.Addr, e.Detail = strings.Clone(e.HW), strings.Clone(e.Name), strings.Clone(e.Addr), strings.Clone(e.Detail)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent.add(e, recentLen)
	if e.HW == "" {
		return
	}
	el, ok := l.clients[e.HW]
	if !ok {
		if l.order.Len() >= clientsMax {
			last := l.order.Back()
			delete(l.clients, last.Value.(*history).hw)
			l.order.Remove(last)
		}
		el = l.order.PushFront(&history{hw: e.HW})
		l.clients[e.HW] = el
	}
	l.order.MoveToFront(el)
	el.Value.(*history).add(e, clientLen)
}

// Client returns what happened to the client with this hardware address, oldest first.
func (l *Log) Client(hw string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Entry
	if el, ok := l.clients[hw]; ok {
		el.Value.(*history).each(func(e Entry) { out = append(out, e) })
	}
	return out
}

// Find returns the recent entries that keep says yes to, oldest first.
func (l *Log) Find(keep func(Entry) bool) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Entry
	l.recent.each(func(e Entry) {
		if keep(e) {
			out = append(out, e)
		}
	})
	return out
}
