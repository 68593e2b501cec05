//go:build lab && linux

package walks

import "github.com/provision-net/provision/scripts/lab"

// onCable is a board between a laptop and a Wi-Fi, as NICs.
func onCable() []lab.NICOpts {
	return []lab.NICOpts{{Name: "usb0", Net4: "10.55.0.0/24", NoRouter: true, NoRA: true}, {Name: "wlan0", Net4: "198.51.100.0/24"}}
}

// served is a NAT NIC, and one on which this machine is the server.
func served() []lab.NICOpts {
	return []lab.NICOpts{lab.NAT(), {Name: "eth1", Net4: "192.168.50.0/24", NoDHCP: true, NoRA: true}}
}

// server runs provision's servers of the configuration on the link of the page.
const server = `
ip addr add 192.168.50.1/24 dev eth1
systemd-run --quiet --unit walk-serve --property Type=notify provision serve`

// homeZone is a configuration with a zone called home, as the page speaks of one.
const homeZone = `
cat > /etc/provision/provision.yaml <<END
version: 1
routing:
  zones:
    outside: {interfaces: [eth0]}
    home: {interfaces: [eth1]}
END`

// noWireGuard makes the machine one on which provision never made a WireGuard device.
const noWireGuard = `
provision revert
rm -rf /etc/provision/wireguard.d /etc/provision/provision.yaml`

// quickFile is a file of wg-quick, with keys that nobody uses.
const quickFile = `[Interface]\nPrivateKey = uP3fAoPDs2TjCTMrdbPcBuOUMyPkhvAVB6zUKpeXJmY=\nAddress = 10.7.0.2/24\n\n` +
	`[Peer]\nPublicKey = HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\nEndpoint = 203.0.113.9:51820\nAllowedIPs = 0.0.0.0/0, ::/0\n`

const noCluster = "needs a cluster; what the manifest grants is enough by TestLeastCapabilities"

// noDocker: the chain is Docker's.
const noDocker = "needs Docker: TestFirewalls"

// noCard: a disk would be erased.
const noCard = "erases a disk: TestFlash, in a VM with disks of its own"

const noRadio = "needs a radio: TestWifi"

func walks() []walked {
	return []walked{
		{
			page: "../README.md",
			nics: []lab.NICOpts{lab.NAT(), lab.Bridged(), {Name: "usb0", Net4: "10.55.0.0/24", NoDHCP: true, NoRA: true}},
			before: map[string]string{
				"provision serve": `
ip addr add 10.55.0.1/24 dev usb0
mkdir -p /etc/provision
printf 'version: 1\nserve:\n  links:\n    - match: {name: usb0}\n' > /etc/provision/provision.yaml`,
				"provision leases": `systemd-run --quiet --unit walk-serve --property Type=notify provision serve`,
				"provision firewall show": `
systemctl stop walk-serve
cat > /etc/provision/provision.yaml <<END
version: 1
routing:
  kill-switch: {tunnel: wg0, endpoints: [203.0.113.9:51820], inside: [usb0]}
END
provision apply`,
				"provision watch":          `systemctl stop provision-watch`,
				"provision wireguard init": "provision revert\nrm /etc/provision/provision.yaml",
				// A server promises nothing about what leaves: the reader of this line has a provider's file.
				"provision wireguard check": noWireGuard + `
(umask 077; printf '` + quickFile + `' > wg0.conf)
provision wireguard import wg0.conf`,
			},
			limit: map[string]string{"provision serve": "3", "provision watch": "3"},
			apart: map[string]string{
				"make run":                           "TestDemo",
				"make test":                          "this test is a part of it",
				"provision gadget up":                "needs a USB device port: TestLinkClassic",
				"provision card prepare /media/boot": "TestCardPage",
			},
			status: map[string]int{"provision gadget doctor": 2, "provision wireguard check": 2}, // there is no such port, and no provider: TestClient has one
		},
		{
			page:   "commands.md",
			status: map[string]int{"provision plan --exit-code": 2, "provision verify": 2}, // nothing has been applied
		},
		{page: "detection.md"},
		{
			page: "quickstart.md", quick: true,
			before: map[string]string{
				"provision --detect -v": `provision revert`, // the dev box is another machine
			},
			after: `grep -q '^#cloud-config' user-data; test ! -e /etc/netplan/90-provision.yaml`,
		},
		{
			page:  "recovery.md",
			setup: `provision apply`,
			after: `systemctl is-enabled provision-recover.service`,
		},
		{page: "netplan.md", setup: `provision apply`, after: `test ! -e /etc/netplan/90-provision.yaml`},
		{
			page:  "networkd.md",
			setup: `rm /etc/netplan/*; printf '[Match]\nName=eth*\n[Network]\nDHCP=yes\n' > /etc/systemd/network/20-all.network; rm -f /run/systemd/network/*netplan*; systemctl restart systemd-networkd; provision apply`,
			after: `test ! -e /etc/systemd/network/20-all.network.d`,
		},
		{page: "networkmanager.md", root: "bookworm-nm", setup: `provision apply`},
		{page: "ifupdown.md", root: "bookworm-ifupdown", setup: `provision apply`},
		{page: "dhcpcd.md", root: "bookworm-ifupdown-dhcpcd", setup: `provision apply`},
		{
			page:  "install.md",
			setup: `mv /usr/local/bin/provision .`, // as it is unpacked
			before: map[string]string{
				"sudo systemctl disable provision.service": `cp systemd/provision.service /etc/systemd/system/; systemctl enable provision.service`,
			},
			after: `
systemctl is-enabled provision-early.service provision.service
systemd-analyze verify --man=no provision-early.service provision.service`,
		},
		{page: "router.md", quick: true, nics: onCable(), after: `test "$(sysctl -n net.ipv4.ip_forward)" = 1`},
		{page: "explain.md", nics: append(onCable(), lab.NICOpts{Name: "eth0", Net4: "192.0.2.0/24", NoDHCP: true, NoRA: true})},
		{page: "firewall.md", nics: onCable()},
		{page: "kill-switch.md", nics: onCable()},
		{
			page: "wireguard.md", quick: true,
			before: map[string]string{
				"sudo provision wireguard init --reach internet,peers,home": homeZone,
				// From here on the reader is somebody who comes from wg-quick, and then one with a provider's file.
				"sudo provision wireguard import /etc/wireguard/wg0.conf --dry-run": noWireGuard + `
mkdir -p /etc/wireguard
(umask 077; printf '` + quickFile + `' > /etc/wireguard/wg0.conf)`,
				"sudo provision wireguard import /home/me/vpn.conf --interface wg0": noWireGuard + `
mkdir -p /home/me
(umask 077; printf '` + quickFile + `' > /home/me/vpn.conf)`,
			},
			limit:  map[string]string{"sudo provision wireguard list --watch 30s": "3"},
			status: map[string]int{"sudo provision wireguard list --watch 30s": 1}, // interrupted
			apart: map[string]string{
				"sudo provision wifi add Café": noRadio,
				"sudo provision apply":         "needs a USB device port: TestLinkTunnel, on the kernel of a Pi Zero",
			},
		},
		{
			page:  "tunnel.md",
			typed: map[string]string{"install -m 600 /dev/stdin /etc/provision/he.key": "the update key\n"},
			apart: map[string]string{"provision apply": "needs the kernel's module sit: TestBroker, on a machine that has it"},
			after: `test "$(stat -c %a /etc/provision/he.key)" = 600; provision plan`,
		},
		{
			page: "smart-routing.md",
			// No list can be fetched on a machine that reaches no server, as the page has it; TestLists has servers.
			status: map[string]int{"provision apply": 1, "provision lists refresh": 2, "provision lists": 2},
		},
		{
			page: "overlay.md",
			before: map[string]string{
				// The page says it in words: the reader writes their own key into the description, and applies.
				"sudo provision overlay status": `
sed -i "s|HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=|$(wg pubkey < /etc/provision/wireguard/overlay.key)|" /etc/provision/provision.yaml
provision apply`,
			},
			status: map[string]int{"sudo provision overlay status": 2}, // nobody is at the other ends: TestPrivateInternet
			apart: map[string]string{
				"iptables -I DOCKER-USER -i br-overlay -o br-overlay -j ACCEPT":  noDocker,
				"ip6tables -I DOCKER-USER -i br-overlay -o br-overlay -j ACCEPT": noDocker,
			},
			after: `ip -br link show br-overlay; ip -br link show vx-paris`,
		},
		{
			page: "sd-card-flash.md",
			apart: map[string]string{
				"provision card flash raspios.img.xz --dry-run":                                           noCard,
				"sudo provision card flash raspios.img.xz":                                                noCard,
				"sudo provision card flash raspios.img.xz /dev/mmcblk0 --yes --size 31.9GB":               noCard,
				"sudo provision card flash raspios.img.xz /dev/mmcblk0 --yes --serial 0x8c0d31aa -o json": noCard,
				"sudo head -c 200 /dev/mmcblk0":                                                           noCard,
			},
		},
		{
			page:   "kubernetes.md",
			limit:  map[string]string{"sudo provision watch --preset eks": "3"},
			before: map[string]string{"sudo provision watch --status": `systemd-run --quiet --unit walk-watch --property Type=notify provision watch --preset eks`},
			apart: map[string]string{
				"kubectl apply -f eks-daemonset.yaml":                                                 noCluster,
				"kubectl -n kube-system rollout status daemonset/provision-watch":                     noCluster,
				"kubectl -n kube-system logs daemonset/provision-watch":                               noCluster,
				"kubectl -n kube-system exec daemonset/provision-watch -- /provision watch --status":  noCluster,
				"kubectl -n kube-system exec daemonset/provision-watch -- /provision watch --metrics": noCluster,
				"kubectl delete -f eks-daemonset.yaml":                                                noCluster,
			},
		},
		{page: "dhcp.md", nics: served(), before: map[string]string{"provision leases": server}},
		{page: "dns.md", nics: served(), before: map[string]string{"provision status": server}, apart: map[string]string{"dig @192.168.50.1 printer.lab.lan": "dig is not on this machine: TestNames"}},
		{
			page: "gadget.md",
			apart: map[string]string{
				`sudo provision wifi add "Guest house" --country DE`: noRadio,
				`sudo provision wifi remove "Guest house"`:           noRadio,
			},
			status: map[string]int{"sudo provision gadget doctor": 2}, // this machine has no USB device port; TestLinkClassic has
		},
	}
}
