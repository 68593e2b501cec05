package facts

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

const (
	tcpEstablished = 1 // TCP_ESTABLISHED, net/tcp_states.h
	dhcp4Port      = 68
	dhcp6Port      = 546
	maxSockets     = 4096
)

// parseProcNet reads /proc/net/{tcp,tcp6,udp,udp6} (proc_net_tcp in the kernel's
// documentation) and keeps the sockets in the given state; state 0 keeps all.
// Addresses are printed as 32-bit words in the machine's byte order.
func parseProcNet(text string, state int, bigEndian bool) []Socket {
	var out []Socket
	for i, line := range strings.Split(text, "\n") {
		if i == 0 || len(out) >= maxSockets {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		st, err := strconv.ParseUint(f[3], 16, 8)
		if err != nil || state != 0 && int(st) != state {
			continue
		}
		local, ok1 := parseProcAddr(f[1], bigEndian)
		remote, ok2 := parseProcAddr(f[2], bigEndian)
		uid, err1 := strconv.ParseUint(f[7], 10, 32)
		inode, err2 := strconv.ParseUint(f[9], 10, 64)
		if !ok1 || !ok2 || err1 != nil || err2 != nil {
			continue
		}
		s := Socket{Local: local, UID: int(uid), Inode: inode}
		if remote.Port() != 0 {
			s.Remote = remote
		}
		out = append(out, s)
	}
	return out
}

func parseProcAddr(s string, bigEndian bool) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	if !bigEndian {
		for i := 0; i < len(b); i += 4 {
			b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}
