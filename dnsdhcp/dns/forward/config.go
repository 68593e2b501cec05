package forward

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Config is whom to ask, and how hard.
type Config struct {
	Groups []Group

	Deadline time.Duration // of a question, over all tries; clients give up after about 5 s (resolv.conf(5))
	Tries    int           // how many times a question is sent at most, over all upstreams of its group
	MinHedge time.Duration // a second try is sent when the first took twice its usual time, but not before this ...
	MaxHedge time.Duration // ... and not after this
	MaxBack  time.Duration // longest time that a dead upstream is not asked

	MaxBytes   int           // bound of what waits for answers, estimated at FlightBytes a question and WaiterBytes an asker
	MaxWaiters int           // askers of one question
	EDNSSize   uint16        // what upstreams may send over UDP (RFC 9715: 1232 is not fragmented)
	TCPIdle    time.Duration // how long an unused connection is kept (RFC 7766 section 6.2.3: seconds)
	TCPQueries int           // in flight on one connection
}

// Estimates for the budget of Config.MaxBytes: stacks and buffers, not only the question itself.
const (
	FlightBytes = 8 << 10
	WaiterBytes = 1 << 10
)

// Group is upstreams that give the same answers.
type Group struct {
	Name      string
	Upstreams []Upstream
	// Near names a group that is asked at the same time for addresses: its answer counts if every address in it lies in
	// the list called List (Options.InList), and this group's does otherwise. Empty: there is none.
	Near, List string
}

// Upstream is one server as one asks it. It is comparable: an unchanged one keeps what is known about it across Configure.
type Upstream struct {
	Addr netip.AddrPort
	Source
	TCP     bool // never UDP
	MixCase bool // 0x20: random case in the question, which the answer must repeat
}

// Defaults has no group.
func Defaults() Config {
	return Config{
		Deadline: 5 * time.Second, Tries: 4,
		MinHedge: 100 * time.Millisecond, MaxHedge: 800 * time.Millisecond, MaxBack: 30 * time.Second,
		MaxBytes: 8 << 20, MaxWaiters: 64, EDNSSize: 1232, TCPIdle: 10 * time.Second, TCPQueries: 100,
	}
}

// Validate says everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	seen := map[string]bool{}
	for _, g := range c.Groups {
		if seen[g.Name] {
			bad("group %q of upstreams is there twice", g.Name)
		}
		seen[g.Name] = true
		for i, u := range g.Upstreams {
			if !u.Addr.IsValid() || u.Addr.Port() == 0 || u.Addr.Addr().IsUnspecified() || u.Addr.Addr().IsMulticast() {
				bad("upstream %v of group %q: not an address and port to ask", u.Addr, g.Name)
				continue
			}
			if u.Addr.Addr().IsLinkLocalUnicast() && u.Addr.Addr().Is6() && u.Interface == "" && u.Addr.Addr().Zone() == "" {
				bad("upstream %v of group %q: a link-local address needs an interface", u.Addr, g.Name)
			}
			if u.Source.Addr.IsValid() && u.Source.Addr.Unmap().Is4() != u.Addr.Addr().Unmap().Is4() {
				bad("upstream %v of group %q cannot be asked from %v: another family", u.Addr, g.Name, u.Source.Addr)
			}
			for _, o := range g.Upstreams[:i] {
				if o.Addr == u.Addr && o.Source == u.Source {
					bad("upstream %v of group %q is there twice", u.Addr, g.Name)
				}
			}
		}
	}
	for _, g := range c.Groups {
		if g.Near == "" {
			continue
		}
		i := slices.IndexFunc(c.Groups, func(o Group) bool { return o.Name == g.Near })
		if i < 0 || c.Groups[i].Near != "" || g.List == "" {
			bad("group %q of upstreams has %q near it for the list %q: not a group without another one near", g.Name, g.Near, g.List)
		}
	}
	if c.Deadline < 100*time.Millisecond || c.Deadline > time.Minute {
		bad("deadline %v: must be 100ms to 1m", c.Deadline)
	}
	if c.Tries < 1 || c.Tries > 16 {
		bad("%d tries: must be 1 to 16", c.Tries)
	}
	if c.MinHedge < time.Millisecond || c.MaxHedge < c.MinHedge {
		bad("second try after %v to %v: must be 1ms or more, and in order", c.MinHedge, c.MaxHedge)
	}
	if c.MaxBack < time.Second || c.MaxBack > time.Hour {
		bad("back-off of up to %v: must be 1s to 1h", c.MaxBack)
	}
	if c.MaxBytes < 16*FlightBytes {
		bad("budget of %d bytes for questions in flight: must be %d or more", c.MaxBytes, 16*FlightBytes)
	}
	if c.MaxWaiters < 1 {
		bad("%d askers of one question: must be 1 or more", c.MaxWaiters)
	}
	if c.EDNSSize < 512 || c.EDNSSize > maxUDP {
		bad("EDNS size %d: must be 512 to %d", c.EDNSSize, maxUDP)
	}
	if c.TCPIdle < 0 || c.TCPQueries < 1 || c.TCPQueries > 10000 {
		bad("TCP connections with %d questions in flight, kept for %v: must be 1 to 10000, and 0 or more", c.TCPQueries, c.TCPIdle)
	}
	return errors.Join(errs...)
}
