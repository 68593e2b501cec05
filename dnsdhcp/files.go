package dnsdhcp

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/hosts"
)

// fileInterval is how often the files are looked at that others write: hosts files and resolv.conf.
const fileInterval = hosts.Poll

// maxResolv bounds what is read of a resolv.conf.
const maxResolv = 64 << 10

// files are the sources of the name server that others write.
type files struct {
	clock clock.Waker
	log   *slog.Logger
	hosts *hosts.Files
	paths []string

	mu     sync.Mutex
	resolv string // empty: none
	seen   os.FileInfo
	list   []forward.Upstream
}

func newFiles(p dnsPlan, c clock.Waker, log *slog.Logger) *files {
	f := &files{clock: c, log: log}
	f.configure(p)
	return f
}

// configure reads everything anew.
func (f *files) configure(p dnsPlan) {
	if f.hosts == nil || !slices.Equal(f.paths, p.hostsFiles) {
		f.hosts, f.paths = hosts.New(p.hostsFiles, f.clock, f.log), p.hostsFiles
	} else {
		_ = f.hosts.Reload() // logged
	}
	f.mu.Lock()
	f.resolv, f.seen = p.resolvFile, nil
	if len(p.upstreams) > 0 {
		f.resolv = ""
	}
	f.mu.Unlock()
	f.readResolv()
}

// check looks whether a file has changed; local: a hosts file, upstreams: the list of name servers.
func (f *files) check() (local, upstreams bool) {
	before := f.hosts.Table()
	_ = f.hosts.Check() // logged
	return f.hosts.Table() != before, f.readResolv()
}

// upstreams are the name servers of resolv.conf.
func (f *files) upstreams() []forward.Upstream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}

// readResolv reads resolv.conf(5) if it has changed, and reports whether the servers have.
func (f *files) readResolv() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resolv == "" {
		had := len(f.list) > 0
		f.list = nil
		return had
	}
	file, err := os.Open(f.resolv)
	if err != nil {
		// Some programs remove the file before they write it: the servers stay until there are others.
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	// A file that was written within the last tick of its time stamp may have been written again since.
	if err != nil || f.seen != nil && os.SameFile(f.seen, info) && f.seen.ModTime().Equal(info.ModTime()) && f.seen.Size() == info.Size() && time.Since(info.ModTime()) > 2*fileInterval {
		return false
	}
	c, err := mdns.ClientConfigFromReader(io.LimitReader(file, maxResolv))
	if err != nil {
		f.log.Warn("cannot read name servers", "file", f.resolv, "error", err)
		return false
	}
	f.seen = info
	var list []forward.Upstream
	for _, s := range c.Servers {
		if u, ok := parseUpstream(s); ok && !slices.Contains(list, u) {
			list = append(list, u)
		}
	}
	if slices.Equal(list, f.list) {
		return false
	}
	f.list = list
	return true
}
