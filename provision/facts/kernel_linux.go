package facts

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// systemKernel is the running system's kernel.
func systemKernel() Kernel {
	// Of the thread, not of the process: the caller may have entered a namespace.
	own, err := os.Stat("/proc/thread-self/net/dev")
	if err != nil {
		own, _ = os.Stat("/proc/self/net/dev") // Linux before 3.17
	}
	return linuxKernel{own: own}
}

type linuxKernel struct {
	own os.FileInfo // a file of our network namespace's /proc/net
}

const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h

// Network dumps everything through one rtnetlink socket. The dumps follow each
// other closely; each for itself is consistent.
func (linuxKernel) Network(ctx context.Context) (Network, error) {
	c, err := dialNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return Network{}, fmt.Errorf("cannot open an rtnetlink socket: %w", err)
	}
	defer c.close()
	var n Network
	err = c.dump(ctx, unix.RTM_GETLINK, linkRequest(), func() { n.Links = nil }, func(p []byte) {
		if l, ok := decodeLink(p); ok {
			n.Links = append(n.Links, l)
		}
	})
	if err != nil {
		return n, fmt.Errorf("cannot list links: %w", err)
	}
	for i := range n.Links {
		if l := &n.Links[i]; l.PermMAC == "" && l.MAC != "" && l.Kind == "" && l.ARPHRD == unix.ARPHRD_ETHER {
			l.PermMAC = permanentMAC(l.Name)
		}
	}
	err = c.dump(ctx, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), func() { n.Addrs = nil }, func(p []byte) {
		if a, ok := decodeAddress(p); ok {
			n.Addrs = append(n.Addrs, a)
		}
	})
	if err != nil {
		return n, fmt.Errorf("cannot list addresses: %w", err)
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		keep := len(n.Routes)
		body := make([]byte, unix.SizeofRtMsg)
		body[0] = family
		err = c.dump(ctx, unix.RTM_GETROUTE, body, func() { n.Routes = n.Routes[:keep] }, func(p []byte) {
			r, ok := decodeRoute(p)
			if !ok {
				return
			}
			if !r.Default() && len(n.Routes) >= maxRoutes {
				n.Truncated = true
				return
			}
			n.Routes = append(n.Routes, r)
		})
		if err != nil {
			if family == unix.AF_INET6 && noIPv6(err) {
				continue
			}
			return n, fmt.Errorf("cannot list routes: %w", err)
		}
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		keep := len(n.Rules)
		body := make([]byte, unix.SizeofRtMsg)
		body[0] = family
		err = c.dump(ctx, unix.RTM_GETRULE, body, func() { n.Rules = n.Rules[:keep] }, func(p []byte) {
			if r, ok := decodeRule(p); ok {
				n.Rules = append(n.Rules, r)
			}
		})
		// Kernels without policy routing (CONFIG_IP_MULTIPLE_TABLES) answer EOPNOTSUPP.
		if err != nil && !noIPv6(err) {
			return n, fmt.Errorf("cannot list rules: %w", err)
		}
	}
	joinLinks(n.Links)
	return n, nil
}

// linkRequest is struct ifinfomsg, then IFLA_EXT_MASK: statistics are most of a link's dump.
func linkRequest() []byte {
	body := make([]byte, unix.SizeofIfInfomsg+8)
	binary.NativeEndian.PutUint16(body[unix.SizeofIfInfomsg:], 8)
	binary.NativeEndian.PutUint16(body[unix.SizeofIfInfomsg+2:], unix.IFLA_EXT_MASK)
	binary.NativeEndian.PutUint32(body[unix.SizeofIfInfomsg+4:], skipStats)
	return body
}

func noIPv6(err error) bool {
	return err == unix.EAFNOSUPPORT || err == unix.EOPNOTSUPP || err == unix.ENOENT
}

// SameNetwork compares the inode of a file under /proc/PID/net: procfs gives each
// network namespace its own, and unlike /proc/PID/ns/net everybody may look.
func (k linuxKernel) SameNetwork(pid int) (same, known bool) {
	other, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/net/dev")
	if err != nil || k.own == nil {
		return false, false
	}
	return os.SameFile(k.own, other), true
}

// kernelArch is the machine name of uname(2).
func kernelArch() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return string(bytes.TrimRight(u.Machine[:], "\x00"))
}

// permanentMAC asks the driver (ETHTOOL_GPERMADDR, linux/ethtool.h) on kernels
// before 5.6, whose dump has no IFLA_PERM_ADDRESS.
func permanentMAC(name string) string {
	if len(name) >= unix.IFNAMSIZ {
		return ""
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	return ethtoolPermAddr(fd, name)
}

// Sockets asks sock_diag (sock_diag(7)) for established TCP connections and for
// the UDP sockets of DHCP clients.
func (linuxKernel) Sockets(ctx context.Context) (Sockets, error) {
	c, err := dialNetlink(unix.NETLINK_INET_DIAG)
	if err != nil {
		return Sockets{}, fmt.Errorf("cannot open a sock_diag socket: %w", err)
	}
	defer c.close()
	var s Sockets
	udp := true
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		keep := len(s.TCP)
		err := c.dump(ctx, sockDiagByFamily, diagRequest(family, unix.IPPROTO_TCP, 1<<tcpEstablished), func() { s.TCP = s.TCP[:keep] }, func(p []byte) {
			if k, ok := decodeSocket(p); ok && len(s.TCP) < maxSockets {
				s.TCP = append(s.TCP, k)
			}
		})
		if err != nil && !noIPv6(err) {
			return s, fmt.Errorf("cannot list TCP sockets: %w", err)
		}
		if !udp {
			continue
		}
		keep = len(s.UDP)
		err = c.dump(ctx, sockDiagByFamily, diagRequest(family, unix.IPPROTO_UDP, ^uint32(0)), func() { s.UDP = s.UDP[:keep] }, func(p []byte) {
			k, ok := decodeSocket(p)
			if ok && (k.Local.Port() == dhcp4Port && family == unix.AF_INET || k.Local.Port() == dhcp6Port && family == unix.AF_INET6) && len(s.UDP) < maxSockets {
				s.UDP = append(s.UDP, k)
			}
		})
		// udp_diag is a module of its own: without it the question has no answer, and each one starts modprobe.
		if udp = err != syscall.EINVAL && err != syscall.ENOENT; udp && err != nil && !noIPv6(err) {
			return s, fmt.Errorf("cannot list UDP sockets: %w", err)
		}
	}
	return s, nil
}
