// Package facts says what a machine is: links, addresses, routes, the network
// managers and what they hold, board, hypervisor, container. Facts are plain data:
// they can be printed, loaded again, and given to the pure planners, so a bug
// report is a test fixture.
package facts

import (
	"net/netip"
	"strings"
	"time"
)

// SchemaVersion is the version of the JSON form of Facts.
const SchemaVersion = 1

// Facts is everything that the planners may know about the host.
type Facts struct {
	Schema  int       `json:"schema"`
	Machine Machine   `json:"machine"`
	Links   []Link    `json:"links"`     // by ascending index
	Addrs   []Address `json:"addresses"` // both families, all links
	Routes  []Route   `json:"routes"`    // all tables but local; multipath routes have Hops
	Rules   []Rule    `json:"rules"`

	Networkd  Networkd  `json:"networkd"`
	NM        NM        `json:"networkmanager"`
	Netplan   Netplan   `json:"netplan"`
	Ifupdown  Ifupdown  `json:"ifupdown"`
	Dhcpcd    Dhcpcd    `json:"dhcpcd"`
	CloudInit CloudInit `json:"cloud_init"`

	// USB is the device side of USB.
	USB USB `json:"usb,omitzero"`
	// Wireless is what Wi-Fi hangs on.
	Wireless Wireless `json:"wireless,omitzero"`

	Clients []DHCPClient `json:"dhcp_clients"` // running DHCP client processes
	SSH     []Session    `json:"ssh"`          // established SSH sessions towards this machine
	// DHCPSockets are the UDP sockets bound to the ports of DHCP clients (68, 546):
	// who holds one on a link is its live client, whatever files say.
	DHCPSockets []DHCPSocket `json:"dhcp_sockets,omitempty"`
	DNS         DNS          `json:"dns"`

	// Sysctl holds values that are not of one link: "net.ipv4.ip_forward",
	// "net.ipv4.conf.all.rp_filter", "net.ipv6.conf.all.forwarding" and the like.
	Sysctl map[string]string `json:"sysctl,omitempty"`

	// Files holds the network configuration files that planners read, by absolute
	// path as seen inside the root, sorted by path when printed.
	Files map[string]File `json:"files"`

	// Unreadable names each file or source that could not be read and why;
	// nothing is guessed in its place.
	Unreadable []Problem `json:"unreadable,omitempty"`
}

// Machine is what the network hangs on.
type Machine struct {
	Hostname   string `json:"hostname,omitempty"`
	OS         string `json:"os"`                   // ID of os-release(5): debian, ubuntu, alpine
	OSVersion  string `json:"os_version,omitempty"` // VERSION_ID
	Kernel     string `json:"kernel,omitempty"`
	Arch       string `json:"arch,omitempty"`
	BootID     string `json:"boot_id,omitempty"`
	MachineID  string `json:"machine_id,omitempty"` // digest, never the id itself
	Init       string `json:"init"`                 // systemd, openrc, sysvinit, busybox, other
	Systemd    int    `json:"systemd,omitempty"`    // major version, 0 unknown
	Hypervisor string `json:"hypervisor,omitempty"` // virtualbox, kvm, qemu, vmware, hyperv, xen, none
	Vendor     string `json:"vendor,omitempty"`     // DMI sys_vendor
	Product    string `json:"product,omitempty"`    // DMI product_name
	Board      string `json:"board,omitempty"`      // device-tree model
	Serial     string `json:"serial,omitempty"`     // of the board: device tree, else /proc/cpuinfo
	Container  string `json:"container,omitempty"`  // docker, lxc, systemd-nspawn, podman; empty outside
	WSL        bool   `json:"wsl,omitempty"`
	Chroot     bool   `json:"chroot,omitempty"`
	Offline    bool   `json:"offline,omitempty"` // read from a mounted image by --root: no kernel state
	Root       bool   `json:"root"`              // effective user id 0
	Cloud      string `json:"cloud,omitempty"`   // ec2, gce, azure, ...: a platform whose agent is in charge
	CNI        string `json:"cni,omitempty"`     // the CNI plugin in charge, evidence path
	Initrd     bool   `json:"initrd_network,omitempty"`
	// WaitOnline names the enabled units that keep the boot waiting for the network;
	// two of them are one too many.
	WaitOnline []string `json:"wait_online,omitempty"`
	// Others names running network managers that are none of ours: connmand, wickedd.
	Others []string `json:"other_managers,omitempty"`
}

// Role is what a NIC is for.
type Role string

const (
	RoleNAT       Role = "nat"       // NAT network of VirtualBox, libvirt or QEMU user networking
	RoleBridged   Role = "bridged"   // reaches a real network
	RoleHostOnly  Role = "host-only" // no way out
	RoleGadget    Role = "gadget"    // USB device side
	RoleWifi      Role = "wifi"
	RoleVPN       Role = "vpn"
	RoleContainer Role = "container" // veth or bridge of a container runtime
	RoleLoopback  Role = "loopback"
	RoleOther     Role = "other"
)

// Link is one network device.
type Link struct {
	Index   int      `json:"index"`
	Name    string   `json:"name"`
	Alt     []string `json:"altnames,omitempty"`
	MAC     string   `json:"mac,omitempty"`      // present, lower case, colons
	PermMAC string   `json:"perm_mac,omitempty"` // permanent where the kernel knows it, else MAC
	ARPHRD  int      `json:"arphrd"`             // ARPHRD_*: 1 ethernet, 772 loopback, 65534 none
	Kind    string   `json:"kind,omitempty"`     // rtnetlink kind: veth, bridge, bond, vlan, wireguard, tun; empty for hardware
	Driver  string   `json:"driver,omitempty"`
	DevPath string   `json:"devpath,omitempty"` // sysfs device path without /sys, empty for virtual devices
	Bus     string   `json:"bus,omitempty"`     // pci, usb, virtio, platform
	DevType string   `json:"devtype,omitempty"` // DEVTYPE of uevent: wlan, gadget, bridge, vlan, wwan
	Vendor  string   `json:"vendor,omitempty"`  // PCI or USB id vendor:device
	MTU     int      `json:"mtu,omitempty"`
	Up      bool     `json:"up"`      // IFF_UP
	Carrier bool     `json:"carrier"` // IFF_LOWER_UP
	Oper    string   `json:"oper,omitempty"`
	Master  int      `json:"master,omitempty"` // index of the bridge, bond or VRF it is a port of
	Parent  int      `json:"parent,omitempty"` // IFLA_LINK in the same namespace: lower device of a VLAN; for veth its peer
	Ports   []int    `json:"ports,omitempty"`
	// PeerNetns: the lower device or veth peer is in another network namespace.
	PeerNetns bool `json:"peer_netns,omitempty"`
	// Initrd: configured before the root file system was there (ip= on the kernel
	// command line, iSCSI or NFS root); taking it down may take the root away.
	Initrd bool `json:"initrd,omitempty"`
	// Udev holds the properties that decide ownership: ID_NET_MANAGED_BY,
	// NM_UNMANAGED, ID_PATH; empty without udev.
	Udev map[string]string `json:"udev,omitempty"`
	// Sysctl holds net.ipv4.conf and net.ipv6.conf values of this link that matter:
	// "ipv6.accept_ra", "ipv6.ra_defrtr_metric", "ipv6.disable_ipv6", "ipv4.rp_filter", "ipv6.forwarding".
	Sysctl map[string]string `json:"sysctl,omitempty"`
}

// Selector is the canonical device selector of references: "mac:" and the
// permanent MAC for hardware, "name:" and the name for everything else.
//
//go:noinline
func (l Link) Selector() string {
	if l.PermMAC != "" && l.Kind == "" {
		return "mac:" + l.PermMAC
	}
	return "name:" + l.Name
}

// Address is one address on a link.
type Address struct {
	Link      int           `json:"link"`
	Prefix    netip.Prefix  `json:"prefix"` // address with its prefix length, host bits kept
	Scope     string        `json:"scope"`  // global, link, host
	Dynamic   bool          `json:"dynamic,omitempty"`
	Proto     int           `json:"proto,omitempty"` // IFA_PROTO, Linux 5.18 and later
	Valid     time.Duration `json:"valid,omitempty"` // 0 means for ever
	Tentative bool          `json:"tentative,omitempty"`
	Temporary bool          `json:"temporary,omitempty"`
	NoPrefix  bool          `json:"noprefixroute,omitempty"`
}

// Well-known route protocol numbers (rtnetlink(7), /etc/iproute2/rt_protos).
const (
	ProtoRedirect = 1
	ProtoKernel   = 2
	ProtoBoot     = 3
	ProtoStatic   = 4
	ProtoRA       = 9
	ProtoDHCP     = 16
	ProtoOurs     = 158 // every route and rule that this program makes
)

// Route is one route. A default route has Dst 0.0.0.0/0 or ::/0.
type Route struct {
	Dst     netip.Prefix  `json:"dst"`
	Gateway netip.Addr    `json:"gateway,omitzero"`
	Link    int           `json:"link,omitempty"`
	Metric  uint32        `json:"metric"` // IPv4: none is 0 and beats everything
	Proto   int           `json:"proto"`
	Table   uint32        `json:"table"` // 254 is main
	Type    string        `json:"type"`  // unicast, unreachable, blackhole, prohibit
	Scope   string        `json:"scope,omitempty"`
	Src     netip.Addr    `json:"src,omitzero"`
	Pref    string        `json:"pref,omitempty"` // IPv6 router preference: low, medium, high
	Expires time.Duration `json:"expires,omitempty"`
	OnLink  bool          `json:"onlink,omitempty"`
	Hops    []Hop         `json:"hops,omitempty"` // multipath
	MTU     uint32        `json:"mtu,omitempty"`  // bytes; 0: the device's
}

// Hop is one next hop of a multipath route.
type Hop struct {
	Gateway netip.Addr `json:"gateway,omitzero"`
	Link    int        `json:"link"`
	Weight  int        `json:"weight,omitempty"`
}

// Default reports whether r is a default route of its family.
//
//go:noinline
func (r Route) Default() bool { return r.Dst.IsValid() && r.Dst.Bits() == 0 }

// Rule is one policy rule.
type Rule struct {
	Family   int          `json:"family"` // 4 or 6
	Priority uint32       `json:"priority"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	Iif      string       `json:"iif,omitempty"`
	Oif      string       `json:"oif,omitempty"`
	Mark     uint32       `json:"mark,omitempty"`
	Mask     uint32       `json:"mask,omitempty"`
	Table    uint32       `json:"table"`
	Action   string       `json:"action"` // lookup, unreachable, blackhole, prohibit, goto
	// Suppresses: the rule has a suppress_prefixlength, which is Suppress (0 is the
	// most common one).
	Suppresses bool `json:"suppresses,omitempty"`
	Suppress   int  `json:"suppress_prefixlength,omitempty"`
	Proto      int  `json:"proto,omitempty"`
	Invert     bool `json:"invert,omitempty"`
}

// Daemon is what is common to the managers that run.
type Daemon struct {
	Installed bool   `json:"installed"`
	Running   bool   `json:"running"`
	PID       int    `json:"pid,omitempty"`
	Version   string `json:"version,omitempty"` // of the installed files, as far as it can be told without running them
	Enabled   bool   `json:"enabled,omitempty"` // its unit is wanted by a target
	Masked    bool   `json:"masked,omitempty"`  // its unit is a symlink to /dev/null
}

// Networkd is systemd-networkd's view, by link index.
type Networkd struct {
	Daemon
	Links map[int]NetworkdLink `json:"links,omitempty"`
}

// NetworkdLink comes from /run/systemd/netif/links/INDEX.
type NetworkdLink struct {
	Admin   string   `json:"admin"` // configured, configuring, unmanaged, failed, pending
	Oper    string   `json:"oper,omitempty"`
	Network string   `json:"network_file,omitempty"`
	Dropins []string `json:"dropins,omitempty"`
	DNS     []string `json:"dns,omitempty"`
}

// NM is NetworkManager's view.
type NM struct {
	Daemon
	Devices  map[int]NMDevice `json:"devices,omitempty"` // by link index
	Profiles []NMProfile      `json:"profiles,omitempty"`
}

// NMDevice comes from /run/NetworkManager/devices/INDEX.
type NMDevice struct {
	Managed  string `json:"managed"` // managed, unmanaged, unknown
	UUID     string `json:"connection_uuid,omitempty"`
	External bool   `json:"external,omitempty"` // "connected (externally)": no ownership
	// DNS are the name servers of the lease, where NetworkManager notes them.
	DNS []string `json:"dns,omitempty"`
}

// NMProfile is one keyfile profile; its text is in Facts.Files under Path.
type NMProfile struct {
	ID, UUID, Type, Interface, Path string
	MAC                             string `json:",omitempty"`
}

// Netplan is what netplan is given and has generated.
type Netplan struct {
	Installed bool     `json:"installed"`
	Version   string   `json:"version,omitempty"`
	Files     []string `json:"files,omitempty"`     // effective YAML files in reading order
	Generated []string `json:"generated,omitempty"` // files under /run made by the generator
}

// Ifupdown is what ifupdown has.
type Ifupdown struct {
	Installed bool              `json:"installed"`
	Flavour   string            `json:"flavour,omitempty"` // ifupdown, ifupdown-ng, ifupdown2
	Version   string            `json:"version,omitempty"`
	Enabled   bool              `json:"enabled,omitempty"` // networking.service or the init script is wanted
	State     map[string]string `json:"ifstate,omitempty"` // interface to logical interface, from /run/network/ifstate
	Client    string            `json:"client,omitempty"`  // the DHCP client that ifup would pick: dhclient, udhcpc, dhcpcd
}

// Dhcpcd is dhcpcd, standalone or started per NIC.
type Dhcpcd struct {
	Daemon
	Master bool `json:"master,omitempty"` // one daemon for all NICs, not one started by ifup
}

// CloudInit is cloud-init's part.
type CloudInit struct {
	Installed  bool   `json:"installed"`
	Disabled   bool   `json:"disabled,omitempty"`
	Datasource string `json:"datasource,omitempty"`
	Renders    bool   `json:"renders"`            // network config is not disabled
	Rewrites   string `json:"rewrites,omitempty"` // "new instance" or "every boot"
}

// DHCPClient is a running DHCP client process.
type DHCPClient struct {
	PID    int               `json:"pid"`
	Name   string            `json:"name"` // dhclient, dhcpcd, udhcpc, NetworkManager-internal is not listed
	Link   string            `json:"link,omitempty"`
	Family int               `json:"family,omitempty"` // 4, 6 or 0 for both
	Args   []string          `json:"args,omitempty"`
	Env    map[string]string `json:"env,omitempty"` // IF_METRIC only
}

// DHCPSocket is a UDP socket bound to a DHCP client port.
type DHCPSocket struct {
	Local netip.AddrPort `json:"local"`
	Link  int            `json:"link,omitempty"` // the device it is bound to, 0 when to none
	UID   int            `json:"uid"`
	PID   int            `json:"pid,omitempty"`  // known to root only
	Name  string         `json:"name,omitempty"` // command name of that process
}

// Session is an established TCP session of an SSH server on this machine.
type Session struct {
	Local  netip.AddrPort `json:"local"`
	Remote netip.AddrPort `json:"remote"`
	Mine   bool           `json:"mine,omitempty"` // the one this command runs in (SSH_CONNECTION or an sshd ancestor)
}

// DNS is the resolver configuration in effect.
type DNS struct {
	Owner   string              `json:"owner"` // systemd-resolved, resolvconf, openresolv, NetworkManager, dhclient, file
	Servers []string            `json:"servers,omitempty"`
	ByLink  map[string][]string `json:"by_link,omitempty"`
	Search  []string            `json:"search,omitempty"`
}

// File is one configuration file. Text is not valid when Masked: secrets were
// blanked for printing.
type File struct {
	Mode   uint32 `json:"mode"` // permission bits
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Link   string `json:"symlink,omitempty"` // target when the path is a symlink
	Text   string `json:"text,omitempty"`
	Masked bool   `json:"masked,omitempty"`
}

// Marker is the first line of every file that provision writes as a whole.
const Marker = "# written by provision; `provision revert` removes it"

// Ours reports whether provision wrote the file.
func (f File) Ours() bool {
	first, _, _ := strings.Cut(f.Text, "\n")
	return first == Marker
}

// Problem is one source that could not be read.
type Problem struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// LinkByName returns the link called name, also by an alternative name.
//
//go:noinline
func (f *Facts) LinkByName(name string) (Link, bool) {
	for _, l := range f.Links {
		if l.Name == name {
			return l, true
		}
	}
	for _, l := range f.Links {
		for _, a := range l.Alt {
			if a == name {
				return l, true
			}
		}
	}
	return Link{}, false
}

// LinkByIndex returns the link with that interface index.
//
//go:noinline
func (f *Facts) LinkByIndex(index int) (Link, bool) {
	for _, l := range f.Links {
		if l.Index == index {
			return l, true
		}
	}
	return Link{}, false
}

// Defaults returns the default routes of the main table of one family (4 or 6)
// that leave through link index, multipath ones included.
func (f *Facts) Defaults(index, family int) []Route {
	var out []Route
	for _, r := range f.Routes {
		if !r.Default() || r.Table != 254 || r.Type != "unicast" || r.Dst.Addr().Is4() != (family == 4) {
			continue
		}
		if r.Link == index {
			out = append(out, r)
			continue
		}
		for _, h := range r.Hops {
			if h.Link == index {
				out = append(out, r)
				break
			}
		}
	}
	return out
}
