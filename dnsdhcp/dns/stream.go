package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"sync"
	"time"
)

// connTable counts connections.
type connTable struct {
	mu     sync.Mutex
	total  int
	client map[netip.Addr]int
}

func (t *connTable) add(a netip.Addr, limits TCP) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total >= limits.Total || t.client[a] >= limits.PerClient {
		return false
	}
	if t.client == nil {
		t.client = map[netip.Addr]int{}
	}
	t.total++
	t.client[a]++
	return true
}

func (t *connTable) remove(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.client[a]--; t.client[a] <= 0 {
		delete(t.client, a)
	}
}

// writeTime is how long a client may leave a reply unread.
const writeTime = 5 * time.Second

// converse answers the questions of a connection as their answers come (RFC 7766 section 7). It ends when the client
// has nothing more to ask and has got everything, when it has been silent, or with ctx.
func (s *Server) converse(ctx context.Context, link string, c Stream, limits TCP) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	slots := make(chan struct{}, limits.Pipeline) // a question in work holds one
	replies := make(chan []byte, limits.Pipeline) // so there is always room here
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		broken := false
		for r := range replies {
			if !broken {
				c.SetWriteDeadline(time.Now().Add(writeTime))
				if _, err := c.Write(r); err != nil {
					broken = true
					c.Close() // the reader notices
				}
			}
			<-slots
		}
	}()
	defer func() {
		for range cap(slots) { // wait until nothing is in work
			slots <- struct{}{}
		}
		close(replies)
		<-writer
	}()

	var w Scratch
	var head [2]byte
	query := make([]byte, 0, 512)
	for {
		slots <- struct{}{}
		// The time counts from the last question. With answers outstanding the client may wait for those first.
		idle := limits.Idle
		if len(slots) > 1 {
			idle += s.state.Load().Forward.Deadline
		}
		c.SetReadDeadline(time.Now().Add(idle))
		n := 0
		if _, err := io.ReadFull(c, head[:]); err == nil {
			n = int(binary.BigEndian.Uint16(head[:]))
		}
		query = append(query[:0], make([]byte, n)...)
		if n == 0 {
			<-slots
			return
		}
		if _, err := io.ReadFull(c, query); err != nil {
			<-slots
			return
		}
		from := Peer{Addr: c.Peer, TCP: true, Link: s.Link(link)}
		reply, miss := s.Serve(&w, query, from, s.clock.Now(), make([]byte, 2, 512))
		waits := len(reply) == 2 && miss != nil
		switch {
		case len(reply) > 2:
			replies <- framed(reply)
		case !waits: // no answer to this one: nor will there be a sensible question
			<-slots
			return
		}
		if miss != nil {
			s.Resolve(miss, s.clock, func(reply []byte) {
				replies <- framed(append([]byte{0, 0}, reply...))
			})
		}
	}
}

// framed fills in the length that a message begins with (RFC 1035 section 4.2.2): both go out in one segment.
func framed(b []byte) []byte {
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}
