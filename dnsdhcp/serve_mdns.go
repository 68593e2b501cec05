package dnsdhcp

import (
	"context"

	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/mdns"
	"github.com/provision-net/provision/dnsdhcp/socket"
)

// sshPort is what is announced: RFC 4253 section 4.1. Whoever moved it does not want it announced either.
const sshPort = 22

func (s *Server) runMDNS(ctx context.Context, st *station, l link.Link, host string, ssh bool, up func()) error {
	c := mdns.Config{Link: l.Name, Name: host, Trace: quietly{s.trace}}
	if ssh {
		c.Services = []mdns.Service{mdns.SSH(sshPort)}
	}
	r, err := mdns.New(c)
	if err != nil {
		return err
	}
	conn, err := socket.ListenMDNS(l)
	if err != nil {
		return err
	}
	// Only the latest state counts, and whoever tells must not wait.
	updates := make(chan mdns.State, 1)
	tell := func(l link.Link) {
		select {
		case <-updates:
		default:
		}
		updates <- mdns.State{Up: l.Up && l.Carrier, Addrs: l.Addrs, Machine: s.addresses()}
	}
	tell(l)
	defer st.listen(tell)()
	up()
	return mdns.Serve(ctx, r, conn, s.clock, updates, s.log)
}
