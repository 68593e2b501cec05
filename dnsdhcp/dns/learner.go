package dns

import (
	"context"
	"net/netip"
	"slices"
	"sort"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// Learner has to know of the addresses of some names before anybody who has asked for them: routes to them are chosen by
// what it knows, and the first packet follows the answer at once.
type Learner interface {
	// Wants reports whether the addresses of a name (lower case, with a final dot) are to be told. It does not wait.
	Wants(name string) bool
	// Learn is told of addresses; whoever gets the answer may use them for ttl. The answer is given when it returns, and
	// not at all if it returns an error: whoever asked would go the wrong way.
	Learn(ctx context.Context, name string, addrs []netip.Addr, ttl time.Duration) error
}

// learnWithin bounds what a client waits for besides its answer.
const learnWithin = 2 * time.Second

// learn tells the learner of the addresses in an answer to name, if it wants it. asked is the question that it answers,
// where that is another name's.
func (h *Handler) learn(s *settings, name, asked, msg []byte) error {
	if h.learner == nil || wire.Count(msg, 1) == 0 {
		return nil
	}
	text := wire.Text(name)
	wanted := h.learner.Wants(text)
	if !wanted && len(asked) > 4 {
		if other := wire.Text(asked[:len(asked)-4]); other != text {
			text, wanted = other, h.learner.Wants(other)
		}
	}
	alias := false
	wire.Walk(msg, func(r wire.Record) bool {
		alias = alias || r.Type == wire.TypeCNAME
		return !alias
	})
	if !wanted && !alias {
		return nil
	}
	var m miekg.Msg
	if m.Unpack(msg) != nil {
		return nil // nothing that anybody could use
	}
	var addrs []netip.Addr
	var ttl uint32
	for _, rr := range m.Answer {
		if owner := miekg.CanonicalName(rr.Header().Name); !wanted && h.learner.Wants(owner) {
			text, wanted = owner, true // another name for one that is wanted
		}
		found := addresses(rr)
		if len(found) > 0 {
			ttl = max(ttl, rr.Header().Ttl)
		}
		addrs = append(addrs, found...)
	}
	if !wanted || len(addrs) == 0 {
		return nil
	}
	sort.Slice(addrs, func(i, j int) bool { return addrs[i].Less(addrs[j]) })
	ctx, cancel := context.WithTimeout(context.Background(), learnWithin)
	defer cancel()
	err := h.learner.Learn(ctx, text, slices.Compact(addrs), max(time.Duration(ttl)*time.Second, s.Cache.MinTTL))
	if err != nil && h.logger != nil {
		h.logger.Warn("an answer is held back, as its addresses could not be learnt", "name", text, "err", err)
	}
	return err
}

// addresses are those that a client may connect to because of a record: hints too (RFC 9460 section 7.3).
func addresses(rr miekg.RR) []netip.Addr {
	var out []netip.Addr
	add := func(ip []byte) {
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, a.Unmap())
		}
	}
	hints := func(values []miekg.SVCBKeyValue) {
		for _, v := range values {
			switch v := v.(type) {
			case *miekg.SVCBIPv4Hint:
				for _, ip := range v.Hint {
					add(ip)
				}
			case *miekg.SVCBIPv6Hint:
				for _, ip := range v.Hint {
					add(ip)
				}
			}
		}
	}
	switch rr := rr.(type) {
	case *miekg.A:
		add(rr.A)
	case *miekg.AAAA:
		add(rr.AAAA)
	case *miekg.HTTPS:
		hints(rr.Value)
	case *miekg.SVCB:
		hints(rr.Value)
	}
	return out
}
