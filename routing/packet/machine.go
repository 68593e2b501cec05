package packet

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
)

// machine is one packet on its way.
type machine struct {
	w      World
	f      *facts.Facts
	p      Packet
	s      *skb
	at     string // the hook
	tracks bool   // somebody asks for connection tracking
	nats   bool   // there are nat chains
	seen   bool   // connection tracking has seen the packet
	route  fib.Result
	added  map[string][][]byte // what rules have added to sets on the way
	jumps  int
	out    Result
}

func newMachine(w World, p Packet) *machine {
	if w.Facts == nil {
		w.Facts = &facts.Facts{}
	}
	w.Tables = slices.DeleteFunc(slices.Clone(w.Tables), func(t tableOf) bool { return t.Dormant })
	m := &machine{w: w, f: w.Facts, p: p, added: map[string][][]byte{}}
	m.out = Result{Certain: true, packet: p}
	p.To, p.From = p.To.Unmap(), p.From.Unmap()
	s := &skb{src: p.From, dst: p.To, sport: p.Sport, dport: p.Dport, flags: p.Flags, ttl: p.TTL, length: p.Length, mark: word{p.Mark, true}, uid: p.UID}
	m.s = s
	s.proto, _ = protocol(p.Proto, s.six())
	if s.sport == 0 && s.ported() {
		s.sport = ephemeral
	}
	switch s.proto {
	case protoTCP:
		if s.flags == 0 {
			s.flags = flagSYN
			if p.State == Established {
				s.flags = flagACK
			}
		}
	case protoICMP, protoICMPv6:
		s.icmpType = 8
		if s.proto == protoICMPv6 {
			s.icmpType = 128
		}
		if p.ICMPType != nil {
			s.icmpType = *p.ICMPType
		}
		s.icmpCode = p.ICMPCode
	}
	if s.ttl == 0 {
		s.ttl = 64
		if s.proto == protoICMPv6 && s.icmpType >= 133 && s.icmpType <= 137 {
			s.ttl = 255 // RFC 4861
		}
	}
	m.uses()
	return m
}

func (m *machine) step(s Step) {
	s.Hook = m.at
	if s.Match || m.p.All {
		m.out.Steps = append(m.out.Steps, s)
	}
}

// doubt says what could not be judged; it may change the verdict.
func (m *machine) doubt(format string, args ...any) {
	m.out.Certain = false
	d := fmt.Sprintf(format, args...)
	if !slices.Contains(m.out.Doubts, d) {
		m.out.Doubts = append(m.out.Doubts, d)
	}
}

// note adds a line that changes nothing.
func (m *machine) note(text string) {
	m.step(Step{Text: text, Match: true})
}

// end fixes the verdict.
func (m *machine) end(v Verdict, why string, by *Step) Result {
	s := m.s
	m.out.Verdict, m.out.Why, m.out.By = v, why, by
	m.out.Src, m.out.Dst, m.out.Mark, m.out.flow = s.src, s.dst, s.mark.v, s.flow
	if s.ported() {
		m.out.Sport, m.out.Dport = s.sport, s.dport
	}
	if !s.mark.known {
		m.doubt("the packet's mark is not known")
	}
	return m.out
}

// lost is the verdict that a hook has left in out.
func (m *machine) lost() Result { return m.end(m.out.Verdict, m.out.Why, m.out.By) }

func (m *machine) run() Result {
	if !m.s.dst.IsValid() {
		return m.end(NoRoute, "there is no destination", nil)
	}
	if m.s.src.IsValid() && m.s.src.Is4() != m.s.dst.Is4() {
		return m.end(NoRoute, "the source is of one family, the destination of the other", nil)
	}
	if _, ok := protocol(m.p.Proto, m.s.six()); !ok {
		return m.end(NoRoute, "there is no protocol "+m.p.Proto, nil)
	}
	if m.p.In != "" {
		return m.comeIn()
	}
	return m.sendOut()
}

func (m *machine) link(name string) *facts.Link {
	l, ok := m.f.LinkByName(name)
	if !ok {
		return nil
	}
	return &l
}

func (m *machine) linkAt(index int) *facts.Link {
	l, ok := m.f.LinkByIndex(index)
	if !ok {
		return nil
	}
	return &l
}
