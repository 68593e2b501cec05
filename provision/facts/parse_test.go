package facts

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParseProcNet(t *testing.T) {
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21000 1 0000000000000000 100 0 0 10 0
   1: 0F02000A:0016 0202000A:CB4C 01 00000000:00000000 02:000A8F1B 00000000     0        0 21001 4 0000000000000000 20 4 30 10 -1
   2: bad
   3: 0F02000A:zz16 0202000A:CB4C 01 00000000:00000000 02:000A8F1B 00000000     0        0 21001 4
`
	const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000F02000A:0016 0000000000000000FFFF00000202000A:C000 01 00000000:00000000 00:00000000 00000000  1000        0 21002 1
   1: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:C001 01 00000000:00000000 00:00000000 00000000     0        0 21003 1
`
	got := append(parseProcNet(tcp, tcpEstablished, false), parseProcNet(tcp6, tcpEstablished, false)...)
	want := []Socket{
		{Local: netip.MustParseAddrPort("10.0.2.15:22"), Remote: netip.MustParseAddrPort("10.0.2.2:52044"), Inode: 21001},
		{Local: netip.MustParseAddrPort("10.0.2.15:22"), Remote: netip.MustParseAddrPort("10.0.2.2:49152"), UID: 1000, Inode: 21002},
		{Local: netip.MustParseAddrPort("[2001:db8::1]:22"), Remote: netip.MustParseAddrPort("[2001:db8::2]:49153"), Inode: 21003},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if all := parseProcNet(tcp, 0, false); len(all) != 2 || all[0].Remote.IsValid() {
		t.Errorf("all states: %v", all)
	}
	if be := parseProcNet("\n0: 0A00020F:0016 0A000202:CB4C 01 0:0 0:0 0 0 0 7\n", 1, true); len(be) != 1 || be[0].Local != want[0].Local {
		t.Errorf("big-endian: %v", be)
	}
}

func TestParseDpkgStatus(t *testing.T) {
	const db = `Package: systemd
Status: install ok installed
Version: 252.39-1~deb12u2
Description: x
 Package: ifupdown

Package: ifupdown
Status: deinstall ok config-files
Version: 0.8.41

Package: netplan.io
Status: hold ok installed
Version: 0.106-2
Depends: systemd`
	got := parseDpkgStatus([]byte(db), packageNames)
	want := packages{"systemd": "252.39-1~deb12u2", "netplan.io": "0.106-2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	apk := parseApkInstalled([]byte("C:Q1\nP:ifupdown-ng\nV:0.11.3-r0\n\nC:Q1\nP:dhcpcd\nV:10.0.6-r1\n"), packageNames)
	if !reflect.DeepEqual(apk, packages{"ifupdown-ng": "0.11.3-r0", "dhcpcd": "10.0.6-r1"}) {
		t.Errorf("apk: %v", apk)
	}
}

func TestParseCmdline(t *testing.T) {
	for _, c := range []struct {
		line string
		want bootNetwork
	}{
		{"root=/dev/sda1 ro quiet", bootNetwork{}},
		{"ip=dhcp", bootNetwork{network: true}},
		{"ip=off", bootNetwork{}},
		{"ip=:::::eth0:dhcp", bootNetwork{network: true, devices: []string{"eth0"}}},
		{"ip=:::::eth0:off", bootNetwork{}},
		{"ip=10.0.0.5::10.0.0.1:255.255.255.0:h:eno1:off", bootNetwork{network: true, devices: []string{"eno1"}}},
		{"ip=[2001:db8::5]::[2001:db8::1]:64:h:eno1:none", bootNetwork{network: true, devices: []string{"eno1"}}},
		{"ip=eth1:dhcp6 rd.neednet=1", bootNetwork{network: true, devices: []string{"eth1"}}},
		{"rd.neednet=0", bootNetwork{}},
		{"root=/dev/nfs nfsroot=10.0.0.1:/x BOOTIF=01-D0-94-66-00-00-01", bootNetwork{network: true, mac: "d0:94:66:00:00:01"}},
		{"quiet -- ip=dhcp", bootNetwork{}},
		{`netroot=iscsi:@10.0.0.1::::iqn.x`, bootNetwork{network: true}},
		{"cloud-init=disabled network-config=disabled", bootNetwork{cloudOff: true, configOff: true}},
	} {
		if got := parseCmdline(c.line); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.line, got, c.want)
		}
	}
}

func TestClientOf(t *testing.T) {
	for _, c := range []struct {
		comm, args, link string
		family           int
		ok               bool
	}{
		{"dhclient", "/sbin/dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/x -I -df /var/lib/dhcp/y eth0", "eth0", 4, true},
		{"dhclient", "dhclient -6 -e IF_METRIC=10 eth1", "eth1", 6, true},
		{"dhclient", "dhclient", "", 4, true},
		{"udhcpc", "udhcpc -n -p /run/udhcpc.eth0.pid -i eth0", "eth0", 4, true},
		{"udhcpc", "/sbin/udhcpc -b -R --interface=wlan0", "wlan0", 4, true},
		{"udhcpc", "udhcpc", "eth0", 4, true},
		{"dhcpcd", "dhcpcd: eth0 [ip4] [ip6]", "eth0", 0, true},
		{"dhcpcd", "dhcpcd: [manager] [ip4] [ip6]", "", 0, true},
		{"dhcpcd", "dhcpcd: [master] [ip4]", "", 4, true},
		{"dhcpcd", "dhcpcd: [privileged proxy] eth0 [ip4] [ip6]", "", 0, false},
		{"dhcpcd", "dhcpcd: [BPF ARP] eth0 10.0.2.15", "", 0, false},
		{"dhcpcd", "/usr/sbin/dhcpcd -4 -m 20 eth0", "eth0", 4, true},
		{"dhcpcd", "/usr/sbin/dhcpcd -q -w", "", 0, true},
		{"bash", "bash dhclient", "", 0, false},
	} {
		args := strings.Split(c.args, " ")
		if strings.HasPrefix(c.args, "dhcpcd: ") {
			args = []string{c.args}
		}
		got, ok := clientOf(c.comm, args)
		if ok != c.ok || ok && (got.Link != c.link || got.Family != c.family) {
			t.Errorf("%s: link %q family %d, %v; want %q %d, %v", c.args, got.Link, got.Family, ok, c.link, c.family, c.ok)
		}
	}
}

func TestInCharge(t *testing.T) {
	on := func(ds string) CloudInit {
		return CloudInit{Installed: true, Renders: true, Datasource: ds}
	}
	for _, c := range []struct {
		name, dmi string
		c         CloudInit
		agents    []string
		want      string
	}{
		{"a Vagrant box", "", CloudInit{}, nil, ""},
		{"Multipass", "", on("NoCloud"), nil, ""},
		{"Proxmox", "", on("ConfigDrive"), nil, ""},
		{"no datasource found", "", on("None"), nil, ""},
		{"LXD", "", on("LXD"), nil, ""},
		{"EC2", "ec2", on("Ec2"), nil, "ec2"},
		{"OpenStack by metadata service", "", on("OpenStack"), nil, "openstack"},
		{"OpenStack by config drive", "openstack", on("ConfigDrive"), nil, "openstack"},
		{"EC2, plain image of its owner", "ec2", CloudInit{}, nil, ""},
		{"EC2, network configuration switched off", "ec2", CloudInit{Installed: true, Datasource: "Ec2"}, nil, ""},
		{"EC2, cloud-init switched off, agent runs", "ec2", CloudInit{Installed: true, Disabled: true}, []string{"ec2"}, "ec2"},
		{"GCE agent without DMI", "", CloudInit{}, []string{"gce"}, "gce"},
		{"NoCloud on a cloud's machine", "hetzner", on("NoCloud"), nil, ""},
	} {
		if got := inCharge(c.dmi, c.c, c.agents); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCloudConfig(t *testing.T) {
	for _, c := range []struct {
		text string
		want cloudCfg
	}{
		{"network:\n  config: disabled\n", cloudCfg{networkOff: true}},
		{"network: {config: disabled}\n", cloudCfg{networkOff: true}},
		{"network:\n  version: 2\n", cloudCfg{}},
		{"updates:\n  network:\n    when: [boot, hotplug]\n", cloudCfg{when: []string{"boot", "hotplug"}}},
		{"network: [broken", cloudCfg{}},
	} {
		var got cloudCfg
		parseCloudConfig(c.text, &got)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, want %+v", c.text, got, c.want)
		}
	}
	for _, c := range []struct {
		ds, want string
		when     []string
	}{
		{"NoCloud", "new instance", nil}, {"GCE", "every boot", nil}, {"azure", "every boot", nil}, {"NoCloud", "every boot", []string{"boot"}}, {"GCE", "new instance", []string{"hotplug"}},
	} {
		if got := rewrites(c.ds, c.when); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.ds, c.when, got, c.want)
		}
	}
}

func TestDMI(t *testing.T) {
	for _, c := range []struct{ vendor, product, bios, asset, hypervisor, cloud string }{
		{"innotek GmbH", "VirtualBox", "innotek GmbH", "", "virtualbox", ""},
		{"VMware, Inc.", "VMware Virtual Platform", "Phoenix", "", "vmware", ""},
		{"QEMU", "Standard PC (Q35 + ICH9, 2009)", "SeaBIOS", "", "qemu", ""},
		{"Microsoft Corporation", "Virtual Machine", "American Megatrends", "7783-7084-3265-9085-8269-3286-77", "hyperv", "azure"},
		{"Microsoft Corporation", "Surface Pro", "Microsoft", "", "", ""},
		{"Amazon EC2", "t3.small", "Amazon EC2", "", "kvm", "ec2"},
		{"Amazon EC2", "m5.metal", "Amazon EC2", "", "none", "ec2"},
		{"Google", "Google Compute Engine", "Google", "", "kvm", "gce"},
		{"Hetzner", "vServer", "Hetzner", "", "kvm", "hetzner"},
		{"OpenStack Foundation", "OpenStack Nova", "SeaBIOS", "", "kvm", "openstack"},
		{"LENOVO", "20L5", "LENOVO", "", "", ""},
	} {
		if got := dmiHypervisor(c.vendor, c.product, c.bios, ""); got != c.hypervisor {
			t.Errorf("hypervisor of %s %s: %q, want %q", c.vendor, c.product, got, c.hypervisor)
		}
		if got := dmiCloud(c.vendor, c.product, c.asset); got != c.cloud {
			t.Errorf("cloud of %s %s: %q, want %q", c.vendor, c.product, got, c.cloud)
		}
	}
}

func TestResolv(t *testing.T) {
	for _, c := range []struct{ target, text, want string }{
		{"/run/systemd/resolve/stub-resolv.conf", "", "systemd-resolved"},
		{"/usr/lib/systemd/resolv.conf", "", "systemd-resolved"},
		{"/run/NetworkManager/resolv.conf", "", "NetworkManager"},
		{"/run/resolvconf/resolv.conf", "# Generated by NetworkManager", "resolvconf"},
		{"", "# Generated by NetworkManager\nnameserver 1.1.1.1\n", "NetworkManager"},
		{"", "# Generated by dhcpcd from eth0.dhcp\n", "dhcpcd"},
		{"", "# Generated by resolvconf\n", "resolvconf"},
		{"", "nameserver 1.1.1.1 # NetworkManager is not used\n", "file"},
		{"", "", "file"},
	} {
		if got := resolvOwner(c.target, c.text); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.target, c.text, got, c.want)
		}
	}
	servers, search := parseResolvConf("domain a\nnameserver 10.0.2.3\n nameserver fe80::1%eth0\nsearch b c\n#nameserver 9.9.9.9\nnameserver\n")
	if fmt.Sprint(servers, search) != "[10.0.2.3 fe80::1%eth0] [b c]" {
		t.Errorf("servers %v, search %v", servers, search)
	}
}

func TestSmallParsers(t *testing.T) {
	if got := parentPID("17 (a) b) (c)) S 42 17 17 0"); got != 42 {
		t.Errorf("parent %d", got)
	}
	if got := sharedVersion("libsystemd-shared-256.7-1.fc41.so"); got != 256 {
		t.Errorf("systemd %d", got)
	}
	if sharedVersion("libsystemd-shared-.so") != 0 || sharedVersion("libsystemd-core-252.so") != 0 {
		t.Error("a version where there is none")
	}
	if innerPID("Name:\tx\nNSpid:\t17\n") || !innerPID("NSpid:\t17\t3\n") || innerPID("") {
		t.Error("NSpid is misread")
	}
	if got := fmt.Sprint(sshdPorts("#Port 1\nPort 2222\nListenAddress 10.0.0.1:2200\nListenAddress [::]:2201\nListenAddress 0.0.0.0\nport=23\nPort x\n")); got != "[2222 2200 2201 23]" {
		t.Errorf("ports of sshd: %s", got)
	}
	if s, ok := parseSSHConnection("fe80::1%eth0 50000 fe80::2%eth0 22"); !ok || s.Local.Port() != 22 || !sameEnd(s.Remote, netip.MustParseAddrPort("[fe80::1]:50000")) {
		t.Errorf("SSH_CONNECTION: %+v, %v", s, ok)
	}
	if _, ok := parseSSHConnection("a b c d"); ok {
		t.Error("words pass as SSH_CONNECTION")
	}
	if got := usbID("bda/8153/3000"); got != "0bda:8153" {
		t.Errorf("USB id %q", got)
	}
	if got := fmt.Sprint(parseIfstate("lo=lo\neth0=home 1\nwlan0\n\n")); got != "map[eth0:home lo:lo wlan0:wlan0]" {
		t.Errorf("ifstate: %s", got)
	}
	if got := derivedUUID("netplan-eth0.nmconnection"); got != "626dd384-8b3d-3690-9511-192b2c79b3fd" {
		t.Errorf("derived UUID %s", got)
	}
	got := fmt.Sprint(interfaceSources("source a b\n  source-directory d\n#source c\nsource \\\n  e\nsources f\nsource\n"))
	if got != "[{a false} {b false} {d true} {e false}]" {
		t.Errorf("sources: %s", got)
	}
}

// FuzzParsers feeds every parser of state files; none may fail, and what comes out
// must be fit to be printed and read again.
func FuzzParsers(f *testing.F) {
	for _, s := range []string{
		"E:ID_NET_DRIVER=e1000\nE:ID_PATH=pci-0000:00:03.0\n", "ADMIN_STATE=configured\nNETWORK_FILE_DROPINS=/a:/b\\x3ac\nDNS=\"1.1.1.1 fe80::1\"\n",
		"[device]\nmanaged=true\nconnection-uuid=x\n[dhcp4]\ndhcp4.domain_name_servers=1 2\n", "nameserver 10.0.2.3\nsearch a b\n",
		"  sl\n 1: 0F02000A:0016 0202000A:CB4C 01 0:0 0:0 0 0 0 21001 4\n", "Package: systemd\nStatus: install ok installed\nVersion: 1\n\n",
		"ip=[::1]:a:b:c:d:eth0:dhcp BOOTIF=01-d0-94-66-00-00-01", "[connection]\nid=a\n[.nmmeta]\nexternal=true\n", "source /a/*\\\nb\n",
		"36 35 98:0 /mnt1 / rw,noatime master:1 - nfs 10.0.0.1:/x rw,addr=10.0.0.1\n", "Port 22\nListenAddress [::]:22\n", "eth0=eth0\n",
		"network: {config: disabled}\nupdates: {network: {when: [boot]}}\n", "{\"name\":\"x\",\"plugins\":[{\"type\":\"y\"}]}", "17 (x) S 1 2", "dhcpcd: eth0 [ip4]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fit := func(what string, values ...string) {
			for _, v := range values {
				if strings.ToValidUTF8(v, "") != v || strings.ContainsAny(v, "\x00\n\x1b") {
					t.Errorf("%s gives %q", what, v)
				}
			}
		}
		for k, v := range parseUdevData(s) {
			fit("udev", k, v)
		}
		l := parseNetworkdLink(s)
		fit("networkd", append(append([]string{l.Admin, l.Oper, l.Network}, l.Dropins...), l.DNS...)...)
		d := parseNMDevice(s)
		fit("NetworkManager", append([]string{d.Managed, d.UUID}, d.DNS...)...)
		p, _ := parseProfile(s)
		fit("profile", p.ID, p.UUID, p.Type, p.Interface, p.MAC)
		servers, search := parseResolvConf(s)
		fit("resolv.conf", append(servers, search...)...)
		for _, k := range parseProcNet(s, 0, false) {
			if !k.Local.IsValid() {
				t.Errorf("socket without an address from %q", s)
			}
		}
		for k, v := range parseDpkgStatus([]byte(s), packageNames) {
			fit("dpkg", k, v)
		}
		for k, v := range parseApkInstalled([]byte(s), packageNames) {
			fit("apk", k, v)
		}
		fit("cmdline", parseCmdline(s).devices...)
		for _, x := range interfaceSources(s) {
			if x.pattern == "" {
				t.Error("empty source")
			}
		}
		for k, v := range parseIfstate(s) {
			fit("ifstate", k, v)
		}
		rootMount(s)
		sshdPorts(s)
		parentPID(s)
		innerPID(s)
		resolvOwner("", s)
		cniPlugin([]byte(s))
		clientOf(comDhcpcd, splitCmdline([]byte(s)))
		clientOf("dhclient", splitCmdline([]byte(s)))
		fit("datasource", datasourceName(s))
		var c cloudCfg
		parseCloudConfig(s, &c)
		fit("cloud.cfg", c.when...)
		ssids("a.yaml", s)
	})
}
