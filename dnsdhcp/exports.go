package dnsdhcp

import (
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/lease/export"
)

// exportInterval is how often the files for old tools are looked after: a boot storm is one file and not a thousand.
const exportInterval = 2 * time.Second

// export writes the leases for old tools whenever they have changed, until ctx ends.
func (s *Server) export(ctx context.Context) {
	tick := time.NewTicker(exportInterval)
	defer tick.Stop()
	var written exported
	for {
		s.mu.Lock()
		now := exported{s.config.leases, s.config.domain, s.journal.Stats().Records + 1}
		s.mu.Unlock()
		if now != written && s.exportNow(now) {
			written = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leasesPlan is what is written about leases.
type leasesPlan struct {
	dnsmasq, hosts string // files; empty: none
	slack          float64
	history        int
}

func (r *reader) leases(in Leases) leasesPlan {
	out := leasesPlan{dnsmasq: in.ExportDnsmasq, hosts: in.ExportHosts, slack: lease.DefaultSlack, history: int(in.History)}
	if in.Slack != nil {
		if out.slack = *in.Slack; out.slack < 0 || out.slack > 4 {
			r.fail("leases.write-slack", "%g is not between 0 and 4", out.slack)
		}
	}
	for key, file := range map[string]string{"export-dnsmasq": in.ExportDnsmasq, "export-hosts": in.ExportHosts} {
		if file != "" && (!strings.HasPrefix(file, "/") || path.Clean(file) != file) {
			r.fail("leases."+key, "%q is no absolute path", file)
		}
	}
	return out
}

// exported is what the files depend on.
type exported struct {
	leasesPlan
	domain  string
	records uint64 // of the journal, and one more
}

// exportNow reports whether the files say what the table says.
func (s *Server) exportNow(e exported) bool {
	leases, now := s.table.All(), s.clock.Read()
	var wrong []error
	for _, f := range []struct {
		path   string
		render func(io.Writer) error
	}{
		{e.dnsmasq, func(w io.Writer) error { return export.Dnsmasq(w, leases, now) }},
		{e.hosts, func(w io.Writer) error { return export.Hosts(w, leases, e.domain, now) }},
	} {
		if f.path == "" {
			continue
		}
		if err := export.File(f.path, f.render); err != nil {
			wrong = append(wrong, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("export", errors.Join(wrong...))
	return len(wrong) == 0
}
