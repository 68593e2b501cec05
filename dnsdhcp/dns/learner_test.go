package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/forward"
)

// pupil is a Learner for names below one domain.
type pupil struct {
	mu     sync.Mutex
	domain string
	told   []string
	err    error
}

func (p *pupil) Wants(name string) bool { return strings.HasSuffix("."+name, "."+p.domain) }

func (p *pupil) Learn(ctx context.Context, name string, addrs []netip.Addr, ttl time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("without a bound")
	}
	p.told = append(p.told, fmt.Sprint(name, " ", addrs, " ", ttl))
	return p.err
}

func (p *pupil) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := strings.Join(p.told, "; ")
	p.told = nil
	return out
}

func TestLearner(t *testing.T) {
	c := testConfig(t)
	c.Cache.StaleFor = time.Hour
	up := records("www.video.example. 60 IN CNAME cdn.example.", "cdn.example. 300 IN A 203.0.114.2", "www.video.example. 60 IN AAAA 2606:4700::1", "other.example. 60 IN A 203.0.114.9",
		"alias.example. 60 IN CNAME video.example.", "video.example. 60 IN A 203.0.114.7", "h.video.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=203.0.114.3 ipv6hint=2606:4700::3",
		"text.video.example. 60 IN TXT x")
	chain := func(q *miekg.Msg, tcp bool) *miekg.Msg {
		m := up(q, tcp)
		alias := q.Copy()
		if alias.Question[0].Qtype = miekg.TypeCNAME; len(m.Answer) > 0 || q.Question[0].Qtype != miekg.TypeA {
			return m
		}
		for _, rr := range up(alias, tcp).Answer { // a resolver adds what an alias stands for
			next := new(miekg.Msg)
			next.SetQuestion(rr.(*miekg.CNAME).Target, q.Question[0].Qtype)
			m.Answer, m.Rcode = append([]miekg.RR{rr}, up(next, tcp).Answer...), 0
		}
		return m
	}
	bubble(t, c, chain, func(t *testing.T, r *rig) {
		p := &pupil{domain: "video.example."}
		r.learner = p
		for _, q := range []struct {
			name  string
			qtype uint16
			told  string
		}{
			{"www.video.example.", miekg.TypeA, "www.video.example. [203.0.114.2] 5m0s"},
			{"WWW.Video.example.", miekg.TypeA, ""}, // from the cache: it is known already
			{"www.video.example.", miekg.TypeAAAA, "www.video.example. [2606:4700::1] 1m0s"},
			{"h.video.example.", miekg.TypeHTTPS, "h.video.example. [203.0.114.3 2606:4700::3] 1m0s"},
			{"text.video.example.", miekg.TypeTXT, ""},
			{"other.example.", miekg.TypeA, ""},
			{"alias.example.", miekg.TypeA, "video.example. [203.0.114.7] 1m0s"},
			{"none.video.example.", miekg.TypeA, ""},
		} {
			m := r.ask(q.name, q.qtype, nil)
			if got := p.take(); got != q.told || m.Rcode == miekg.RcodeServerFailure {
				t.Errorf("%s: told %q, want %q; %v", q.name, got, q.told, m)
			}
		}
		// Who cannot be told keeps the answer back, and it is not in the cache either.
		p.err = errors.New("the set is full")
		r.state.Load().cache.Drop(func([]byte, uint16, uint16) bool { return true })
		for range 2 {
			if m := r.ask("www.video.example.", miekg.TypeA, edns(1232, false)); m.Rcode != miekg.RcodeServerFailure || len(m.Answer) != 0 || r.notes.last().Reason != forward.Unlearnt.String() {
				t.Errorf("%v %+v", m, r.notes.last())
			}
		}
		p.err = nil
		if m := r.ask("www.video.example.", miekg.TypeA, nil); len(m.Answer) != 2 {
			t.Errorf("%v", m)
		}
		p.take()
		// What is given though it has run out is learnt again.
		time.Sleep(10 * time.Minute)
		r.up.set(func() { r.up.f = func(*miekg.Msg, bool) *miekg.Msg { return nil } })
		if m := r.ask("www.video.example.", miekg.TypeA, nil); len(m.Answer) != 2 {
			t.Errorf("%v", m)
		}
		if got := p.take(); !strings.HasPrefix(got, "www.video.example. [203.0.114.2] ") {
			t.Errorf("stale: %q", got)
		}
	})
}

func TestNear(t *testing.T) {
	near := netip.MustParseAddrPort("192.0.2.99:53")
	c := testConfig(t)
	c.Forward.Groups = []forward.Group{{Upstreams: []forward.Upstream{{Addr: up1}}, Near: "near", List: "home"}, {Name: "near", Upstreams: []forward.Upstream{{Addr: near}}}}
	far := records("home.example. 60 IN A 9.9.9.1", "forged.example. 60 IN A 9.9.9.2", "far.example. 60 IN A 9.9.9.3", "mixed.example. 60 IN A 9.9.9.4", "slow.example. 60 IN A 9.9.9.5",
		"home.example. 60 IN TXT far", "dead.example. 60 IN A 9.9.9.6")
	nearAnswers := records("home.example. 60 IN A 203.0.114.1", "forged.example. 60 IN A 192.0.2.66", "mixed.example. 60 IN A 203.0.114.4", "mixed.example. 60 IN A 192.0.2.66", "home.example. 60 IN TXT near",
		"slow.example. 60 IN A 203.0.114.5", "onlynear.example. 60 IN A 203.0.114.9")
	n := &upstream{f: func(q *miekg.Msg, tcp bool) *miekg.Msg {
		switch q.Question[0].Name {
		case "dead.example.":
			return nil
		case "slow.example.":
			time.Sleep(2 * time.Second)
		}
		return nearAnswers(q, tcp)
	}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	home := netip.MustParsePrefix("203.0.114.0/24")
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, up: &upstream{f: far}, notes: &notes{}}
		r.Server = New(c, Options{Clock: bubbleClock{time.Now()}, Dialer: world{up1: r.up, near: n}, Recorder: r.notes,
			InList: func(list string, a netip.Addr) bool { return list == "home" && home.Contains(a) }})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		defer func() { cancel(); <-done; time.Sleep(time.Minute) }()
		time.Sleep(3 * time.Second)
		for _, q := range []struct {
			name  string
			qtype uint16
			want  string
			most  time.Duration
		}{
			{"home.example.", miekg.TypeA, "203.0.114.1", time.Second},
			{"forged.example.", miekg.TypeA, "9.9.9.2", time.Second},
			{"far.example.", miekg.TypeA, "9.9.9.3", time.Second},
			{"mixed.example.", miekg.TypeA, "9.9.9.4", time.Second},
			{"slow.example.", miekg.TypeA, "9.9.9.5", time.Second},
			{"dead.example.", miekg.TypeA, "9.9.9.6", time.Second},
			{"home.example.", miekg.TypeTXT, "far", time.Second},
			{"onlynear.example.", miekg.TypeA, "203.0.114.9", time.Second},
		} {
			start := time.Now()
			m := r.ask(q.name, q.qtype, nil)
			if len(m.Answer) != 1 || !strings.Contains(m.Answer[0].String(), q.want) || time.Since(start) > q.most {
				t.Errorf("%s: %v after %v, want %s", q.name, m, time.Since(start), q.want)
			}
		}
	})
}
