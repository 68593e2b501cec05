package backends

import "github.com/provision-net/provision/provision/facts"

// Config is the "network" slice of the configuration file.
type Config struct {
	// NATMetric is the metric for default routes of NICs with the role nat;
	// 0 means 1000, or as much more as it takes to lose against every other NIC.
	NATMetric uint32 `yaml:"nat-metric"`
	// FirstMetric is the first metric allotted to other NICs; 0 means 10.
	FirstMetric uint32 `yaml:"first-metric"`
	// DNS of NICs with the role nat: "keep" (default) or "demote".
	DNS string `yaml:"dns"`
	// Lazy lets daemons converge at their next renewal instead of acting on them.
	Lazy bool `yaml:"lazy"`
	// AllowGap permits paths that lose packets where no lossless one is known.
	AllowGap bool `yaml:"allow-gap"`
	// BringUp gives NICs without configuration DHCP; default true.
	BringUp *bool `yaml:"bring-up"`
	// NICs are rules; the first whose match fits decides a NIC.
	NICs []NICRule `yaml:"nics"`
}

// NICRule says otherwise for the NICs it matches.
type NICRule struct {
	Match Match `yaml:"match"`
	// Manage false leaves the NIC entirely alone.
	Manage *bool `yaml:"manage"`
	// Role overrides the detected role.
	Role facts.Role `yaml:"role"`
	// RouteMetric sets the metric of both families; the overrides win.
	RouteMetric    *uint32   `yaml:"route-metric"`
	DHCP4Overrides Overrides `yaml:"dhcp4-overrides"`
	DHCP6Overrides Overrides `yaml:"dhcp6-overrides"` // DHCPv6 and RA default routes
	DHCP4          *bool     `yaml:"dhcp4"`
	DHCP6          *bool     `yaml:"dhcp6"`
	Optional       *bool     `yaml:"optional"`
	BringUp        *bool     `yaml:"bring-up"`
	DNS            string    `yaml:"dns"`
}

// Overrides are per-family settings, named as netplan names them.
type Overrides struct {
	RouteMetric *uint32 `yaml:"route-metric"`
}

// Match selects NICs; all given fields must fit. Name, driver and path are
// shell patterns (path.Match).
type Match struct {
	Name   string     `yaml:"name"`
	MAC    string     `yaml:"macaddress"` // permanent MAC
	Driver string     `yaml:"driver"`
	Path   string     `yaml:"path"` // ID_PATH or sysfs device path
	Role   facts.Role `yaml:"role"`
}
