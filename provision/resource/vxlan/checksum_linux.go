package vxlan

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of linux/ethtool.h that golang.org/x/sys has under no name.
const (
	getTxSum = 0x16 // ETHTOOL_GTXCSUM
	setTxSum = 0x17 // ETHTOOL_STXCSUM
)

// checksum asks whether the device leaves sums to what is below it (NETIF_F_CSUM_MASK).
func checksum(name string) (string, error) {
	n, err := ethtool(name, getTxSum, 0)
	if err != nil || n == 0 {
		return "off", err
	}
	return "on", nil
}

func setChecksum(name, to string) error {
	n := uint32(0)
	if to == "on" {
		n = 1
	}
	_, err := ethtool(name, setTxSum, n)
	return err
}

// ethtool is one ioctl with a struct ethtool_value.
func ethtool(name string, cmd, value uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	v := struct{ cmd, data uint32 }{cmd, value}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&v)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	return v.data, nil
}
