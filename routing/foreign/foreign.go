// Package foreign looks at the firewalls that others keep on this machine: which they are, what
// they would still drop although our own policy lets it through, and how they are told not to.
//
// An accept ends only the base chain that it stands in; a drop in any base chain, whatever its
// table and priority, is final (nft(8), VERDICT STATEMENTS). So no order among tables can make
// room: either the other firewall accepts the packet too, by its own extension point, or it is lost.
//
// Everything here is a function of data: Seen (what is there), Flow (what our policy lets
// through) in, Product, Finding and provision.Desired out.
package foreign

import "github.com/provision-net/provision/provision/resource/nft"

// Seen is what a machine shows of its firewalls. Gather fills it, but for Tables and Devices.
type Seen struct {
	// Tables are the tables of nf_tables; ours is skipped.
	Tables []nft.Table `json:"tables,omitempty"`
	// Legacy4 and Legacy6 are the tables of the old x_tables (/proc/net/ip_tables_names): they
	// filter beside nf_tables and cannot be read through it.
	Legacy4 []string `json:"legacy4,omitempty"`
	Legacy6 []string `json:"legacy6,omitempty"`
	// Processes are the names of running processes, cut to 15 bytes by the kernel.
	Processes []string `json:"processes,omitempty"`
	// Units are the enabled units and init scripts.
	Units []string `json:"units,omitempty"`
	// Files holds the configuration files that matter, by path.
	Files map[string]string `json:"files,omitempty"`
	// Sysctl holds the values below net.bridge.
	Sysctl  map[string]string `json:"sysctl,omitempty"`
	Devices []Device          `json:"devices,omitempty"`
}

// Device is a network device, as far as it matters here.
type Device struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	Kind  string `json:"kind,omitempty"` // rtnetlink kind: bridge, veth
	Ports int    `json:"ports,omitempty"`
}

// Flow is a kind of new connection that our own policy lets through. What is empty or 0 is not
// told: any.
type Flow struct {
	// In and Out are devices. Without Out the flow is for this machine, without In it comes from it.
	In  string `json:"in,omitempty"`
	Out string `json:"out,omitempty"`
	// Family is 4 or 6; 0 stands for both.
	Family int    `json:"family,omitempty"`
	Proto  string `json:"proto,omitempty"` // tcp, udp, icmp, icmpv6
	Port   uint16 `json:"port,omitempty"`  // destination, as the filter sees it
	// Published flows have been given another destination by dnat on their way in.
	Published bool `json:"published,omitempty"`
	// Why says which line of our policy it is.
	Why string `json:"why,omitempty"`
}

// hook is the hook of the filter chains that a flow meets.
//
//go:noinline
func (f Flow) hook() string {
	switch {
	case f.In == "":
		return "output"
	case f.Out == "":
		return "input"
	}
	return "forward"
}

// families lists the families that a flow stands for.
func (f Flow) families() []int {
	switch {
	case f.Family != 0:
		return []int{f.Family}
	case f.Proto == "icmp":
		return []int{4}
	case f.Proto == "icmpv6":
		return []int{6}
	}
	return []int{4, 6}
}
