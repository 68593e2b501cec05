package dnsdhcp

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/lease/journal"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// leases lists leases; all also those that have ended, and addresses in quarantine.
func (s *Server) leases(text string, all bool) []control.Lease {
	r := s.clock.Read()
	q, domain := readQuery(text), s.domain()
	return leaseViews(s.table.All(), r, func(l lease.Lease) bool {
		if text != "" && !q.lease(l, domain) {
			return false
		}
		state := stateAt(l, r.Boot)
		return all || state == lease.Bound || state == lease.Offered
	})
}

func (s *Server) domain() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.domain
}

// history lists who had which address; at, if it is not zero, is the moment that is asked about.
func (s *Server) history(text string, at time.Time) []control.Lease {
	f := journal.Filter{}
	switch q := readQuery(text); {
	case text == "":
	case q.addr.IsValid():
		f.Addr = q.addr
	case q.hw != "":
		f.HW = lease.HW{Type: 1, Addr: q.hw}
	default:
		f.Name, _, _ = strings.Cut(q.name, ".")
	}
	if !at.IsZero() {
		f.From, f.To = at, at.Add(time.Second)
	}
	r := s.clock.Read()
	out := []control.Lease{}
	for _, i := range s.journal.History(f) {
		v := control.Lease{
			Address: i.Addr.String(), MAC: showHW(i.HW), ClientID: showBytes(i.ClientID), Name: i.Hostname, Network: i.Network,
			State: i.How.String(), Since: showTime(i.From), Until: "infinite",
		}
		if !i.To.IsZero() {
			v.Until = showTime(i.To)
		}
		// Storage runs ahead of what the client was told.
		if l, ok := s.table.At(i.Addr); ok && i.How == journal.NotEnded && l.Key == i.Key {
			v.Until = leaseView(l, r).Expires
		}
		out = append(out, v)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Since < out[j].Since })
	return out
}

// why collects what is known of a client.
func (s *Server) why(text string) control.Why {
	r := s.clock.Read()
	q, domain := readQuery(text), s.domain()
	out := control.Why{Query: text, Leases: leaseViews(s.table.All(), r, func(l lease.Lease) bool { return q.lease(l, domain) })}
	macs := map[string]bool{}
	if q.hw != "" {
		macs[q.hw] = true
	}
	for _, l := range s.table.All() {
		if q.lease(l, domain) && l.HW.Addr != "" {
			macs[l.HW.Addr] = true
		}
	}
	for _, h := range s.hosts() {
		if h.name != "" && (q.name == h.name || q.name == h.name+"."+domain) || slices.Contains(h.addrs, q.addr) ||
			slices.ContainsFunc(h.hw, func(hw lease.HW) bool { return macs[hw.Addr] }) {
			out.Notes = append(out.Notes, h.describe())
			for _, hw := range h.hw {
				macs[hw.Addr] = true
			}
		}
	}
	var events []trace.Entry
	for mac := range macs {
		out.MACs = append(out.MACs, showBytes(mac))
		events = append(events, s.trace.Client(mac)...)
	}
	events = append(events, s.trace.Find(func(e trace.Entry) bool { return !macs[e.HW] && q.entry(e, domain) })...)
	sort.SliceStable(events, func(i, j int) bool { return events[i].At < events[j].At })
	slices.Sort(out.MACs)
	out.Events = eventViews(events, r)
	return out
}

func (s *Server) hosts() []host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.hosts
}

// describe says what the configuration gives a host.
func (h host) describe() string {
	var gives []string
	if h.addr.IsValid() {
		gives = append(gives, "the address "+h.addr.String())
	}
	if h.name != "" {
		gives = append(gives, "the name "+h.name)
	}
	if h.leaseTime != 0 {
		gives = append(gives, "a lease time of "+showDuration(h.leaseTime))
	}
	if len(h.options) > 0 {
		gives = append(gives, "options of its own")
	}
	var says []string
	if len(gives) > 0 {
		says = append(says, "gives it "+strings.Join(gives, ", "))
	}
	if h.ignore {
		says = append(says, "has its DHCP requests ignored")
	}
	return fmt.Sprintf("the configuration (serve.%s) %s", h.at, strings.Join(says, " and "))
}

// dryRun answers a client that does not exist, on a copy of the table.
func (s *Server) dryRun(in control.Request) (control.Reply, error) {
	fail := func(format string, args ...any) (control.Reply, error) {
		return control.Reply{}, control.Refusal{Err: fmt.Errorf(format, args...)}
	}
	mac, err := net.ParseMAC(in.MAC)
	if err != nil || len(mac) != 6 {
		return fail("%q is no MAC address", in.MAC)
	}
	q := dhcp4.Query{HW: lease.HW{Type: 1, Addr: string(mac)}, Hostname: in.Hostname, VendorClass: in.Vendor}
	switch in.Kind {
	case "", "discover":
	case "request":
		q.Type = wire.Request
	case "inform":
		q.Type = wire.Inform
	default:
		return fail("%q is not one of discover, request, inform", in.Kind)
	}
	if in.ClientID != "" {
		q.ClientID = clientID(in.ClientID)
	}
	for field, text := range map[*netip.Addr]string{&q.Addr: in.Address, &q.Relay: in.Relay} {
		if text == "" {
			continue
		}
		if *field, err = netip.ParseAddr(text); err != nil || !field.Is4() {
			return fail("%q is no IPv4 address", text)
		}
	}
	if q.Type != 0 && !q.Addr.IsValid() {
		return fail("a client that sends a %s has an address: give it", in.Kind)
	}
	for _, name := range in.Options {
		o, err := option.Code(name)
		if err != nil {
			return control.Reply{}, control.Refusal{Err: err}
		}
		q.Requests = append(q.Requests, o)
	}
	if in.Arch != nil {
		q.Arch = []uint16{*in.Arch}
	}
	l, tables, err := s.linkFor(in.Link)
	if err != nil {
		return control.Reply{}, control.Refusal{Err: err}
	}
	copied := lease.NewTable(lease.Options{Clock: s.clock, Slack: s.slack()})
	if err := copied.Configure(tables); err != nil {
		return control.Reply{}, err
	}
	copied.Restore(s.table.All(), s.clock.Now())
	a, err := s.dhcp.Explain(&l, copied, q)
	if err != nil {
		return control.Reply{}, control.Refusal{Err: err}
	}
	out := control.Reply{Reason: a.Reason, Detail: a.Detail}
	if len(a.Reply) > 0 {
		var p wire.Packet
		if err := p.Decode(a.Reply); err == nil {
			out.Reply = wire.TypeName(p.Type())
		}
		out.To = a.Dest.To.String()
		out.Hex = hex.EncodeToString(a.Reply)
		out.Lines = strings.Split(strings.TrimRight(a.Text, "\n"), "\n")
	}
	return out, nil
}

// linkFor finds the link of a dry run: the one that is named, or the only one with DHCP.
func (s *Server) linkFor(name string) (link.Link, []lease.Network, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n, st := range s.stations {
		if st.rule.dhcp4.enabled && st.link.Index != 0 {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return link.Link{}, nil, fmt.Errorf("which link is the client on? DHCP is served on %s", cmp.Or(strings.Join(names, ", "), "none at present"))
	}
	st := s.stations[name]
	if st == nil || st.link.Index == 0 {
		return link.Link{}, nil, fmt.Errorf("%s is not served, or not there; DHCP is served on %s", name, cmp.Or(strings.Join(names, ", "), "none at present"))
	}
	return st.link, slices.Clone(s.tables), nil
}

func (s *Server) slack() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.leases.slack
}

func (s *Server) queries() []control.Event {
	r := s.clock.Read()
	out := []control.Event{}
	for _, q := range s.dns.Queries() {
		proto := "dns"
		if q.TCP {
			proto = "dns/tcp"
		}
		out = append(out, control.Event{
			Time: showTime(wall(r, q.At)), Link: q.Link, Proto: proto, What: q.Type, Name: q.Client.Addr().String() + " " + q.Name,
			Reply: q.Rcode, Reason: q.Outcome.String(),
		})
	}
	return out
}

// flush empties the DNS cache, or takes one name and those below it out.
func (s *Server) flush(name string) (any, error) {
	if name == "" {
		s.dns.Flush()
		return struct{}{}, nil
	}
	n, ok := s.dns.FlushName(name)
	if !ok {
		return nil, control.Refusal{Err: fmt.Errorf("%q is no domain name", name)}
	}
	return struct {
		Flushed int `json:"flushed"`
	}{n}, nil
}

// status is all that is to be told of the server.
func (s *Server) status() control.Status {
	out := control.Status{
		Version: s.o.Version, PID: os.Getpid(), Started: showTime(s.started), Config: s.o.Source,
		Links: []control.Link{}, Networks: []control.Network{}, Upstreams: []control.Upstream{}, Counts: []control.Count{},
	}
	select {
	case <-s.ready:
		out.Ready = true
	default:
	}
	s.mu.Lock()
	for _, st := range s.stations {
		out.Links = append(out.Links, st.status())
	}
	// Rules for interfaces that are not there are told too: somebody waits for them.
	for _, u := range s.config.rules {
		if !slices.ContainsFunc(out.Links, func(l control.Link) bool { return l.Rule == u.pattern }) {
			out.Links = append(out.Links, control.Link{Name: u.pattern, Rule: u.pattern})
		}
	}
	tables := slices.Clone(s.tables)
	for _, service := range slices.Sorted(maps.Keys(s.noted)) {
		out.Problems = append(out.Problems, service+": "+s.noted[service])
	}
	s.mu.Unlock()
	sort.Slice(out.Links, func(i, j int) bool { return out.Links[i].Name < out.Links[j].Name })
	out.Networks = s.usage(tables)
	js := s.journal.Stats()
	out.Journal = control.Journal{Path: s.o.Dir, Bytes: js.Size, Records: js.Records, Syncs: js.Writes}
	if err := s.journal.Degraded(); err != nil {
		out.Journal.Error = err.Error()
	}
	ds := s.dns.Status()
	out.Cache = control.Cache{
		Entries: ds.Cache.Entries, Bytes: int64(ds.Cache.Used), Limit: int64(ds.Cache.Bytes), Hits: ds.Cache.Hits, Misses: ds.Cache.Misses, Stale: ds.Cache.Stale,
	}
	for _, u := range ds.Forward.Upstreams {
		v := control.Upstream{
			Group: strings.Join(u.Groups, ", "), Address: u.Addr.String(), State: u.State, RTT: u.Latency.Seconds(), Sent: u.Sent, Failed: u.Failed + u.Silent + u.Errors,
		}
		if u.Interface != "" {
			v.Address += "%" + u.Interface
		}
		out.Upstreams = append(out.Upstreams, v)
	}
	for _, n := range s.counters.Totals() {
		out.Counts = append(out.Counts, control.Count{Link: n.Link, Proto: n.Proto, What: n.What, Reply: n.Reply, Reason: n.Reason, Count: n.Count})
	}
	return out
}

// reservedIn is how many addresses are reserved: some reservations are of a name only.
func reservedIn(n lease.Network) int {
	count := 0
	for _, r := range n.Reservations {
		if r.Addr.IsValid() {
			count++
		}
	}
	return count
}

// usage is how full the networks are.
func (s *Server) usage(tables []lease.Network) []control.Network {
	out := []control.Network{}
	at := map[string]int{}
	for _, n := range tables {
		if u, ok := s.table.Usage(n.Name); ok {
			at[n.Name] = len(out)
			out = append(out, control.Network{Name: n.Name, Prefix: n.Prefix.String(), Size: u.Total, Remaining: u.Free, Reserved: reservedIn(n)})
		}
	}
	now := s.clock.Now()
	for _, l := range s.table.All() {
		i, ok := at[l.Network]
		if !ok {
			continue
		}
		switch stateAt(l, now) {
		case lease.Bound:
			out[i].Bound++
		case lease.Offered:
			out[i].Offered++
		case lease.Declined:
			out[i].Declined++
		}
	}
	return out
}
