package lab

import (
	"fmt"
	"io/fs"
	"strings"
)

// File is one file of an overlay.
type File struct {
	Content string
	Mode    fs.FileMode // default 0644
	Link    string      // if not "", a symbolic link to this
}

// Overlay is a set of files that are laid over a root before it boots, by absolute path. Directories are made as needed.
type Overlay map[string]File

// Config is a ready network configuration in the files of the root's own network manager. Without BothNICs and its siblings
// (Config "") a root gets BothNICs.
type Config string

// The ready configurations.
const (
	// BothNICs configures eth0 and eth1 by name with DHCP and router advertisements and no metric. NetworkManager alone gets
	// no file at all: it makes "Wired connection 1" and 2 by itself.
	BothNICs Config = "both"
	// OnlyEth0 leaves every other NIC without configuration; NetworkManager is told not to make any by itself.
	OnlyEth0 Config = "eth0"
	// CloudInit is OnlyEth0 in the form which cloud-init renders: matched by MAC address, with the name set. Netplan turns that into
	// networkd's PermanentMACAddress=, which a veth has not: with networkd it needs BootVM.
	CloudInit Config = "cloud-init"
	// AllEn is one entry that matches all NICs by a pattern of names (id all-en in netplan). Netplan with NetworkManager makes one
	// profile of it, which NetworkManager activates on one NIC only, and not always the same.
	AllEn Config = "all-en"
	// NoConfig writes nothing.
	NoConfig Config = "none"
)

// kind is the root's network manager, from its name: SUITE-KIND+PACKAGES.
func kind(root string) string {
	_, k, _ := strings.Cut(RootName(root), "-")
	k, _, _ = strings.Cut(k, "+")
	return k
}

// configFiles writes c for the root's manager. The first two of the NICs are eth0 and eth1 of the ready configurations, whatever
// their names are.
func configFiles(root string, c Config, nics []NICOpts) (Overlay, error) {
	if c == "" {
		c = BothNICs
	}
	if c == NoConfig {
		return nil, nil
	}
	nics = append(nics[:len(nics):len(nics)], NICOpts{Name: "eth0"}, NICOpts{Name: "eth1"})
	first, second := nics[0], nics[1]
	switch k := kind(root); k {
	case "netplan":
		return netplanFiles("networkd", c, first, second)
	case "netplan-nm":
		o, err := netplanFiles("NetworkManager", c, first, second)
		if err == nil && c != BothNICs && c != AllEn {
			o["/etc/NetworkManager/conf.d/50-lab.conf"] = noAutoDefault
		}
		return o, err
	case "nm":
		return nmFiles(c, first)
	case "ifupdown", "ifupdown-dhcpcd", "ifupdown-udhcpc":
		return ifupdownFiles(c, first.Name, second.Name)
	default:
		return nil, fmt.Errorf("no ready configuration for a root of kind %q: set Config to NoConfig", k)
	}
}

func netplanFiles(renderer string, c Config, first, second NICOpts) (Overlay, error) {
	const dhcp = "      dhcp4: true\n      dhcp6: true\n"
	var nics string
	switch c {
	case BothNICs:
		nics = "    " + first.Name + ":\n" + dhcp + "    " + second.Name + ":\n" + dhcp
	case OnlyEth0:
		nics = "    " + first.Name + ":\n" + dhcp
	case CloudInit:
		nics = fmt.Sprintf("    %s:\n      match:\n        macaddress: %q\n%s      set-name: %q\n", first.Name, first.MAC, dhcp, first.Name)
	case AllEn:
		nics = "    all-en:\n      match:\n        name: \"e*\"\n" + dhcp
	default:
		return nil, fmt.Errorf("netplan has no ready configuration %q", c)
	}
	return Overlay{"/etc/netplan/50-cloud-init.yaml": {Mode: 0o600,
		Content: "network:\n  version: 2\n  renderer: " + renderer + "\n  ethernets:\n" + nics}}, nil
}

var noAutoDefault = File{Content: "[main]\nno-auto-default=*\n"}

func nmFiles(c Config, first NICOpts) (Overlay, error) {
	var id, match string
	switch c {
	case BothNICs:
		return nil, nil
	case OnlyEth0:
		id, match = first.Name, "[connection]\ninterface-name="+first.Name+"\n"
	case CloudInit:
		id, match = "cloud-init-"+first.Name, "[ethernet]\nmac-address="+strings.ToUpper(first.MAC)+"\n[connection]\n"
	case AllEn:
		// multi-connect=3 lets one profile be active on several NICs.
		id, match = "all-en", "[match]\ninterface-name=e*;\n[connection]\nmulti-connect=3\n"
	default:
		return nil, fmt.Errorf("NetworkManager has no ready configuration %q", c)
	}
	profile := fmt.Sprintf("%sid=%s\nuuid=4b1f9f5e-3c53-4f0e-9c6e-7f6d0f9a00%02x\ntype=ethernet\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n", match, id, len(id))
	return Overlay{
		"/etc/NetworkManager/system-connections/" + id + ".nmconnection": {Content: profile, Mode: 0o600},
		"/etc/NetworkManager/conf.d/50-lab.conf":                         noAutoDefault,
	}, nil
}

func ifupdownFiles(c Config, first, second string) (Overlay, error) {
	text := "# This file describes the network interfaces available on your system\n# and how to activate them. For more information, see interfaces(5).\n\n" +
		"source /etc/network/interfaces.d/*\n\n# The loopback network interface\nauto lo\niface lo inet loopback\n"
	stanza := func(name string) string {
		// "auto": allow-hotplug waits for udev, which a container has not.
		return fmt.Sprintf("\nauto %s\niface %s inet dhcp\niface %s inet6 auto\n", name, name, name)
	}
	switch c {
	case BothNICs:
		text += stanza(first) + stanza(second)
	case OnlyEth0:
		text += stanza(first)
	case CloudInit:
		return Overlay{
			"/etc/network/interfaces":                     {Content: text},
			"/etc/network/interfaces.d/50-cloud-init.cfg": {Content: "# This file is generated from information provided by the datasource.\n" + stanza(first)},
		}, nil
	default:
		return nil, fmt.Errorf("ifupdown has no ready configuration %q", c)
	}
	return Overlay{"/etc/network/interfaces": {Content: text}}, nil
}
