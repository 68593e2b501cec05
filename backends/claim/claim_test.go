package claim

import (
	"errors"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/provision/facts"
)

func ether(name, mac, driver string) facts.Link {
	return facts.Link{Index: 2, Name: name, MAC: mac, PermMAC: mac, ARPHRD: 1, Driver: driver, Udev: map[string]string{}}
}

func TestNetplanFits(t *testing.T) {
	nic := ether("enp0s3", "08:00:27:aa:bb:cc", "e1000")
	wifi := facts.Link{Name: "wlan0", ARPHRD: 1, DevType: "wlan", PermMAC: "dc:a6:32:00:00:01"}
	renamed := ether("eth0", "08:00:27:aa:bb:cc", "e1000")
	bond := facts.Link{Name: "bond0", ARPHRD: 1, Kind: "bond"}
	for _, c := range []struct {
		name, yaml string
		link       facts.Link
		want       string // ids with renderer, joined
	}{
		{"id is the name", "ethernets: {enp0s3: {}}", nic, "enp0s3/networkd"},
		{"another name", "ethernets: {enp0s8: {}}", nic, ""},
		{"name glob", "ethernets: {all: {match: {name: 'en*'}}}", nic, "all/networkd"},
		{"class negated as fnmatch does", "ethernets: {all: {match: {name: 'en[!x]0s3'}}}", nic, "all/networkd"},
		{"MAC in capitals", "ethernets: {nat: {match: {macaddress: '08:00:27:AA:BB:CC'}}}", nic, "nat/networkd"},
		{"MAC of another", "ethernets: {nat: {match: {macaddress: '08:00:27:AA:BB:CD'}}}", nic, ""},
		{"driver glob", "ethernets: {v: {match: {driver: 'e1*'}}}", nic, "v/networkd"},
		{"driver list", "ethernets: {v: {match: {driver: [virtio_net, e1000]}}}", nic, "v/networkd"},
		{"all conditions must fit", "ethernets: {v: {match: {driver: e1000, name: 'eth*'}}}", nic, ""},
		{"renamed by set-name, matched by its old name", "ethernets: {n: {match: {name: 'enp*'}, set-name: eth0}}", renamed, "n/networkd"},
		{"networkd ignores a file with an empty [Match]", "ethernets: {n: {match: {}}}", nic, ""},
		{"NetworkManager takes it for every Ethernet", "renderer: NetworkManager\n  ethernets: {n: {match: {}}}", nic, "n/NetworkManager"},
		{"but not its own profile that is bound to nothing", "renderer: NetworkManager\n  ethernets: {NM-1: {match: {}}}", nic, ""},
		{"to networkd a name is a name", "ethernets: {n: {match: {name: '*'}}}", wifi, "n/networkd"},
		{"to NetworkManager ethernets are no Wi-Fi", "renderer: NetworkManager\n  ethernets: {n: {match: {name: '*'}}}", wifi, ""},
		{"wifis", "wifis: {wlan0: {}}", wifi, "wlan0/networkd"},
		{"a bond by its id", "bonds: {bond0: {}}", bond, "bond0/networkd"},
		{"networkd's glob takes the bond too", "ethernets: {n: {match: {name: '*'}}}", bond, "n/networkd"},
		{"NetworkManager's does not", "renderer: NetworkManager\n  ethernets: {n: {match: {name: '*'}}}", bond, ""},
		{"renderer of all", "renderer: NetworkManager\n  ethernets: {enp0s3: {}}", nic, "enp0s3/NetworkManager"},
		{"renderer of the type wins", "renderer: NetworkManager\n  ethernets: {renderer: networkd, enp0s3: {}}", nic, "enp0s3/networkd"},
		{"renderer of the id wins", "renderer: networkd\n  ethernets: {renderer: networkd, enp0s3: {renderer: NetworkManager}}", nic, "enp0s3/NetworkManager"},
		{"two ids in the order of their generated files", "ethernets: {enp0s3: {}, all-en: {match: {name: 'en*'}}}", nic, "all-en/networkd enp0s3/networkd"},
		{"empty definition", "ethernets: {enp0s3: {}}", nic, "enp0s3/networkd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &facts.Facts{Files: map[string]facts.File{"/etc/netplan/x.yaml": {Text: "network:\n  version: 2\n  " + c.yaml + "\n"}}}
			f.Netplan.Files = []string{"/etc/netplan/x.yaml"}
			files := Of(f)
			if err := errors.Join(files.NetplanTree().Errors...); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, id := range files.Netplan(c.link) {
				got = append(got, id.ID+"/"+id.Renderer)
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("got %q, want %q", g, c.want)
			}
		})
	}
}

func TestNetplanMergesFilesAndNamesBrokenOnes(t *testing.T) {
	f := &facts.Facts{Files: map[string]facts.File{
		"/etc/netplan/10-a.yaml": {Text: "network:\n  ethernets:\n    n:\n      match: {macaddress: '08:00:27:aa:bb:cc'}\n      dhcp4: true\n"},
		"/etc/netplan/20-b.yaml": {Text: "network:\n  renderer: NetworkManager\n  ethernets:\n    n: {set-name: lan0}\n"},
		"/etc/netplan/30-c.yaml": {Text: "network: [\n"},
	}}
	f.Netplan.Files = []string{"/etc/netplan/10-a.yaml", "/etc/netplan/20-b.yaml", "/etc/netplan/30-c.yaml", "/etc/netplan/40-unreadable.yaml"}
	files := Of(f)
	if err := errors.Join(files.NetplanTree().Errors...); err == nil || !strings.Contains(err.Error(), "/etc/netplan/30-c.yaml:1: cannot parse") {
		t.Errorf("error %v does not name the broken file", err)
	}
	got := files.Netplan(ether("lan0", "08:00:27:aa:bb:cc", "e1000"))
	if len(got) != 1 || got[0].Renderer != "NetworkManager" || len(got[0].Files) != 2 || got[0].Source() != "/etc/netplan/10-a.yaml:3" {
		t.Errorf("got %+v", got)
	}
}

func TestNetworkd(t *testing.T) {
	nic := ether("enp0s3", "08:00:27:aa:bb:cc", "e1000")
	nic.Udev["ID_PATH"] = "pci-0000:00:03.0"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"the first file name wins over all directories", map[string]string{
			"/etc/systemd/network/20-b.network": "[Match]\nName=en*\n", "/run/systemd/network/10-a.network": "[Match]\nName=enp0s3\n"}, "/run/systemd/network/10-a.network:2"},
		{"/etc shadows /run", map[string]string{
			"/etc/systemd/network/10-a.network": "[Match]\nName=eth9\n", "/run/systemd/network/10-a.network": "[Match]\nName=enp0s3\n"}, ""},
		{"no match section fits nothing", map[string]string{"/etc/systemd/network/10-a.network": "[Network]\nDHCP=yes\n"}, ""},
		{"type and driver", map[string]string{"/etc/systemd/network/10-a.network": "# c\n[Match]\nType=ether\nDriver=e1000 igb\n"}, "/etc/systemd/network/10-a.network:3"},
		{"negated list", map[string]string{"/etc/systemd/network/10-a.network": "[Match]\nName=!veth* enp*\n"}, ""},
		{"path", map[string]string{"/etc/systemd/network/10-a.network": "[Match]\nPath=pci-0000:00:03.*\n"}, "/etc/systemd/network/10-a.network:2"},
		{"permanent MAC", map[string]string{"/etc/systemd/network/10-a.network": "[Match]\nPermanentMACAddress=08:00:27:AA:BB:CC\n"}, "/etc/systemd/network/10-a.network:2"},
		{"container's host0 on a machine", map[string]string{"/usr/lib/systemd/network/80-container-host0.network": "[Match]\nKind=veth\nName=host0\nVirtualization=container\n"}, ""},
		{"an undecidable condition", map[string]string{"/etc/systemd/network/10-a.network": "[Match]\nName=en*\nSSID=home\n"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &facts.Facts{Files: map[string]facts.File{}}
			for p, text := range c.files {
				f.Files[p] = facts.File{Text: text}
			}
			got := ""
			if claim, ok := Of(f).Networkd(nic); ok {
				got = claim.Source()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestIfupdown(t *testing.T) {
	f := &facts.Facts{Files: map[string]facts.File{
		"/etc/network/interfaces":              {Text: "auto enp0s3\nsource /etc/network/interfaces.d/*.cfg\nsource-directory more\niface \\\n enp0s3 inet \\\n dhcp\n  metric 5\n# iface enp0s3 inet static\nsource interfaces\n"},
		"/etc/network/interfaces.d/50-ci.cfg":  {Text: "iface enp0s3 inet6 auto\n"},
		"/etc/network/interfaces.d/50-ci.cfg~": {Text: "iface enp0s3 inet6 static\n"},
		"/etc/network/more/good":               {Text: "iface enp0s3 inet manual\n"},
		"/etc/network/more/bad.conf":           {Text: "iface enp0s3 inet ppp\n"},
	}}
	f.Files["/etc/network/more/worse"] = facts.File{Text: "iface\niface enp0s3 inet dhcp\n"} // ifup stops in line 1
	var got []string
	for _, c := range Of(f).Ifupdown(ether("enp0s3", "", "")) {
		got = append(got, c.Source()+" "+c.Method)
	}
	want := "/etc/network/interfaces.d/50-ci.cfg:1 auto|/etc/network/more/good:1 manual|/etc/network/interfaces:4 dhcp|/etc/network/more/worse:2 dhcp"
	if g := strings.Join(got, "|"); g != want {
		t.Errorf("got  %s\nwant %s", g, want)
	}
}

func TestDhcpcd(t *testing.T) {
	for _, c := range []struct {
		conf  string
		takes bool
		line  int
	}{
		{"", true, 0},
		{"denyinterfaces eth0", true, 0},
		{"hostname\ndenyinterfaces en*,veth*", false, 2},
		{"allowinterfaces eth0", false, 1},
		{"allowinterfaces enp*\ninterface enp0s3\nmetric 5", true, 1},
		{"#denyinterfaces enp0s3\ninterface enp0s3", true, 2},
	} {
		f := &facts.Facts{Files: map[string]facts.File{"/etc/dhcpcd.conf": {Text: c.conf}}}
		got, takes := Of(f).Dhcpcd(ether("enp0s3", "", ""))
		if takes != c.takes || got.Line != c.line {
			t.Errorf("%q: takes %v line %d, want %v %d", c.conf, takes, got.Line, c.takes, c.line)
		}
	}
}

func TestTooBigIsNotParsed(t *testing.T) {
	f := &facts.Facts{Files: map[string]facts.File{"/etc/dhcpcd.conf": {Text: "denyinterfaces *\n" + strings.Repeat("#", conf.MaxFile)}}}
	if _, takes := Of(f).Dhcpcd(ether("eth0", "", "")); !takes {
		t.Error("a file beyond the bound was parsed")
	}
}

func FuzzFiles(f *testing.F) {
	f.Add("network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    a: &x {match: {name: 'en*', driver: [e1000]}, set-name: eth0}\n    b: *x\n")
	f.Add("network: {ethernets: {a: {match: {name: '['}}}}")
	f.Add("[Match]\nName=en*\nType=!wlan\n[Network]\nDHCP=yes\n")
	f.Add("source /etc/network/interfaces\nauto enp0s3\niface enp0s3 inet dhcp\nbad\niface enp0s3 inet6 auto\n")
	f.Add("denyinterfaces veth*\ninterface enp0s3\n")
	f.Fuzz(func(t *testing.T, s string) {
		fa := &facts.Facts{Files: map[string]facts.File{}}
		for _, p := range []string{"/etc/netplan/a.yaml", "/etc/systemd/network/10-x.network", "/etc/network/interfaces", "/etc/dhcpcd.conf"} {
			fa.Files[p] = facts.File{Text: s}
		}
		l, files := ether("enp0s3", "08:00:27:aa:bb:cc", "e1000"), Of(fa)
		claims := append(files.Netplan(l), files.Ifupdown(l)...)
		if c, ok := files.Networkd(l); ok {
			claims = append(claims, c)
		}
		if c, takes := files.Dhcpcd(l); !takes {
			claims = append(claims, c)
		}
		for _, c := range claims {
			if c.Line < 1 || c.Line > len(s)+1 || c.File == "" {
				t.Errorf("claim without a place: %+v", c)
			}
		}
	})
}
