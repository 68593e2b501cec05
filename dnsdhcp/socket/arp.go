package socket

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

const (
	// probeCount is PROBE_NUM of RFC 5227 section 1.1; its spacing of one to two seconds is for hosts, who have the time.
	probeCount = 3
	// probeLength is how long a probe lasts whose context has no deadline.
	probeLength = 500 * time.Millisecond
	// maxQuestions is how many addresses are asked for at once; a probe beyond that is not sent.
	maxQuestions = 4096
)

// ARP asks one link who uses an address. Any number of questions run beside each other; while there is none, a filter keeps
// all ARP packets of the link from waking the process.
type ARP struct {
	c     arpConn
	index int
	self  [6]byte

	mu     sync.Mutex
	asked  map[netip.Addr][]*question
	queue  questions
	closed bool

	wake  chan struct{}
	ended sync.WaitGroup
}

// arpConn is the packet socket.
type arpConn interface {
	read(b []byte) (int, error) // from the ARP header on
	send(frame []byte, to [6]byte) error
	listen(on bool) // let ARP packets in or not
	close(why error)
}

// question is one address that is asked for.
type question struct {
	addr netip.Addr
	to   [6]byte // where requests go
	only string  // the only one whose answer counts; empty for anybody's
	left int     // requests to be sent
	gap  time.Duration
	next time.Time // of the next request, or the end if none is left
	end  time.Time
	done func(bool, lease.HW)
	stop func() bool
	at   int // in the queue, -1 when it is answered
}

var everybody = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// OpenARP opens the ARP socket of a link; Close ends it.
func OpenARP(l link.Link) (*ARP, error) {
	if l.Type != ethernet || len(l.MAC) != 6 {
		return nil, errors.New("cannot probe addresses on " + l.Name + ": it has no Ethernet addresses")
	}
	c, err := openARP(l)
	if err != nil {
		return nil, err
	}
	return newARP(c, l), nil
}

func newARP(c arpConn, l link.Link) *ARP {
	a := &ARP{c: c, index: l.Index, self: [6]byte(l.MAC), asked: map[netip.Addr][]*question{}, wake: make(chan struct{}, 1)}
	a.ended.Add(2)
	go a.read()
	go a.send()
	return a
}

// Probe is that of dhcp4.Prober: the same as asking everybody with the sender address 0.0.0.0, which changes nobody's
// neighbour table.
func (a *ARP) Probe(ctx context.Context, ifindex int, addr netip.Addr, done func(inUse bool, by lease.HW)) {
	if ifindex != a.index {
		go done(false, lease.HW{})
		return
	}
	a.ask(ctx, &question{addr: addr, to: everybody, done: done})
}

// Alive asks one machine whether it still uses an address; what others say does not count. done is called as for Probe.
func (a *ARP) Alive(ctx context.Context, addr netip.Addr, hw lease.HW, done func(alive bool, by lease.HW)) {
	if hw.Type != 1 || len(hw.Addr) != 6 {
		go done(false, lease.HW{})
		return
	}
	a.ask(ctx, &question{addr: addr, to: [6]byte([]byte(hw.Addr)), only: hw.Addr, done: done})
}

func (a *ARP) ask(ctx context.Context, q *question) {
	now := time.Now()
	q.end = now.Add(probeLength)
	if d, ok := ctx.Deadline(); ok {
		q.end = d
	}
	q.left = probeCount
	q.gap = q.end.Sub(now) / probeCount
	// The first within a quarter of the gap, so that a hundred clients that are switched on at once are not asked for at once.
	q.next = now.Add(time.Duration(rand.Float64() * float64(q.gap) / 4))

	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || len(a.queue) >= maxQuestions || !q.addr.Is4() || q.gap <= 0 {
		go q.done(false, lease.HW{})
		return
	}
	q.stop = context.AfterFunc(ctx, func() { a.answer(q, false, lease.HW{}) })
	if len(a.queue) == 0 {
		a.c.listen(true)
	}
	a.asked[q.addr] = append(a.asked[q.addr], q)
	heap.Push(&a.queue, q)
	a.poke()
}

func (a *ARP) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// answer ends a question, once.
func (a *ARP) answer(q *question, inUse bool, by lease.HW) {
	a.mu.Lock()
	if q.at < 0 {
		a.mu.Unlock()
		return
	}
	a.forget(q)
	a.mu.Unlock()
	q.stop()
	q.done(inUse, by)
}

func (a *ARP) forget(q *question) {
	heap.Remove(&a.queue, q.at)
	same := a.asked[q.addr]
	for i := range same {
		if same[i] == q {
			same = append(same[:i], same[i+1:]...)
			break
		}
	}
	if len(same) == 0 {
		delete(a.asked, q.addr)
	} else {
		a.asked[q.addr] = same
	}
	if len(a.queue) == 0 && !a.closed {
		a.c.listen(false)
	}
}

// read takes ARP packets until the socket is closed.
func (a *ARP) read() {
	defer a.ended.Done()
	buf := make([]byte, 64)
	for {
		n, err := a.c.read(buf)
		if err != nil {
			a.shut(err)
			return
		}
		f, ok := parseARP(buf[:n])
		if !ok || f.senderHW == a.self {
			continue
		}
		hw := lease.HW{Type: 1, Addr: string(f.senderHW[:])}
		for _, q := range a.matching(f.claims(), hw) {
			a.answer(q, true, hw)
		}
	}
}

func (a *ARP) matching(addr netip.Addr, hw lease.HW) []*question {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*question
	for _, q := range a.asked[addr] {
		if q.only == "" || q.only == hw.Addr {
			out = append(out, q)
		}
	}
	return out
}

// send sends requests when they are due and ends the questions that nobody answered.
func (a *ARP) send() {
	defer a.ended.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	frame := make([]byte, 0, arpSize)
	for {
		q, wait, closed := a.due(time.Now())
		if closed {
			return
		}
		if q == nil {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-a.wake:
			}
			continue
		}
		if q.over {
			a.answer(q.question, false, lease.HW{})
			continue
		}
		frame = arpFrame{op: arpRequest, senderHW: a.self, senderIP: netip.IPv4Unspecified(), targetIP: q.addr}.append(frame[:0])
		// One that is lost is made up for by the next, unless there is no interface any more.
		if err := a.c.send(frame, q.to); errors.Is(err, ErrLinkGone) {
			a.shut(err)
			return
		}
	}
}

// turn is a question whose time has come.
type turn struct {
	*question
	over bool
}

// due returns the next question whose time has come, or how long it takes until one has.
func (a *ARP) due(now time.Time) (*turn, time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, 0, true
	}
	if len(a.queue) == 0 {
		return nil, time.Hour, false
	}
	q := a.queue[0]
	if wait := q.next.Sub(now); wait > 0 {
		return nil, wait, false
	}
	if q.left == 0 {
		return &turn{q, true}, 0, false
	}
	q.left--
	q.next = q.next.Add(time.Duration((0.75 + rand.Float64()/4) * float64(q.gap)))
	if q.left == 0 || q.next.After(q.end) {
		q.left, q.next = 0, q.end
	}
	heap.Fix(&a.queue, q.at)
	return &turn{q, false}, 0, false
}

// shut answers all questions and closes the socket.
func (a *ARP) shut(why error) {
	a.mu.Lock()
	was := a.closed
	a.closed = true
	open := append([]*question(nil), a.queue...)
	a.mu.Unlock()
	if !was {
		a.c.close(why)
		a.poke()
	}
	for _, q := range open {
		a.answer(q, false, lease.HW{})
	}
}

// Close answers all questions that are open with false, and waits until nothing is called any more.
func (a *ARP) Close() error {
	a.shut(net.ErrClosed)
	a.ended.Wait()
	return nil
}

// Gone is Close, because the link does not exist any more.
func (a *ARP) Gone() { _ = a.Close() }

// questions is a heap by time.
type questions []*question

func (q questions) Len() int           { return len(q) }
func (q questions) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q questions) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].at, q[j].at = i, j }
func (q *questions) Push(x any)        { e := x.(*question); e.at = len(*q); *q = append(*q, e) }
func (q *questions) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.at = -1
	return e
}
