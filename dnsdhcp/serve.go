package dnsdhcp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/dhcp6"
	"github.com/provision-net/provision/dnsdhcp/dns"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/hosts"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/learn"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/name"
	"github.com/provision-net/provision/dnsdhcp/ra"
	"github.com/provision-net/provision/dnsdhcp/socket"
)

// build makes the DHCP server, which serves nothing yet.
func (s *Server) build() error {
	s.learnt = learn.New(learn.Config{Clock: s.clock, Leases: s.table})
	host, _ := os.Hostname()
	s.hostname = ownName(host)
	rules, err := dhcp4.NewRules(dhcp4.Config{})
	if err != nil {
		return err
	}
	s.dhcp = dhcp4.NewServer(dhcp4.Options{Table: s.table, Commit: s.journal, Prober: &s.probers, Clock: s.clock, Trace: s.trace, Log: s.log}, rules)
	return nil
}

// buildRest makes what is not served before DHCPv4 is.
func (s *Server) buildRest() error {
	s.files = newFiles(s.config.dns, s.clock, s.log)
	empty, err := s.config.resolverOf(nil, nil, nil, nil, nil)
	if err != nil {
		return err
	}
	empty.Cache.Bytes = 0 // made when there is something to serve
	s.dns = dns.New(empty, dns.Options{Clock: s.clock, Dialer: dialer{}, Recorder: s.trace, Log: s.log, Learner: s.o.Learner, InList: s.o.InList})
	s.duid, err = dhcp6.DUID(behind{s.journal, s.log}, rand.Reader, nil)
	if err != nil {
		s.log.Warn("the DHCPv6 server may have another identity after a restart", "error", err)
	}
	if len(s.duid) == 0 {
		return err
	}
	return nil
}

// share configures what all links have in common.
func (s *Server) share(plans map[string]served) {
	c := s.config
	relayed, tables := c.relayedNetworks()
	networks := relayed
	present := func(n string) bool { return plans[n].dhcp4 }
	for n, v := range plans {
		if v.dhcp4 {
			s.networks[n] = v.table
		}
	}
	// Networks of links that are there come before those of links that are away, whose clients keep their leases.
	names := slices.Collect(maps.Keys(s.networks))
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		if present(a) != present(b) {
			return present(a)
		}
		return a < b
	})
	for _, n := range names {
		u := c.ruleFor(n, nil)
		if st := s.stations[n]; st != nil {
			u = st.rule
		}
		if u == nil || !u.dhcp4.enabled {
			delete(s.networks, n)
			continue
		}
		t := s.networks[n]
		if i := slices.IndexFunc(tables, func(o lease.Network) bool { return o.Prefix.Overlaps(t.Prefix) }); i >= 0 {
			// One address must not be given twice, so one network can be on one link only.
			if v := plans[n]; v.dhcp4 {
				v.dhcp4 = false
				v.notes = append(v.notes, fmt.Sprintf("dhcp4: its network %s overlaps with %s of %s", t.Prefix, tables[i].Prefix, tables[i].Name))
				plans[n] = v
			}
			delete(s.networks, n)
			continue
		}
		tables = append(tables, t)
		if v := plans[n]; v.dhcp4 {
			networks = append(networks, v.network)
		}
	}
	sort.Slice(tables, func(i, j int) bool { return tables[i].Name < tables[j].Name })
	sort.Slice(networks, func(i, j int) bool { return networks[i].Name < networks[j].Name })
	s.tables = tables
	for _, t := range tables {
		s.networkGauges(t.Name)
	}
	// The table first: the handler must not offer from a network that the table does not know.
	unfit := s.table.Configure(tables)
	s.recall(tables)
	refused := c.refusedNames(s.hostname)
	rules, err := dhcp4.NewRules(dhcp4.Config{Networks: networks, Hosts: dhcpHosts(c.hosts), Label: func(raw string) (string, bool) { return name.Label(raw, refused) }})
	if err == nil {
		s.dhcp.Reload(rules)
	}
	s.note("dhcp4", errors.Join(unfit, err))
	if s.dns != nil {
		s.shareDNS(plans, relayed)
	}
}

// recall gives the table what it should remember of networks that have just turned up: who had which address, and
// which are in quarantine. The table forgets that of networks that it does not know.
func (s *Server) recall(tables []lease.Network) {
	if len(s.past) == 0 {
		return
	}
	var now, later []lease.Lease
	for _, l := range s.past {
		switch i := slices.IndexFunc(tables, func(n lease.Network) bool { return n.Prefix.Contains(l.Addr) }); {
		case i < 0:
			later = append(later, l)
		default:
			_, taken := s.table.At(l.Addr)
			_, has := s.table.Of(tables[i].Name, l.Key)
			if !taken && (!has || l.State == lease.Declined) {
				now = append(now, l)
			}
		}
	}
	s.past = later
	s.table.Restore(now, s.clock.Now())
}

// shareDNS configures the name server for all links.
func (s *Server) shareDNS(plans map[string]served, relayed []dhcp4.Network) {
	s.learnt.SetHosts(namesOfMACs(s.config.hosts))
	var links []dns.Link
	for _, v := range plans {
		if v.dns {
			links = append(links, v.dnsLink)
		}
	}
	sort.Slice(links, func(i, j int) bool { return links[i].Name < links[j].Name })
	machine := s.addresses()
	z, routes, err := s.zone(announcedNetworks(plans, relayed))
	if err == nil {
		var c dns.Config
		if c, err = s.config.resolverOf(links, machine, z, routes, withoutOwn(s.files.upstreams(), machine)); err == nil {
			s.dns.Configure(c)
			s.dns.LogQueries(s.config.logsQueries())
		}
	}
	s.note("dns", err)
}

// madeZone is the local data that was made last, and what of.
type madeZone struct {
	config   *resolved
	hosts    *hosts.Files
	hostname string
	networks []netip.Prefix
	zone     *zone.Zone
	routes   *zone.Routes
}

// zone makes the local data anew only where what it is made of has changed: it has hundreds of names, and links change
// more than once while one comes up.
func (s *Server) zone(networks []netip.Prefix) (*zone.Zone, *zone.Routes, error) {
	m := madeZone{config: s.config, hosts: s.files.hosts, hostname: s.hostname, networks: networks}
	if o := s.made; o.zone != nil && o.config == m.config && o.hosts == m.hosts && o.hostname == m.hostname && slices.Equal(o.networks, networks) {
		return o.zone, o.routes, nil
	}
	var err error
	if m.zone, m.routes, err = s.config.zoneOf(networks, s.files.hosts, leaseNames{s.table}, s.learnt, s.hostname); err == nil {
		s.made = m
	}
	return m.zone, m.routes, err
}

// addresses are all of this machine.
func (s *Server) addresses() []netip.Addr {
	var out []netip.Addr
	for _, l := range s.links.Snapshot() {
		for _, a := range l.Addrs {
			out = append(out, a.Prefix.Addr())
		}
	}
	return out
}

// withoutOwn leaves out name servers that are this machine: they would ask us again. Loopback addresses stay, there
// may be another server on them; if it asks us, the resolver notices the loop.
func withoutOwn(list []forward.Upstream, machine []netip.Addr) []forward.Upstream {
	return slices.DeleteFunc(slices.Clone(list), func(u forward.Upstream) bool {
		a := u.Addr.Addr()
		return !a.IsLoopback() && slices.Contains(machine, a)
	})
}

// note tells of a configuration that cannot be used although it seemed to be in order; nil: it is in order now.
func (s *Server) note(service string, err error) {
	if err == nil {
		delete(s.noted, service)
		return
	}
	if text := err.Error(); s.noted[service] != text {
		s.noted[service] = text
		s.log.Error("cannot use the configuration", "service", service, "error", err)
	}
}

func (s *Server) newStation(n string) *station {
	return &station{
		name: n, log: s.log.With("link", n), tasks: map[string]*task{}, keys: map[string]string{}, updates: map[int]func(link.Link){},
	}
}

// tend makes one link's services what they should be; at the start, as long as there is no name server, only DHCPv4.
func (s *Server) tend(ctx context.Context, st *station, v served) {
	l := st.link
	wants := map[string]want{}
	if s.dns == nil {
		v.dns, v.mdns, v.advertise, v.inform = false, false, false, false
	}
	if v.dhcp4 {
		wants[dhcp4Task] = want{keyOf(l.Index), func(ctx context.Context, up func()) error { return s.runDHCP4(ctx, st, l, up) }}
	}
	if v.dns {
		for _, a := range l.Addrs {
			if a.Tentative {
				continue // it cannot be bound yet
			}
			addr := a.Prefix.Addr()
			wants["dns "+addr.String()] = want{keyOf(l.Index), func(ctx context.Context, up func()) error { return s.runDNS(ctx, l, addr, up) }}
		}
	}
	if v.mdns {
		wants["mdns"] = want{keyOf(l.Index, v.mdnsName, v.mdnsSSH), func(ctx context.Context, up func()) error {
			return s.runMDNS(ctx, st, l, v.mdnsName, v.mdnsSSH, up)
		}}
	}
	st.have(ctx, wants)
	st.tell(l)
	s.announce(ctx, st, v)
	if l.Index != 0 {
		s.learnt.SetLink(l.Index, v.learn)
	}
	st.notes = v.notes
}

// announce runs what outlives the link: it comes back as another one, and what was announced on it is remembered.
func (s *Server) announce(ctx context.Context, st *station, v served) {
	if v.advertise && st.advertiser == nil {
		st.advertiser = ra.New(ra.Options{
			Name: st.name, Clock: s.clock, Listen: func(l link.Link) (ra.Conn, error) { return socket.ListenRA(l) },
			Memory: s.journal, Recorder: s.trace, Log: s.log,
		})
		st.endRA = background(ctx, st.advertiser.Run)
	}
	if !v.advertise && st.advertiser != nil {
		st.endRA()
		st.advertiser = nil
	}
	if v.inform && st.information == nil {
		st.information = dhcp6.New(dhcp6.Options{
			Name: st.name, DUID: s.duid, Clock: s.clock, Listen: func(l link.Link) (dhcp6.Conn, error) { return socket.ListenDHCP6(l) },
			Recorder: s.trace, Log: s.log,
		})
		st.endDHCP6 = background(ctx, st.information.Run)
	}
	if !v.inform && st.information != nil {
		st.endDHCP6()
		st.information = nil
	}
	if a := st.advertiser; a != nil {
		_, up6 := s.links.Uplink(true, func(i int) bool { return i == st.link.Index })
		a.SetUplink(ra.Uplink{Default6: up6, Forwarding: s.links.Routing().Forwards6()})
		a.Configure(v.ra)
		a.Update(st.link)
	}
	if i := st.information; i != nil {
		i.Configure(v.dhcp6)
		i.Update(st.link)
	}
}

// background runs f until the returned function is called, which waits for its end.
func background(ctx context.Context, f func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f(ctx) // these retry by themselves and end only with ctx
	}()
	return func() { cancel(); <-done }
}

func (s *Server) runDHCP4(ctx context.Context, st *station, l link.Link, up func()) error {
	conn, err := socket.ListenDHCP4(l)
	if err != nil {
		return err
	}
	// Without it addresses are given unasked, which is better than none.
	if arp, err := socket.OpenARP(l); err != nil {
		st.log.Warn("addresses are offered without asking the link first", "error", err)
	} else {
		defer arp.Close()
		s.probers.Put(l.Index, arp)
		defer s.probers.Remove(l.Index)
	}
	ls := s.dhcp.Link(l, conn)
	defer st.listen(ls.Update)()
	up()
	return ls.Run(ctx)
}

// dnsWorkers is how many sockets share the queries of an address (SO_REUSEPORT): one a processor, within reason.
const dnsWorkers = 4

func (s *Server) runDNS(ctx context.Context, l link.Link, addr netip.Addr, up func()) error {
	udp, err := socket.ListenDNS(l, addr, min(runtime.GOMAXPROCS(0), dnsWorkers))
	if err != nil {
		return err
	}
	tcp, err := socket.ListenDNSTCP(l, addr)
	if err != nil {
		for _, c := range udp {
			c.Close()
		}
		return err
	}
	up()
	serve := []func(context.Context) error{func(ctx context.Context) error { return s.dns.ServeTCP(ctx, l.Name, tcp) }}
	for _, c := range udp {
		serve = append(serve, func(ctx context.Context) error { return s.dns.ServeUDP(ctx, l.Name, l.Index, c) })
	}
	return together(ctx, serve)
}

// together runs all until one ends, and ends the others.
func together(ctx context.Context, all []func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range all {
		g.Go(func() error {
			defer cancel()
			return f(ctx)
		})
	}
	return g.Wait()
}

// dialer asks upstreams from the interface and address that a route wants.
type dialer struct{}

func (dialer) DialUDP(ctx context.Context, from forward.Source, to netip.AddrPort) (net.Conn, error) {
	return socket.Dialer{Device: from.Interface, Source: from.Addr}.DialContext(ctx, "udp", to.String())
}

func (dialer) DialTCP(ctx context.Context, from forward.Source, to netip.AddrPort) (net.Conn, error) {
	return socket.Dialer{Device: from.Interface, Source: from.Addr}.DialContext(ctx, "tcp", to.String())
}
