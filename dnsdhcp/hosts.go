package dnsdhcp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// host is a Host, read.
type host struct {
	name      string
	hw        []lease.HW
	clientIDs []string
	addr      netip.Addr // reserved; invalid for none
	addrs     []netip.Addr
	leaseTime time.Duration // 0: the network's
	ignore    bool
	at        string
	options   []option.Option
}

// known reports whether the host can be recognised as a DHCP client.
//
//go:noinline
func (h host) known() bool { return len(h.hw)+len(h.clientIDs) > 0 }

// namesOfMACs are the names that hosts have by their hardware addresses, as learn.Learner wants them.
func namesOfMACs(hosts []host) map[string]string {
	out := map[string]string{}
	for _, h := range hosts {
		for _, hw := range h.hw {
			if h.name != "" {
				out[hw.Addr] = h.name
			}
		}
	}
	return out
}

func (r *reader) hosts(list []Host, domain string) []host {
	var out []host
	names, addrs, macs, ids := map[string]string{}, map[netip.Addr]string{}, map[lease.HW]string{}, map[string]string{}
	for i, in := range list {
		at := fmt.Sprintf("hosts[%d]", i)
		h := host{at: at, ignore: in.Ignore, options: r.options(at+".options", in.Options)}
		if in.Name != "" {
			h.name = r.label(at+".name", in.Name)
			once(r, names, h.name, at+".name", h.name)
		}
		for j, text := range in.MACs {
			where := fmt.Sprintf("%s.macaddress[%d]", at, j)
			if hw, ok := r.mac(where, text); ok {
				once(r, macs, hw, where, text)
				h.hw = append(h.hw, hw)
			}
		}
		for j, text := range in.ClientIDs {
			where := fmt.Sprintf("%s.client-id[%d]", at, j)
			if text == "" {
				r.fail(where, "empty")
				continue
			}
			id := clientID(text)
			once(r, ids, id, where, text)
			h.clientIDs = append(h.clientIDs, id)
		}
		if in.Address != "" {
			if h.addr = r.addr4(at+".address", in.Address); h.addr.IsValid() {
				once(r, addrs, h.addr, at+".address", in.Address)
				h.addrs = append(h.addrs, h.addr)
			}
		}
		for j, text := range in.Addresses {
			if a := r.addr(fmt.Sprintf("%s.addresses[%d]", at, j), text); a.IsValid() && !slices.Contains(h.addrs, a) {
				h.addrs = append(h.addrs, a)
			}
		}
		if in.LeaseTime != "" {
			h.leaseTime = r.duration(at+".lease-time", in.LeaseTime, 0, 2*time.Minute, infinite)
		}
		switch {
		case !h.known() && (in.Ignore || in.LeaseTime != "" || len(in.Options) > 0):
			r.fail(at, "it takes a macaddress or a client-id to recognise the machine")
		case h.known() && h.name == "" && !h.addr.IsValid() && !in.Ignore && in.LeaseTime == "" && len(in.Options) == 0:
			r.fail(at, "says nothing of the machine: give it a name or an address")
		case !h.known() && (h.name == "" || len(h.addrs) == 0):
			r.fail(at, "a name without macaddress or client-id needs an address, and an address a name")
		}
		out = append(out, h)
	}
	return out
}

// once fails when a value that must be there only once has been seen before.
func once[K comparable](r *reader, seen map[K]string, value K, at, shown string) {
	if first, ok := seen[value]; ok {
		r.fail(at, "%s is also given at %s", shown, first)
		return
	}
	seen[value] = at
}
