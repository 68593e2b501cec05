package forward

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

var (
	errGarbage = errors.New("cannot read the answer")
	errSpoofed = errors.New("too many answers that do not fit the question")
	errBusy    = errors.New("too many questions in flight on the connection")
)

// spoofLimit is how many answers that do not fit are put up with on one port before the question goes over TCP, where
// nobody can guess along.
const spoofLimit = 8

var readBuffers = sync.Pool{New: func() any { b := make([]byte, maxUDP); return &b }}

// ask is one question to one upstream: what asker shares of its parts.
type asker struct {
	dialer Dialer
	clock  clock.Clock
	rand   func() uint64
	config *Config
}

// reply is an acceptable answer.
type reply struct {
	msg   []byte
	rcode int
}

// exchange asks u once, over UDP and, where that does not suffice, over TCP. Falling back to a question without EDNS
// counts as the same try.
func (a *asker) exchange(ctx context.Context, u *upstream, q Question) (reply, error) {
	edns := !u.ednsOff(a.clock.Now())
	r, err := a.once(ctx, u, q, edns)
	if err != nil || !edns {
		return r, err
	}
	switch r.rcode {
	case wire.FormErr, wire.NotImp, wire.BadVers:
		// RFC 6891 section 7: a server that does not know EDNS. If the answer without it is no better, EDNS is not to blame.
		without, err := a.once(ctx, u, q, false)
		if err != nil {
			return r, nil
		}
		if without.rcode == wire.NoError || without.rcode == wire.NXDomain {
			u.setPlain(a.clock.Now())
		}
		return without, nil
	}
	return r, nil
}

func (a *asker) once(ctx context.Context, u *upstream, q Question, edns bool) (reply, error) {
	if !u.TCP {
		r, err := a.udp(ctx, u, q, edns)
		if err != errSpoofed && (err != nil || wire.Flags(r.msg)&wire.TC == 0) {
			return r, err
		}
		if err == nil {
			u.count.truncated.Add(1)
		}
		over, tcpErr := a.tcp(ctx, u, q, edns)
		if tcpErr != nil && err == nil && ctx.Err() == nil {
			return r, nil // better cut than nothing: the client may do TCP where we could not
		}
		return over, tcpErr
	}
	return a.tcp(ctx, u, q, edns)
}

func (a *asker) udp(ctx context.Context, u *upstream, q Question, edns bool) (reply, error) {
	conn, err := a.dialer.DialUDP(ctx, u.Source, u.Addr)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	room := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(room)
	id := uint16(a.rand())
	var out [wire.HeaderLen + wire.MaxName + 4 + wire.OPTLen]byte
	query := a.query(out[:0], id, q, u, edns)
	question := query[wire.HeaderLen : wire.HeaderLen+len(q.Wire)]
	u.count.sent.Add(1)
	if _, err := conn.Write(query); err != nil {
		return reply{}, err
	}
	for bad := 0; ; {
		n, err := conn.Read(*room)
		if err != nil {
			return reply{}, err
		}
		msg := (*room)[:n]
		switch v := match(msg, id, question, u.MixCase); v {
		case accept, noRecords:
			return u.take(msg, v)
		case wrongCase:
			// Either a forger that knows port and ID, or a server that changes names; TCP settles it.
			u.count.wrongCase.Add(1)
			return reply{}, errSpoofed
		default:
			u.mismatch(v)
		}
		if bad++; bad >= spoofLimit {
			return reply{}, errSpoofed
		}
	}
}

func (u *upstream) mismatch(v verdict) {
	if v == wrongID {
		u.count.wrongID.Add(1)
	} else {
		u.count.wrongName.Add(1)
	}
}

// take makes a matching message a reply of its own memory.
func (u *upstream) take(msg []byte, v verdict) (reply, error) {
	if v == noRecords {
		return reply{msg: append([]byte(nil), msg[:wire.HeaderLen]...), rcode: int(wire.Flags(msg) & wire.RcodeMask)}, nil
	}
	cut, rcode, ok := Accepted(msg)
	if !ok {
		u.count.garbage.Add(1)
		return reply{}, errGarbage
	}
	return reply{msg: append([]byte(nil), cut...), rcode: rcode}, nil
}

// query writes a question: RD; AD, to be told what the upstream has validated (RFC 6840 section 5.7); EDNS without
// options, so that nothing about the client is told either.
func (a *asker) query(out []byte, id uint16, q Question, u *upstream, edns bool) []byte {
	flags := wire.RD | wire.AD
	if q.CD {
		flags |= wire.CD
	}
	ar := byte(0)
	if edns {
		ar = 1
	}
	out = append(out, byte(id>>8), byte(id), byte(flags>>8), byte(flags), 0, 1, 0, 0, 0, 0, 0, ar)
	start := len(out)
	out = append(out, q.Wire...)
	if u.MixCase {
		mixCase(out[start:len(out)-4], a.rand)
	}
	if edns {
		do := byte(0)
		if q.DO {
			do = 0x80
		}
		out = append(out, 0, 0, wire.TypeOPT, byte(a.config.EDNSSize>>8), byte(a.config.EDNSSize), 0, 0, do, 0, 0, 0)
	}
	return out
}

func mixCase(name []byte, rand func() uint64) {
	var bits uint64
	for i := range name {
		if i%64 == 0 {
			bits = rand()
		}
		if c := name[i]; 'a' <= c && c <= 'z' && bits&1 == 1 {
			name[i] = c - 'a' + 'A'
		}
		bits >>= 1
	}
}

func timeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
