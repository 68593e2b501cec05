package backends

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/provision/facts"
)

// NATThreshold is the score from which a NIC is taken for a hypervisor's NAT. It is
// set so that the addresses alone never suffice: a network with the right numbers
// (50) also needs the hypervisor (20), or its name server and a virtual machine or a
// container (15 + 10). On hardware, and where nothing says that this is a guest, the
// numbers count for so little that nothing reaches it.
const NATThreshold = 60

// hostOnly is VirtualBox's default range for host-only networks.
var hostOnly = netip.MustParsePrefix("192.168.56.0/21")

// nic4 is what a NIC has got in IPv4, as far as a fingerprint looks at it.
type nic4 struct {
	addr    netip.Prefix
	gateway netip.Addr // zero when there is no default route
	dns     []string
}

// fingerprint describes the NAT network of one hypervisor.
type fingerprint struct {
	name string
	// net says whether the address fits; n is the number of the adapter.
	net func(a netip.Prefix) (n int, ok bool)
	// gateway, server and guest are host numbers in that network; 0: not known.
	gateway, server, guest byte
	ouis                   []string
	hypervisors            []string
	// needs, when set, must hold too: networks that are common elsewhere.
	needs func(f *facts.Facts, l facts.Link, n nic4) bool
	// base is the score of the network and the gateway together.
	base int
}

func fingerprints() []fingerprint {
	return []fingerprint{
		// Adapter n gets 10.0.(n+2).0/24 (VirtualBox manual, "Configuring the address of a NAT
		// network interface"); QEMU's user networking is 10.0.2.0/24 too.
		{name: "VirtualBox NAT", net: virtualBoxNet, gateway: 2, server: 3, guest: 15, ouis: []string{"08:00:27"}, hypervisors: []string{"virtualbox", "oracle"}, base: 50,
			needs: func(f *facts.Facts, l facts.Link, n nic4) bool {
				adapter, _ := virtualBoxNet(n.addr)
				return adapter == 0 || isHypervisor(f, "virtualbox", "oracle") && hasOUI(l, "08:00:27")
			}},
		{name: "QEMU user networking", net: exactly("10.0.2.0/24"), gateway: 2, server: 3, guest: 15, ouis: []string{"52:54:00"}, hypervisors: []string{"qemu", "kvm"}, base: 50},
		// Common home networks: only with libvirt's MAC prefix inside QEMU or KVM.
		{name: "libvirt's default NAT network", net: exactly("192.168.122.0/24", "192.168.121.0/24"), gateway: 1, server: 1, ouis: []string{"52:54:00"},
			hypervisors: []string{"qemu", "kvm"}, base: 45,
			needs: func(f *facts.Facts, l facts.Link, n nic4) bool {
				return hasOUI(l, "52:54:00") && isHypervisor(f, "qemu", "kvm")
			}},
		// VMware draws the network at random: only where gateway and name server are one.
		{name: "VMware NAT", net: privateTwentyFour, gateway: 2, server: 2, ouis: []string{"00:0c:29", "00:50:56", "00:05:69"}, hypervisors: []string{"vmware"}, base: 20,
			needs: func(f *facts.Facts, l facts.Link, n nic4) bool {
				return isHypervisor(f, "vmware") && hasOUI(l, "00:0c:29", "00:50:56", "00:05:69") && n.gateway.IsValid()
			}},
		// Multipass names the ids of its network configuration; its networks vary by host.
		{name: "Multipass' default network", net: privateAny, gateway: 1, server: 1, ouis: []string{"52:54:00"}, hypervisors: []string{"qemu", "kvm", "apple", "hyperv"}, base: 40,
			needs: multipass},
	}
}

// natMatch is the best fitting fingerprint with its evidence; the score is 0 when none
// fits at all.
func natMatch(f *facts.Facts, l facts.Link) (evidence []string, best int) {
	var natural nic4
	for _, fp := range fingerprints() {
		for _, n := range ipv4Of(f, l) {
			e, score := fp.match(f, l, n)
			if score > best {
				evidence, best, natural = e, score, n
			}
		}
	}
	if best > 0 && natural.gateway.IsValid() && slotFirst(f, l) {
		evidence, best = append(evidence, "the first NIC by slot"), best+5
	}
	return evidence, min(best, 100)
}

func (fp fingerprint) match(f *facts.Facts, l facts.Link, n nic4) ([]string, int) {
	adapter, ok := fp.net(n.addr)
	if !ok {
		return nil, 0
	}
	host := func(b byte) netip.Addr {
		a := n.addr.Masked().Addr().As4()
		a[3] += b
		return netip.AddrFrom4(a)
	}
	score := fp.base
	evidence := []string{fmt.Sprintf("%s: %s", fp.name, n.addr.Masked())}
	switch {
	case n.gateway == host(fp.gateway):
		evidence[0] += fmt.Sprintf(" with gateway %s", n.gateway)
	case n.gateway.IsValid():
		return nil, 0 // a network of the same numbers with another router is somebody's LAN
	default:
		score -= 20
	}
	if fp.needs != nil && !fp.needs(f, l, n) {
		return nil, 0
	}
	add := func(points int, ok bool, format string, args ...any) {
		if ok {
			score += points
			evidence = append(evidence, fmt.Sprintf(format, args...))
		}
	}
	add(15, fp.server != 0 && slices.Contains(n.dns, host(fp.server).String()), "name server %s", host(fp.server))
	add(10, fp.guest != 0 && n.addr.Addr() == host(fp.guest), "guest address %s", n.addr.Addr())
	add(10, hasOUI(l, fp.ouis...), "MAC prefix %s", prefix(l))
	switch {
	case isHypervisor(f, fp.hypervisors...):
		add(20, true, "hypervisor %s", f.Machine.Hypervisor)
	case f.Machine.Hypervisor != "" && f.Machine.Hypervisor != "none":
		add(10, true, "a guest of %s", f.Machine.Hypervisor)
	case f.Machine.Container != "":
		add(10, true, "inside %s", f.Machine.Container)
	default:
		add(-40, true, "but this is no guest")
	}
	if adapter > 0 {
		evidence = append(evidence, fmt.Sprintf("adapter %d", adapter+1))
	}
	return evidence, score
}

func virtualBoxNet(a netip.Prefix) (int, bool) {
	b := a.Addr().As4()
	return int(b[2]) - 2, a.Bits() == 24 && b[0] == 10 && b[1] == 0 && b[2] >= 2 && b[2] < 10
}

//go:noinline
func exactly(nets ...string) func(netip.Prefix) (int, bool) {
	return func(a netip.Prefix) (int, bool) { return 0, slices.Contains(nets, a.Masked().String()) }
}

func privateTwentyFour(a netip.Prefix) (int, bool) {
	b := a.Addr().As4()
	return 0, a.Bits() == 24 && (b[0] == 192 && b[1] == 168 || b[0] == 172 && b[1] >= 16 && b[1] < 32)
}

func privateAny(a netip.Prefix) (int, bool) { return 0, a.Addr().IsPrivate() }

// multipass recognises the network configuration that Multipass hands to cloud-init:
// the id "default" for its own NIC and "extra0", "extra1" ... for bridged ones.
func multipass(f *facts.Facts, l facts.Link, _ nic4) bool {
	if !hasOUI(l, "52:54:00") {
		return false
	}
	tree := netdef.ReadTree(f, false)
	own := tree.Find("default")
	extra := slices.ContainsFunc(tree.IDs, func(id *netdef.ID) bool { return strings.HasPrefix(id.Name, "extra") && !id.Fits(f, l) })
	return extra && own != nil && own.Def.Get("match", "macaddress") != nil && own.Fits(f, l)
}

func ipv4Of(f *facts.Facts, l facts.Link) []nic4 {
	var out []nic4
	for _, a := range f.Addrs {
		if a.Link != l.Index || a.Scope != "global" || !a.Prefix.Addr().Is4() {
			continue
		}
		n := nic4{addr: a.Prefix, dns: dnsOf(f, l)}
		for _, r := range f.Defaults(l.Index, 4) {
			gw := r.Gateway
			for _, h := range r.Hops {
				if h.Link == l.Index {
					gw = h.Gateway
				}
			}
			if gw.IsValid() && a.Prefix.Masked().Contains(gw) {
				n.gateway = gw
			}
		}
		out = append(out, n)
	}
	return out
}

// dnsOf lists the name servers known for a link, and those of the whole machine that
// could be its own.
func dnsOf(f *facts.Facts, l facts.Link) []string {
	out := slices.Clone(f.DNS.ByLink[l.Name])
	out = append(out, f.Networkd.Links[l.Index].DNS...)
	return append(out, f.DNS.Servers...)
}

func prefix(l facts.Link) string {
	mac := l.PermMAC
	if mac == "" {
		mac = l.MAC
	}
	if len(mac) < 8 {
		return ""
	}
	return strings.ToLower(mac[:8])
}

func hasOUI(l facts.Link, ouis ...string) bool { return slices.Contains(ouis, prefix(l)) }

func isHypervisor(f *facts.Facts, names ...string) bool {
	return slices.Contains(names, strings.ToLower(f.Machine.Hypervisor)) ||
		slices.Contains(names, "virtualbox") && (f.Machine.Product == "VirtualBox" || strings.HasPrefix(f.Machine.Vendor, "innotek")) ||
		slices.Contains(names, "qemu") && f.Machine.Vendor == "QEMU" ||
		slices.Contains(names, "vmware") && strings.HasPrefix(f.Machine.Vendor, "VMware")
}

// slotFirst reports whether l is the first Ethernet NIC by bus position.
func slotFirst(f *facts.Facts, l facts.Link) bool {
	for _, o := range f.Links {
		if o.Index != l.Index && claim.Ethernet(o) && o.Master == 0 && busOrder(o, l) < 0 {
			return false
		}
	}
	return true
}
