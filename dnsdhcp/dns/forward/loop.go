package forward

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// A probe asks for a name that nobody else knows; if it comes in as a client's question, the upstream that it was sent
// to asks us. The domain is .test (RFC 6761 section 6.2): resolvers that answer that by themselves do not pass it on,
// but those are also not the simple forwarders of which loops are made.
const (
	probeLabel = 1 + 16 + 4
	probeLen   = 1 + probeLabel + len(probeTail)
	probeTail  = "\x04test\x00"
)

func (f *Forwarder) probeName(serial uint16) []byte {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:], f.token)
	binary.BigEndian.PutUint16(b[8:], serial)
	name := append(make([]byte, 0, probeLen), probeLabel, 'p')
	name = hex.AppendEncode(name, b[:])
	return append(name, probeTail...)
}

// IsProbe says whether a client's question, its name in lower-case wire form, is one of our own probes come back, and
// takes the upstream that it went to out of service until the next LinkChanged or a configuration without it.
func (f *Forwarder) IsProbe(name []byte) bool {
	if len(name) != probeLen || name[1] != 'p' || string(name[probeLen-len(probeTail):]) != probeTail {
		return false
	}
	var b [10]byte
	if _, err := hex.Decode(b[:], name[2:2+20]); err != nil || binary.BigEndian.Uint64(b[:]) != f.token {
		return false
	}
	serial := binary.BigEndian.Uint16(b[8:])
	for _, u := range f.state.Load().ups {
		if u.serial != serial {
			continue
		}
		u.mu.Lock()
		u.loops = true
		u.mu.Unlock()
		f.log.Warn("upstream sends our questions back to us: not asked any more", "upstream", u.Addr)
	}
	return true
}

// ProbeLoops sends a probe to every upstream. Answers do not matter.
func (f *Forwarder) ProbeLoops() { f.probeLoops(f.state.Load().ups) }

func (f *Forwarder) probeLoops(ups []*upstream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(ups) == 0 || f.ctx == nil || f.ctx.Err() != nil {
		return
	}
	ctx, s := f.ctx, f.state.Load()
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		a := f.asker
		a.config = &s.config
		for _, u := range ups {
			if u.TCP {
				continue
			}
			conn, err := a.dialer.DialUDP(ctx, u.Source, u.Addr)
			if err != nil {
				continue
			}
			q := Question{Wire: append(f.probeName(u.serial), 0, 16, 0, wire.ClassIN)}
			conn.Write(a.query(nil, uint16(a.rand()), q, &upstream{}, false))
			conn.Close()
		}
	})
}
