package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

var (
	// errNoSocket says that the kernel has no such connection, or no tcp_diag.
	errNoSocket = errors.New("no such connection")
	// errEnding says that one side has closed it: it is no session any more.
	errEnding = errors.New("the connection is being closed")
)

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY, linux/sock_diag.h
	diagInfo         = 2  // INET_DIAG_INFO, linux/inet_diag.h
	diagMsgSize      = 72 // struct inet_diag_msg
	tcpEstablished   = 1  // TCP_ESTABLISHED
)

// diagRequest is struct inet_diag_req_v2 for exactly one connection.
type diagRequest struct{ local, remote netip.AddrPort }

func (diagRequest) Len() int { return 56 }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, 56)
	local, remote := r.local.Addr().Unmap(), r.remote.Addr().Unmap()
	b[0] = unix.AF_INET6
	if local.Is4() {
		b[0] = unix.AF_INET
	}
	b[1] = unix.IPPROTO_TCP
	b[2] = 1 << (diagInfo - 1)
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // every state
	binary.BigEndian.PutUint16(b[8:], r.local.Port())
	binary.BigEndian.PutUint16(b[10:], r.remote.Port())
	copy(b[12:28], local.AsSlice())
	copy(b[28:44], remote.AsSlice())
	binary.NativeEndian.PutUint32(b[44:], uint32(zone(r.local, r.remote)))
	binary.NativeEndian.PutUint32(b[48:], ^uint32(0)) // INET_DIAG_NOCOOKIE
	binary.NativeEndian.PutUint32(b[52:], ^uint32(0))
	return b
}

// zone is the interface index of a link-local connection.
func zone(as ...netip.AddrPort) int {
	for _, a := range as {
		if z := a.Addr().Zone(); z != "" {
			if i, err := strconv.Atoi(z); err == nil {
				return i
			}
			return indexOf(z)
		}
	}
	return 0
}

// tcpInfo asks for the state of one connection.
func tcpInfo(local, remote netip.AddrPort) (*flow, error) {
	req := nl.NewNetlinkRequest(sockDiagByFamily, 0)
	req.AddData(diagRequest{local, remote})
	msgs, err := req.Execute(unix.NETLINK_INET_DIAG, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, errNoSocket
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the TCP state: %w", err)
	}
	for _, m := range msgs {
		if len(m) >= diagMsgSize && m[1] != tcpEstablished {
			return nil, errEnding
		}
		if f, ok := readFlow(m); ok {
			return f, nil
		}
	}
	return nil, errors.New("cannot read the TCP state: no tcp_info in the answer")
}

// readFlow reads struct inet_diag_msg with its attributes; older kernels send a
// shorter tcp_info.
func readFlow(m []byte) (*flow, bool) {
	if len(m) < diagMsgSize {
		return nil, false
	}
	as, err := netdev.ParseAttrs(m[diagMsgSize:])
	if err != nil {
		return nil, false
	}
	for _, a := range as {
		v := a.Data
		if a.Kind != diagInfo || len(v) < 28 {
			continue
		}
		f := &flow{Retransmits: v[2], Unacked: binary.NativeEndian.Uint32(v[24:])}
		if len(v) >= 136 { // Linux 4.1
			f.Acked = binary.NativeEndian.Uint64(v[120:])
			f.Received = binary.NativeEndian.Uint64(v[128:])
		}
		return f, true
	}
	return nil, false
}
