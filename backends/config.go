package backends

import "github.com/provision-net/provision/provision/facts"

// Config is the "network" slice of the configuration file. The tags help and default
// are for the reference page and the JSON Schema.
type Config struct {
	// NATMetric is the metric for default routes of NICs with the role nat;
	// 0 means 1000, or as much more as it takes to lose against every other NIC.
	NATMetric uint32 `yaml:"nat-metric" default:"1000" help:"metric for default routes of NICs with the role nat; the default grows to as much as it takes to lose against every other NIC"`
	// FirstMetric is the first metric allotted to other NICs; 0 means 10.
	FirstMetric uint32 `yaml:"first-metric" default:"10" help:"first of the metrics that are allotted, one each, to the other NICs; what a NIC got once is remembered"`
	// DNS of NICs with the role nat: "keep" (default) or "demote".
	DNS string `yaml:"dns" enum:"keep,demote" default:"keep" help:"name servers of NICs with the role nat: keep them in use, or have them asked last where the manager can do that"`
	// Lazy lets daemons converge at their next renewal instead of acting on them.
	Lazy bool `yaml:"lazy" default:"false" help:"write the files and leave the daemons alone: they take a change at their next renewal, activation or start"`
	// AllowGap permits paths that lose packets where no lossless one is known.
	AllowGap bool `yaml:"allow-gap" default:"false" help:"allow a path that loses packets for a moment where no lossless one is known, and act without a DHCP server having answered first"`
	// BringUp gives NICs without configuration DHCP; default true.
	BringUp *bool `yaml:"bring-up" default:"true" help:"give DHCPv4, DHCPv6 and router advertisements to NICs that nobody configures"`
	// NICs are rules; the first whose match fits decides a NIC.
	NICs []NICRule `yaml:"nics" help:"rules for single NICs; the first one whose match fits decides"`
}

// NICRule says otherwise for the NICs it matches.
type NICRule struct {
	Match Match `yaml:"match" help:"which NICs the rule is for; all given fields must fit"`
	// Manage false leaves the NIC entirely alone.
	Manage *bool `yaml:"manage" default:"true" help:"false leaves the NIC alone in every respect"`
	// Role overrides the detected role.
	Role facts.Role `yaml:"role" enum:"nat,bridged,host-only,gadget,wifi,vpn,container,other" help:"what the NIC is for, in place of what was detected"`
	// RouteMetric sets the metric of both families; the overrides win.
	RouteMetric    *uint32   `yaml:"route-metric" help:"metric of its default routes of both families, 1 to 4294967295"`
	DHCP4Overrides Overrides `yaml:"dhcp4-overrides" help:"for IPv4 alone; wins over route-metric"`
	DHCP6Overrides Overrides `yaml:"dhcp6-overrides" help:"for IPv6 alone, DHCPv6 and router advertisements; wins over route-metric"` // DHCPv6 and RA default routes
	DHCP4          *bool     `yaml:"dhcp4" default:"true" help:"when the NIC is brought up: DHCPv4"`
	DHCP6          *bool     `yaml:"dhcp6" default:"true" help:"when the NIC is brought up: DHCPv6 and router advertisements"`
	Optional       *bool     `yaml:"optional" default:"true" help:"when the NIC is brought up: the boot does not wait for it"`
	BringUp        *bool     `yaml:"bring-up" help:"bring this NIC up if nobody configures it; without it network.bring-up decides"`
	DNS            string    `yaml:"dns" enum:"keep,demote" help:"name servers of this NIC; without it network.dns decides for NICs with the role nat"`
}

// Overrides are per-family settings, named as netplan names them.
type Overrides struct {
	RouteMetric *uint32 `yaml:"route-metric" help:"metric of its default routes, 1 to 4294967295"`
}

// Match selects NICs; all given fields must fit. Name, driver and path are
// shell patterns (path.Match).
type Match struct {
	Name   string     `yaml:"name" help:"name or alternative name, may be a pattern such as enp0s*"`
	MAC    string     `yaml:"macaddress" help:"permanent MAC address"` // permanent MAC
	Driver string     `yaml:"driver" help:"kernel driver, may be a pattern"`
	Path   string     `yaml:"path" help:"udev's ID_PATH (pci-0000:00:08.0) or the sysfs device path, may be a pattern"` // ID_PATH or sysfs device path
	Role   facts.Role `yaml:"role" enum:"nat,bridged,host-only,gadget,wifi,vpn,container,other" help:"detected role"`
}
