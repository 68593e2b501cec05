package bed

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"unicode/utf16"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is struct usbdevfs_ctrltransfer of <linux/usbdevice_fs.h>.
type control struct {
	kind, request        uint8
	value, index, length uint16
	timeout              uint32 // milliseconds
	_                    uint32
	data                 unsafe.Pointer
}

// Control asks the device on its control endpoint, as a host's driver does, and returns what it answers (USB 2.0, section 9.3).
func (d Device) Control(kind, request uint8, value, index uint16, length int) ([]byte, error) {
	bus, err := strconv.Atoi(d.Attr("busnum"))
	if err != nil {
		return nil, err
	}
	dev, err := strconv.Atoi(d.Attr("devnum"))
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join("/dev/bus/usb", fmt.Sprintf("%03d", bus), fmt.Sprintf("%03d", dev)), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, max(length, 1))
	c := control{kind: kind, request: request, value: value, index: index, length: uint16(length), timeout: 2000, data: unsafe.Pointer(&buf[0])}
	const usbdevfsControl = 0xc0185500 // _IOWR('U', 0, struct usbdevfs_ctrltransfer) with pointers of 8 bytes
	n, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), usbdevfsControl, uintptr(unsafe.Pointer(&c)))
	if e != 0 {
		return nil, fmt.Errorf("control transfer %#x %#x %#x %#x: %w", kind, request, value, index, e)
	}
	return buf[:n], nil
}

// Raw is the string descriptor with that index and language, undecoded: what Windows asks for with the index 0xee.
func (d Device) Raw(index uint8, language uint16) ([]byte, error) {
	const deviceToHost, getDescriptor, stringType = 0x80, 6, 3
	return d.Control(deviceToHost, getDescriptor, stringType<<8|uint16(index), language, 255)
}

// String is a string descriptor in English.
func (d Device) String(t testing.TB, index uint8) string {
	t.Helper()
	b, err := d.Raw(index, 0x409)
	if err != nil {
		t.Fatalf("string %d: %v", index, err)
	}
	var u []uint16
	for i := 2; i+1 < len(b); i += 2 {
		u = append(u, uint16(b[i])|uint16(b[i+1])<<8)
	}
	return string(utf16.Decode(u))
}

// Compatible is the extended compatible id of Microsoft's OS descriptors 1.0, as Windows reads it with the vendor code that the string
// 0xee has told: header of 16 bytes, then 24 for each function.
func (d Device) Compatible(vendor uint8) ([]byte, error) {
	const vendorDeviceIn, compatID = 0xc0, 4
	return d.Control(vendorDeviceIn, vendor, 0, compatID, 256)
}

// Descriptors are the device's descriptor and those of all its configurations as the host has read them.
func (d Device) Descriptors(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(string(d) + "/descriptors")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Descriptor is one piece of Descriptors.
type Descriptor struct {
	Type uint8
	Body []byte // with length and type
}

// Pieces cuts descriptors up.
func Pieces(b []byte) ([]Descriptor, error) {
	var all []Descriptor
	for len(b) > 0 {
		n := int(b[0])
		if n < 2 || n > len(b) {
			return all, fmt.Errorf("a descriptor of %d bytes where %d are left", n, len(b))
		}
		all = append(all, Descriptor{b[1], b[:n]})
		b = b[n:]
	}
	return all, nil
}

// MACs are the addresses that the device tells for the host's side of its Ethernet functions, in their order: the string whose index
// is in the Ethernet networking functional descriptor (CDC ECM 1.2, section 5.4), which ECM and NCM have.
func (d Device) MACs(t testing.TB) []string {
	t.Helper()
	all, err := Pieces(d.Descriptors(t))
	if err != nil {
		t.Fatal(err)
	}
	const csInterface, ethernet = 0x24, 0x0f
	var macs []string
	for _, p := range all {
		if p.Type == csInterface && len(p.Body) > 3 && p.Body[2] == ethernet {
			macs = append(macs, d.String(t, p.Body[3]))
		}
	}
	return macs
}
