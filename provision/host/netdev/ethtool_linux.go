package netdev

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// permanentMAC asks the driver (ETHTOOL_GPERMADDR, linux/ethtool.h) on kernels
// before 5.6, whose link messages have no IFLA_PERM_ADDRESS. Empty where the driver
// does not know.
func permanentMAC(name string) string {
	if len(name) >= unix.IFNAMSIZ {
		return ""
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	addr := struct {
		cmd, size uint32
		data      [32]byte
	}{cmd: unix.ETHTOOL_GPERMADDR, size: 32}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&addr)}
	copy(request.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return ""
	}
	if addr.size != 6 || [6]byte(addr.data[:6]) == ([6]byte{}) {
		return ""
	}
	return net.HardwareAddr(addr.data[:6]).String()
}
