// Package backends is the wing of the network managers: it decides from facts who
// really owns each NIC, what each NIC is for and which metric it should have, and
// asks the owner's backend what should exist so that it comes true, now and after
// the next boot. Everything here is a pure function of facts and configuration.
package backends

import (
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// Manager is a network manager that can own a NIC.
type Manager string

const (
	Netplan        Manager = "netplan" // with Renderer networkd or NetworkManager
	NetworkManager Manager = "networkmanager"
	Networkd       Manager = "networkd"
	Ifupdown       Manager = "ifupdown"
	Dhcpcd         Manager = "dhcpcd"
	None           Manager = "none"
)

// Weights of evidence: a live daemon beats a generated file, that beats a
// configuration file, and an installed binary proves nothing.
const (
	WeightLive      = 100
	WeightGenerated = 50
	WeightConfig    = 20
	WeightInstalled = 1
)

// Evidence is one observation that speaks for a manager.
type Evidence struct {
	Manager Manager `json:"manager"`
	Weight  int     `json:"weight"`
	Text    string  `json:"text"`   // what was seen
	Source  string  `json:"source"` // file, process or netlink attribute it was seen in
}

// Ownership is the verdict about one NIC.
type Ownership struct {
	Link     string     `json:"link"`
	Owner    Manager    `json:"owner"`
	Renderer Manager    `json:"renderer,omitempty"` // for netplan: Networkd or NetworkManager
	Evidence []Evidence `json:"evidence"`           // heaviest first
	Rivals   []Manager  `json:"rivals,omitempty"`   // other managers with live evidence: a conflict
	// CloudInit is the file cloud-init wrote for this NIC and when it rewrites it
	// ("new instance", "every boot"); empty when it has no part.
	CloudInit string `json:"cloud_init,omitempty"`
	Rewrites  string `json:"rewrites,omitempty"`
}

// Conflict reports whether two live managers own the NIC.
func (o Ownership) Conflict() bool { return len(o.Rivals) > 0 }

// NIC is what should hold for one NIC, whoever manages it. The policy makes it,
// a backend turns it into state.
type NIC struct {
	Link  facts.Link
	Role  facts.Role
	Owner Ownership

	// Metric4 and Metric6 are the metrics that all default routes of that family
	// through this NIC should have; nil leaves the family alone.
	Metric4, Metric6 *uint32
	// BringUp: the NIC has no configuration and gets DHCPv4, DHCPv6 and RA,
	// optional for the boot.
	BringUp      bool
	DHCP4, DHCP6 bool
	Optional     bool
	// DemoteDNS asks that this NIC's name servers are used last.
	DemoteDNS bool
	// Lazy: do not act on the daemon, let it converge at its next renewal or RA.
	Lazy bool
	// AllowGap permits a path that loses packets where no lossless one is known.
	AllowGap bool
	// Why says which rule or configuration key asks for the metrics.
	Why string
}

// Backend turns wanted NICs into what should exist for one manager. It is pure:
// the same facts and NICs give the same answer, and nothing is touched.
type Backend interface {
	// Manager is the owner this backend serves.
	Manager() Manager
	// Desire returns what should exist so that nics hold. nics are only NICs whose
	// Owner is this manager (or that the policy assigned to it). All problems come
	// back joined.
	Desire(f *facts.Facts, nics []NIC) (provision.Desired, error)
	// Explain names, for one NIC, each file and line (file:line) that decides the
	// given key ("metric", "dhcp4", "owner", ...) and what shadows what.
	Explain(f *facts.Facts, link facts.Link, key string) []Reason
}

// Reason is one line of an explanation.
type Reason struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"` // file:line, daemon or kernel default
	Note   string `json:"note,omitempty"`
}
