package facts

import (
	"net"
	"net/netip"
	"path"
	"strings"
)

// initrd finds out whether the network was configured before the root file system
// was there, and for which links: taking such a link down may take the root away.
func (r *gathering) initrd() {
	if r.offline {
		return
	}
	names, macs := map[string]bool{}, map[string]bool{}
	found := false
	line := parseCmdline(r.quiet("/proc/cmdline", maxState))
	if r.f.Machine.Container != "" {
		line = bootNetwork{} // the host's kernel command line
	}
	if line.network {
		found = true
		for _, d := range line.devices {
			names[d] = true
		}
		if line.mac != "" {
			macs[line.mac] = true
		}
	}
	// klibc's ipconfig, used by initramfs-tools, leaves /run/net-DEVICE.conf.
	for _, n := range r.list("/run") {
		if d, ok := strings.CutPrefix(n, "net-"); ok && strings.HasSuffix(d, ".conf") {
			found = true
			names[strings.TrimSuffix(d, ".conf")] = true
		}
	}
	// iBFT: the firmware booted from an iSCSI target through this NIC.
	for _, n := range r.list("/sys/firmware/ibft") {
		if strings.HasPrefix(n, "ethernet") {
			if mac := r.value(path.Join("/sys/firmware/ibft", n, "mac")); mac != "" {
				found = true
				macs[strings.ToLower(mac)] = true
			}
		}
	}
	// A root file system on NFS: the link that reaches its server.
	fstype, options, _ := rootMount(r.mounts())
	if strings.HasPrefix(fstype, "nfs") {
		found = true
		for o := range strings.SplitSeq(options, ",") {
			if a, ok := strings.CutPrefix(o, "addr="); ok {
				if server, err := netip.ParseAddr(a); err == nil {
					names[r.linkTowards(server)] = true
				}
			}
		}
	}
	r.f.Machine.Initrd = found
	for i := range r.f.Links {
		l := &r.f.Links[i]
		if names[l.Name] || l.Kind == "" && (macs[l.PermMAC] || macs[l.MAC]) {
			l.Initrd = l.ARPHRD != arphrdLoopback
		}
	}
}

const arphrdLoopback = 772 // linux/if_arp.h

// linkTowards is the name of the link that the main table takes towards an address.
func (r *gathering) linkTowards(a netip.Addr) string {
	best, bits, metric := 0, -1, uint32(0)
	for _, rt := range r.f.Routes {
		if rt.Table != 254 || rt.Type != "unicast" || !rt.Dst.Contains(a) {
			continue
		}
		link := rt.Link
		if link == 0 && len(rt.Hops) > 0 {
			link = rt.Hops[0].Link
		}
		if b := rt.Dst.Bits(); b > bits || b == bits && rt.Metric < metric {
			best, bits, metric = link, b, rt.Metric
		}
	}
	l, _ := r.f.LinkByIndex(best)
	return l.Name
}

// bootNetwork is what the kernel command line says about the network of the
// initial RAM disk.
type bootNetwork struct {
	network   bool
	devices   []string
	mac       string // BOOTIF
	cloudOff  bool   // cloud-init=disabled
	configOff bool   // network-config=disabled
}

// parseCmdline reads the parameters of the kernel (Documentation/admin-guide/nfs/
// nfsroot.rst), of dracut.cmdline(7) and of cloud-init.
func parseCmdline(line string) bootNetwork {
	var b bootNetwork
	for i, p := range strings.Fields(line) {
		if i > 4096 || p == "--" {
			break // what follows is for process 1
		}
		k, v, _ := strings.Cut(p, "=")
		v = strings.Trim(v, `"`)
		switch k {
		case "ip":
			if dev, on := ipParameter(v); on {
				b.network = true
				if dev != "" {
					b.devices = append(b.devices, clean(dev))
				}
			}
		case "rd.neednet":
			b.network = b.network || v != "0"
		case "nfsroot", "rd.iscsi.initiator", "rd.iscsi.firmware", "iscsi_initiator", "ISCSI_INITIATOR":
			b.network = true
		case "netroot":
			b.network = b.network || v != ""
		case "root":
			b.network = b.network || v == "/dev/nfs" || strings.HasPrefix(v, "nfs:") || strings.HasPrefix(v, "nfs4:") || strings.HasPrefix(v, "iscsi:") || strings.HasPrefix(v, "nbd:")
		case "BOOTIF":
			// "01-" and the address with dashes, as PXELINUX writes it.
			if mac, err := net.ParseMAC(strings.ReplaceAll(strings.TrimPrefix(v, "01-"), "-", ":")); err == nil {
				b.mac = mac.String()
			}
		case "cloud-init":
			b.cloudOff = b.cloudOff || v == "disabled"
		case "network-config":
			b.configOff = b.configOff || v == "disabled"
		}
	}
	return b
}

// ipParameter reads ip=: client:server:gateway:netmask:host:device:autoconf..., or
// one word, or dracut's device:autoconf. on is false for "off" and "none" alone.
func ipParameter(v string) (device string, on bool) {
	switch v {
	case "", "off", "none":
		return "", false
	case "ibft":
		return "", true
	}
	// An IPv6 address stands in brackets and brings colons of its own.
	var parts []string
	depth, start := 0, 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ':':
			if depth <= 0 {
				parts = append(parts, v[start:i])
				start = i + 1
			}
		}
	}
	parts = append(parts, v[start:])
	switch {
	case len(parts) == 1:
		return "", true
	case len(parts) < 6:
		return parts[0], true
	case len(parts) > 6 && parts[6] == "off" && parts[0] == "":
		return parts[5], false
	}
	return parts[5], true
}
