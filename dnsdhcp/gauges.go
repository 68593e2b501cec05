package dnsdhcp

// gauges are the figures that are not counts of events.
func (s *Server) gauges() {
	g := s.counters.Gauge
	g("provision_journal_bytes", func() float64 { return float64(s.journal.Stats().Size) })
	g("provision_journal_records_total", func() float64 { return float64(s.journal.Stats().Records) })
	g("provision_journal_writes_total", func() float64 { return float64(s.journal.Stats().Writes) })
	g("provision_journal_errors_total", func() float64 { return float64(s.journal.Stats().Errors) })
	g("provision_journal_queued", func() float64 { return float64(s.journal.Queued()) })
	g("provision_journal_failing", func() float64 {
		if s.journal.Degraded() != nil {
			return 1
		}
		return 0
	})
	g("provision_links_received_events_total", func() float64 { return float64(s.links.Status().Events) })
	g("provision_links_lost_events_total", func() float64 { return float64(s.links.Status().Overrun) })
	g("provision_dns_cache_entries", func() float64 { return float64(s.dns.Status().Cache.Entries) })
	g("provision_dns_cache_bytes", func() float64 { return float64(s.dns.Status().Cache.Used) })
	g("provision_dns_tcp_connections", func() float64 { return float64(s.dns.Status().Connections) })
	for outcome := range s.dns.Outcomes() {
		g("provision_dns_queries_total", func() float64 { return float64(s.dns.Outcomes()[outcome]) }, "outcome", outcome)
	}
}

// networkGauges are those of one network; while it is away they are 0.
func (s *Server) networkGauges(name string) {
	figure := func(of func(free, total int) int) func() float64 {
		return func() float64 {
			u, ok := s.table.Usage(name)
			if !ok {
				return 0
			}
			return float64(of(u.Free, u.Total))
		}
	}
	s.counters.Gauge(gaugeAddresses, figure(func(_, total int) int { return total }), "network", name)
	s.counters.Gauge(gaugeFree, figure(func(free, _ int) int { return free }), "network", name)
}

func (s *Server) dropNetworkGauges(name string) {
	s.counters.DropGauge(gaugeAddresses, "network", name)
	s.counters.DropGauge(gaugeFree, "network", name)
}

const (
	gaugeAddresses = "provision_dhcp4_addresses"
	gaugeFree      = "provision_dhcp4_addresses_free"
)
