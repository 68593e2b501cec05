package forward

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// pool is the connections to one upstream: questions are pipelined on the newest (RFC 7766 section 6.2.1.1) as long as
// it has room.
type pool struct {
	mu      sync.Mutex
	current *stream
	dialing chan struct{} // closed when a dial in progress is over
}

// stream is a TCP connection. Answers come in any order and are told apart by ID and question.
type stream struct {
	conn net.Conn
	idle time.Duration

	write   sync.Mutex
	mu      sync.Mutex
	waiting map[uint16]chan []byte // closed without a message when the connection ends
	closed  bool
}

// tcp asks over a connection. One that was kept may have been closed by the other side meanwhile; then a fresh one is
// tried, which is the same try (RFC 7766 section 6.2.4).
func (a *asker) tcp(ctx context.Context, u *upstream, q Question, edns bool) (reply, error) {
	for again := true; ; again = false {
		s, fresh, err := a.stream(ctx, u)
		if err != nil {
			return reply{}, err
		}
		u.count.sent.Add(1)
		u.count.tcp.Add(1)
		r, err := a.onStream(ctx, s, u, q, edns)
		if err == io.EOF && !fresh && again && ctx.Err() == nil {
			continue
		}
		return r, err
	}
}

// stream returns the connection to use, dialling if there is none.
func (a *asker) stream(ctx context.Context, u *upstream) (s *stream, fresh bool, err error) {
	p := &u.conns
	for {
		p.mu.Lock()
		if p.current.usable(a.config.TCPQueries) {
			s = p.current
			p.mu.Unlock()
			return s, false, nil
		}
		if wait := p.dialing; wait != nil {
			p.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, false, ctx.Err()
			}
		}
		done := make(chan struct{})
		p.dialing = done
		p.mu.Unlock()

		u.count.tcpDialled.Add(1)
		conn, err := a.dialer.DialTCP(ctx, u.Source, u.Addr)
		p.mu.Lock()
		p.dialing = nil
		close(done)
		if err != nil {
			p.mu.Unlock()
			return nil, false, err
		}
		s = &stream{conn: conn, idle: a.config.TCPIdle, waiting: map[uint16]chan []byte{}}
		p.current = s // a full one ends by itself when it has been idle
		p.mu.Unlock()
		// Until the first question is on it the connection must not be taken for an idle one.
		conn.SetReadDeadline(time.Now().Add(a.config.Deadline))
		go s.read()
		return s, true, nil
	}
}

func (p *pool) closeAll() {
	p.mu.Lock()
	s := p.current
	p.current = nil
	p.mu.Unlock()
	if s != nil {
		s.end()
	}
}

func (s *stream) usable(limit int) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed && len(s.waiting) < limit
}

func (a *asker) onStream(ctx context.Context, s *stream, u *upstream, q Question, edns bool) (reply, error) {
	id, ch, err := s.register(a.rand, a.config)
	if err != nil {
		return reply{}, err
	}
	defer s.forget(id)
	var out [2 + wire.HeaderLen + wire.MaxName + 4 + wire.OPTLen]byte
	frame := a.query(out[:2], id, q, u, edns)
	binary.BigEndian.PutUint16(frame, uint16(len(frame)-2))
	question := frame[2+wire.HeaderLen : 2+wire.HeaderLen+len(q.Wire)]

	s.write.Lock()
	if deadline, ok := ctx.Deadline(); ok {
		s.conn.SetWriteDeadline(deadline)
	}
	_, err = s.conn.Write(frame) // length and message in one segment: RFC 7766 section 8
	s.write.Unlock()
	if err != nil {
		s.end()
		return reply{}, io.EOF
	}
	select {
	case msg, ok := <-ch:
		if !ok {
			return reply{}, io.EOF
		}
		v := match(msg, id, question, false)
		if v != accept && v != noRecords {
			u.mismatch(v)
			s.end() // whoever answers other questions than were asked has lost count
			return reply{}, errGarbage
		}
		return u.take(msg, v)
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

func (s *stream) register(rand func() uint64, c *Config) (uint16, chan []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, nil, io.EOF
	}
	if len(s.waiting) >= c.TCPQueries {
		return 0, nil, errBusy
	}
	for {
		id := uint16(rand())
		if _, taken := s.waiting[id]; !taken {
			ch := make(chan []byte, 1)
			s.waiting[id] = ch
			s.conn.SetReadDeadline(time.Now().Add(c.Deadline + s.idle))
			return id, ch, nil
		}
	}
}

func (s *stream) forget(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
	if len(s.waiting) == 0 && !s.closed {
		s.conn.SetReadDeadline(time.Now().Add(s.idle))
	}
}

// read hands the answers out until the connection ends.
func (s *stream) read() {
	defer s.end()
	var head [2]byte
	for {
		if _, err := io.ReadFull(s.conn, head[:]); err != nil {
			return
		}
		msg := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(s.conn, msg); err != nil || len(msg) < wire.HeaderLen {
			return
		}
		s.mu.Lock()
		ch := s.waiting[wire.ID(msg)]
		delete(s.waiting, wire.ID(msg))
		s.mu.Unlock()
		if ch != nil { // else the asker has given up
			ch <- msg
		}
	}
}

func (s *stream) end() {
	s.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id, ch := range s.waiting {
		close(ch)
		delete(s.waiting, id)
	}
}
