package dnsdhcp

import (
	"context"
	"io"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease/export"
)

// exportInterval is how often the files for old tools are looked after: a boot storm is one file and not a thousand.
const exportInterval = 2 * time.Second

// export writes the leases for old tools whenever they have changed, until ctx ends.
func (s *Server) export(ctx context.Context) {
	tick := time.NewTicker(exportInterval)
	defer tick.Stop()
	var written uint64 // records of the journal when the files were written last
	first := true
	for {
		if n := s.journal.Stats().Records; first || n != written {
			if s.exportNow() {
				written, first = n, false
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// exportNow reports whether the files say what the table says.
func (s *Server) exportNow() bool {
	s.mu.Lock()
	c, domain := s.o.Config.Leases, s.config.domain
	s.mu.Unlock()
	leases, now := s.table.All(), s.clock.Read()
	ok := true
	for _, f := range []struct {
		path   string
		render func(io.Writer) error
	}{
		{c.ExportDnsmasq, func(w io.Writer) error { return export.Dnsmasq(w, leases, now) }},
		{c.ExportHosts, func(w io.Writer) error { return export.Hosts(w, leases, domain, now) }},
	} {
		if f.path == "" {
			continue
		}
		if err := export.File(f.path, f.render); err != nil {
			ok = false
			s.mu.Lock()
			s.note("export", err)
			s.mu.Unlock()
		}
	}
	return ok
}
