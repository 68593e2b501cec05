package delegation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/delegation/pd"
	"github.com/provision-net/provision/routing/watch"
)

func conf() Config {
	five := uint16(5)
	return Config{Interface: "eth0", LAN: []LAN{{Interface: "eth1"}, {Interface: "eth2", Subnet: &five}}}
}

// machine is the network that the job sees and changes.
type machine struct {
	have    map[provision.Ref]provision.Attrs
	managed []string
	carrier bool
	uplink  string // in place of eth0
}

// look lets the job look and does what it says, until it says nothing more.
func (m *machine) look(t *testing.T, j *Job) (notes []string) {
	t.Helper()
	for range 10 {
		s := &watch.State{Now: time.Now(), Have: map[provision.Ref]provision.Attrs{}, Live: &facts.Live{Network: facts.Network{
			Links: []facts.Link{{Index: 2, Name: cmp.Or(m.uplink, "eth0"), Up: true, Carrier: m.carrier}, {Index: 3, Name: "eth1", Up: true}, {Index: 4, Name: "eth2", Up: true}}}}}
		for _, p := range m.managed {
			s.Routes = append(s.Routes, facts.Route{Dst: netip.MustParsePrefix(p), Proto: 16, Type: "unreachable", Table: 254})
		}
		for _, r := range j.Needs().Refs {
			s.Have[r] = m.have[r]
		}
		done := true
		notes = nil
		for _, r := range j.Look(s) {
			if r.Set == nil {
				notes = append(notes, r.Why)
				continue
			}
			done = false
			if r.Set.Want.Attrs == nil {
				delete(m.have, r.Set.Want.Ref)
			} else {
				m.have[r.Set.Want.Ref] = r.Set.Want.Attrs
			}
		}
		if done {
			return notes
		}
	}
	t.Error("the job never ends")
	return notes
}

func (m *machine) String() string {
	var out []string
	for r := range m.have {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// provider is a link with a server that delegates what prefix says.
type provider struct {
	prefix string
	busy   error
	sent   []pd.Type
	back   []pd.Prefix // what was given back
	in     chan pd.Message
	closed chan struct{}
}

func (p *provider) Open(context.Context, string) (Conn, []byte, error) {
	p.in, p.closed = make(chan pd.Message, 8), make(chan struct{}, 8)
	return p, []byte("duid"), p.busy
}
func (p *provider) Rand() float64 { return 0 }
func (p *provider) XID() [3]byte  { return [3]byte{1, 2, 3} }
func (p *provider) Close() error {
	select {
	case p.closed <- struct{}{}:
	default:
	}
	return nil
}

func (p *provider) Send(m pd.Message, length int) error {
	p.sent = append(p.sent, m.Type)
	if p.prefix == "" {
		return nil
	}
	if m.Type == pd.Release {
		p.back = append(p.back, m.Prefix...)
		p.in <- pd.Message{Type: pd.Reply, XID: m.XID, Client: m.Client, Server: []byte("s"), IAID: m.IAID}
		return nil
	}
	a := pd.Message{Type: pd.Reply, XID: m.XID, Client: m.Client, Server: []byte("s"), IAID: m.IAID, HasIA: true, T1: time.Hour, T2: 2 * time.Hour, Pref: 255,
		Prefix: []pd.Prefix{{Prefix: netip.MustParsePrefix(p.prefix), Preferred: 3 * time.Hour, Valid: 4 * time.Hour}}}
	if m.Type == pd.Solicit {
		a.Type = pd.Advertise
	}
	for _, old := range m.Prefix {
		if old.Prefix != a.Prefix[0].Prefix {
			a.Prefix = append(a.Prefix, pd.Prefix{Prefix: old.Prefix}) // withdrawn
		}
	}
	p.in <- a
	return nil
}

func (p *provider) Receive(_ uint32, deadline time.Time) (pd.Message, error) {
	var timer <-chan time.Time
	if !deadline.IsZero() {
		timer = time.After(time.Until(deadline))
	}
	select {
	case m := <-p.in:
		return m, nil
	case <-timer:
		return pd.Message{}, fmt.Errorf("waited: %w", os.ErrDeadlineExceeded)
	case <-p.closed:
		return pd.Message{}, errors.New("closed")
	}
}

const networks = "address:name:eth1 2001:db8:100::1/64\naddress:name:eth2 2001:db8:100:5::1/64"

func TestManaged(t *testing.T) {
	m := &machine{have: map[provision.Ref]provision.Attrs{}, managed: []string{"2001:db8:100::/56"}, carrier: true}
	j := &Job{Config: conf()}
	if notes := m.look(t, j); m.String() != networks || len(notes) > 0 {
		t.Errorf("%s %q", m, notes)
	}
	m.managed = []string{"2001:db8:200::/62"} // renumbered, and too small for network 5
	notes := m.look(t, j)
	if m.String() != "address:name:eth1 2001:db8:200::1/64" || len(notes) != 1 || !strings.Contains(notes[0], "eth2 gets no network") {
		t.Errorf("renumbered: %s %q", m, notes)
	}
	// Another process with another configuration takes away what this one has left.
	state, _ := j.Remember()
	text, _ := json.Marshal(state)
	j = &Job{}
	if err := j.Recall(text); err != nil {
		t.Fatal(err)
	}
	if m.look(t, j); m.String() != "" || len(j.Needs().Refs) > 0 {
		t.Errorf("left over: %s %v", m, j.Needs().Refs)
	}
}

func TestOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isp := &provider{}
		m := &machine{have: map[provision.Ref]provision.Attrs{}}
		j := &Job{Config: conf(), Link: isp}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = j.Run(ctx) }()
		step := func(d time.Duration) []string {
			m.look(t, j)
			time.Sleep(d) // of the fake clock
			synctest.Wait()
			return m.look(t, j)
		}
		if step(time.Minute); len(isp.sent) > 0 {
			t.Errorf("without carrier %v is sent", isp.sent)
		}
		m.carrier, isp.prefix = true, "2001:db8:100::/56"
		if notes := step(10 * time.Second); m.String() != networks+"\nroute:inet6 table 254 unreachable 2001:db8:100::/56 metric 4278198272" || len(notes) > 0 {
			t.Errorf("%s %q", m, notes)
		}
		isp.prefix = "2001:db8:200::/56"
		step(time.Hour)
		if !strings.Contains(m.String(), "name:eth1 2001:db8:200::1/64") || strings.Contains(m.String(), "2001:db8:100:") {
			t.Errorf("renumbered: %s", m)
		}
		// The uplink is another one for a while: the lease is confirmed.
		isp.sent = nil
		m.carrier = false
		step(time.Minute)
		m.carrier = true
		step(10 * time.Second)
		if !slices.Equal(isp.sent, []pd.Type{pd.Rebind}) {
			t.Errorf("after the carrier: %v", isp.sent)
		}
		// A manager gets a prefix: ours is given up.
		m.managed = []string{"2001:db8:300::/56"}
		step(time.Minute)
		if m.String() != "address:name:eth1 2001:db8:300::1/64\naddress:name:eth2 2001:db8:300:5::1/64" {
			t.Errorf("a manager's: %s", m)
		}
		isp.busy = errors.New("another client runs")
		m.managed = nil
		if notes := step(time.Minute); len(notes) != 0 && !strings.Contains(notes[0], "another client runs") {
			t.Errorf("%q", notes)
		}
		cancel()
		<-done
	})
}

// Delegation that is taken away gives the prefix back, after the addresses are gone, once; a server that
// does not answer is waited for a few seconds.
func TestGivenBack(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			isp := &provider{prefix: "2001:db8:100::/56"}
			m := &machine{have: map[provision.Ref]provision.Attrs{}, carrier: true}
			run := func(j *Job) (stop func()) {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); _ = j.Run(ctx) }()
				return func() { cancel(); <-done }
			}
			j := &Job{Config: conf(), Link: isp}
			stop := run(j)
			m.look(t, j)
			time.Sleep(10 * time.Second) // of the fake clock
			synctest.Wait()
			if m.look(t, j); !strings.Contains(m.String(), networks) {
				t.Fatal(m.String())
			}
			stop()
			state, _ := j.Remember()
			text, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			if len(isp.back) > 0 {
				t.Error("who only stops gives nothing back")
			}
			isp.sent = nil
			if !answers {
				isp.prefix = ""
			}
			off := &Job{Link: isp}
			stop = run(off)
			defer func() { stop() }()
			if err := off.Recall(text); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if len(isp.sent) > 0 {
				t.Errorf("%v is sent while the addresses are there", isp.sent)
			}
			m.look(t, off)
			time.Sleep(releaseLimit + time.Second)
			synctest.Wait()
			m.look(t, off)
			want := []pd.Type{pd.Release}
			if !answers {
				want = append(want, pd.Release, pd.Release) // at 0, 1 and 3 s
			}
			if m.String() != "" || !slices.Equal(isp.sent, want) {
				t.Errorf("answers %v: %v is sent, there is %s", answers, isp.sent, m)
			}
			if answers && (len(isp.back) != 1 || isp.back[0] != (pd.Prefix{Prefix: netip.MustParsePrefix("2001:db8:100::/56")})) {
				t.Errorf("given back is %v", isp.back)
			}
			if state, changed := off.Remember(); !changed || len(state.(memory).Lease.Prefixes) > 0 {
				t.Errorf("it would be given back again: %+v", state)
			}
		})
	}
}

// Delegation that moves to another uplink: the addresses of the old prefix go, it is given back where it
// is from, and only then is the other server asked, which is not told of it.
func TestMoved(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			isp := &provider{prefix: "2001:db8:100::/56"}
			m := &machine{have: map[provision.Ref]provision.Attrs{}, carrier: true}
			run := func(j *Job) (stop func()) {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); _ = j.Run(ctx) }()
				return func() { cancel(); <-done }
			}
			first := conf()
			first.Interface = "old0"
			j := &Job{Config: first, Link: isp}
			m.uplink = "old0"
			stop := run(j)
			m.look(t, j)
			time.Sleep(10 * time.Second) // of the fake clock
			synctest.Wait()
			m.look(t, j)
			old := m.String()
			if !strings.Contains(old, "2001:db8:100:") {
				t.Fatal(old)
			}
			stop()
			state, _ := j.Remember()
			text, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}

			other := &provider{prefix: "2001:db8:200::/56"}
			if !answers {
				isp.prefix = ""
			}
			isp.sent = nil
			m.uplink = ""
			moved := &Job{Config: conf(), Link: links{"old0": isp, "eth0": other}}
			if err := moved.Recall(text); err != nil {
				t.Fatal(err)
			}
			stop = run(moved)
			defer func() { stop() }()
			synctest.Wait()
			if len(isp.sent)+len(other.sent) > 0 {
				t.Errorf("%v and %v are sent while the addresses are there", isp.sent, other.sent)
			}
			m.look(t, moved)
			if strings.Contains(m.String(), "2001:db8:100:") {
				t.Errorf("of the old prefix is left %s", m)
			}
			time.Sleep(releaseLimit + 10*time.Second)
			synctest.Wait()
			m.look(t, moved)
			if answers && (len(isp.back) != 1 || isp.back[0] != (pd.Prefix{Prefix: netip.MustParsePrefix("2001:db8:100::/56")})) {
				t.Errorf("given back is %v", isp.back)
			}
			if len(isp.sent) == 0 || slices.ContainsFunc(isp.sent, func(m pd.Type) bool { return m != pd.Release }) {
				t.Errorf("the old server is told %v", isp.sent)
			}
			if len(other.sent) == 0 || other.sent[0] != pd.Solicit {
				t.Errorf("the new server is asked by %v", other.sent)
			}
			if got := m.String(); !strings.Contains(got, "2001:db8:200:") || strings.Contains(got, "2001:db8:100:") {
				t.Errorf("answers %v: there is %s", answers, got)
			}
		})
	}
}

// links are several providers, by device.
type links map[string]*provider

func (l links) Open(ctx context.Context, device string) (Conn, []byte, error) {
	return l[device].Open(ctx, device)
}
func (links) Rand() float64 { return 0 }
func (links) XID() [3]byte  { return [3]byte{1, 2, 3} }

func TestProblems(t *testing.T) {
	if p := conf().Problems(); len(p) > 0 || len(Config{}.Problems()) > 0 {
		t.Error(p)
	}
	n := uint16(0)
	for path, change := range map[string]func(*Config){
		"interface":        func(c *Config) { c.Interface = "" },
		"source":           func(c *Config) { c.Source = "isp" },
		"length":           func(c *Config) { c.Length = 65 },
		"lan":              func(c *Config) { c.LAN = nil },
		"lan[0].interface": func(c *Config) { c.LAN[0].Interface = "eth0" },
		"lan[1].subnet":    func(c *Config) { c.LAN[1].Subnet = &n },
	} {
		c := conf()
		change(&c)
		if p := c.Problems(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: %v", path, p)
		}
	}
	c := conf()
	c.Length = 62
	if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0].Text, "there are 4") {
		t.Error(p)
	}
}
