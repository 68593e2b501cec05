package facts

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// struct ethtool_perm_addr and struct ifreq of linux/ethtool.h and linux/if.h.
type permAddr struct {
	cmd, size uint32
	data      [32]byte
}

type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

func ethtoolPermAddr(fd int, name string) string {
	p := permAddr{cmd: unix.ETHTOOL_GPERMADDR, size: 32}
	r := ifreqData{data: unsafe.Pointer(&p)}
	copy(r.name[:], name)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); e != 0 {
		return ""
	}
	if p.size != 6 {
		return ""
	}
	mac := net.HardwareAddr(p.data[:6])
	for _, b := range mac {
		if b != 0 {
			return mac.String()
		}
	}
	return ""
}
