package usbgadget

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

// rules are questions to the kernel, in this order, and its answers. An answer is an
// error's name, "" for none; for read it is the content, and for list the names.
const rules = `
# fs/configfs/dir.c, configfs.c gadgets_make
mkdir g
mkdir g : EEXIST
mkdir g/x : EPERM
mkdir g/functions/nodot : EINVAL
mkdir g/functions/nonesuch.x : ENOENT
mkdir g/functions/ncm.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa : ENAMETOOLONG
rmdir g/functions : EPERM
unlink g/idVendor : EPERM
list g = os_desc strings configs functions max_speed UDC bcdUSB bcdDevice idProduct idVendor bMaxPacketSize0 bDeviceProtocol bDeviceSubClass bDeviceClass

# gadget_dev_desc_*_store
write g/idVendor 0x1d6b
read g/idVendor = 0x1d6b\n
write g/idVendor 7531\n
read g/idVendor = 0x1d6b\n
write g/idVendor 0x1d6bf : ERANGE
write g/idVendor zzz : EINVAL
write g/bDeviceClass 0xef
read g/bDeviceClass = 0xef\n
write g/bcdUSB 0x0200
write g/bcdDevice 0x01aa : EINVAL
write g/max_speed high-speed
read g/max_speed = high-speed\n
write g/max_speed fast : EINVAL

# usb_string_copy, check_user_usb_string
mkdir g/strings/0x409
mkdir g/strings/1033 : EEXIST
mkdir g/strings/english : EINVAL
mkdir g/strings/0x0 : EINVAL
write g/strings/0x409/product Pi Zero
read g/strings/0x409/product = Pi Zero\n
write g/strings/0x409/product \n
read g/strings/0x409/product = \n
write g/strings/0x409/product ` + oneHundredTwentySix + `
write g/strings/0x409/product ` + oneHundredTwentySix + `\n : EOVERFLOW

# os_desc_*_store
read g/os_desc/use = 0\n
write g/os_desc/use 1
read g/os_desc/use = 1\n
write g/os_desc/b_vendor_code 0xcd
read g/os_desc/b_vendor_code = 0xffffffcd\n
write g/os_desc/b_vendor_code 0x12
read g/os_desc/b_vendor_code = 0x12\n
read g/os_desc/qw_sign = \n
write g/os_desc/qw_sign MSFT100
read g/os_desc/qw_sign = MSFT100\n
write g/os_desc/qw_sign AB
read g/os_desc/qw_sign = ABFT100\n

# function_make and the functions' attributes
mkdir g/functions/ncm.c
mkdir g/functions/rndis.b
mkdir g/functions/eem.d
mkdir g/functions/acm.e
mkdir g/functions/mass_storage.f
mkdir g/functions/hid.g
list g/functions/ncm.c = os_desc ifname qmult host_addr dev_addr
list g/functions/rndis.b = os_desc protocol subclass class ifname qmult host_addr dev_addr
list g/functions/eem.d = ifname qmult host_addr dev_addr
list g/functions/acm.e = port_num
list g/functions/mass_storage.f/lun.0 = forced_eject inquiry_string nofua cdrom removable ro file
list g/functions/hid.g = dev report_desc report_length no_out_endpoint protocol subclass
write g/functions/acm.e/port_num 3 : EACCES
read g/functions/mass_storage.f/lun.0/forced_eject : EACCES

# configfs.c interf_grp_compatible_id_store, ext_prop_make
read g/functions/ncm.c/os_desc/interface.ncm/compatible_id = \0\0\0\0\0\0\0\0
write g/functions/ncm.c/os_desc/interface.ncm/compatible_id WINNCM
write g/functions/ncm.c/os_desc/interface.ncm/compatible_id AB
read g/functions/ncm.c/os_desc/interface.ncm/compatible_id = ABNNCM\0\0
write g/functions/ncm.c/os_desc/interface.ncm/compatible_id AB\0\0\0\0\0\0
read g/functions/ncm.c/os_desc/interface.ncm/compatible_id = AB\0\0\0\0\0\0
mkdir g/functions/ncm.c/os_desc/interface.ncm/Label
write g/functions/ncm.c/os_desc/interface.ncm/Label/type 9 : EINVAL
write g/functions/ncm.c/os_desc/interface.ncm/Label/type 1
read g/functions/ncm.c/os_desc/interface.ncm/Label/type = 1\n
write g/functions/ncm.c/os_desc/interface.ncm/Label/data hello
rmdir g/functions/ncm.c : ENOTEMPTY
rmdir g/functions/ncm.c/os_desc : EPERM
rmdir g/functions/ncm.c/os_desc/interface.ncm/Label

# u_ether_configfs.h, u_ether.c
read g/functions/ncm.c/ifname = (unnamed net_device)\n
write g/functions/ncm.c/ifname usb0 : EINVAL
write g/functions/ncm.c/ifname ncm%d
read g/functions/ncm.c/ifname = ncm%d\n
write g/functions/ncm.c/dev_addr 02:00:00:00:00:0A
read g/functions/ncm.c/dev_addr = 02:00:00:00:00:0a\0\n
write g/functions/ncm.c/dev_addr 03:00:00:00:00:0a : EINVAL
write g/functions/ncm.c/host_addr 00:00:00:00:00:00 : EINVAL
write g/functions/ncm.c/qmult 7
read g/functions/ncm.c/qmult = 7\n
write g/functions/ncm.c/qmult x : EINVAL
read g/functions/rndis.b/class = 02\n
read g/functions/rndis.b/subclass = 06\n
write g/functions/rndis.b/class ef
read g/functions/rndis.b/class = ef\n
write g/functions/rndis.b/class 0xe0
read g/functions/rndis.b/class = 00\n

# f_hid.c
write g/functions/hid.g/report_desc \x05\x01\0\xc0
read g/functions/hid.g/report_desc = \x05\x01\0\xc0
write g/functions/hid.g/protocol 1
read g/functions/hid.g/protocol = 1\n
write g/functions/hid.g/report_length 8

# f_mass_storage.c, storage_common.c
read g/functions/mass_storage.f/lun.0/file =
read g/functions/mass_storage.f/lun.0/removable = 1\n
read g/functions/mass_storage.f/lun.0/inquiry_string = \n
write g/functions/mass_storage.f/lun.0/file /images/one.img
read g/functions/mass_storage.f/lun.0/file = /images/one.img\n
write g/functions/mass_storage.f/lun.0/ro 1 : EBUSY
write g/functions/mass_storage.f/lun.0/cdrom 1 : EBUSY
write g/functions/mass_storage.f/lun.0/cdrom 0
write g/functions/mass_storage.f/lun.0/forced_eject 1
read g/functions/mass_storage.f/lun.0/file =
write g/functions/mass_storage.f/lun.0/cdrom 1
read g/functions/mass_storage.f/lun.0/ro = 1\n
write g/functions/mass_storage.f/lun.0/cdrom 0
read g/functions/mass_storage.f/lun.0/ro = 1\n
write g/functions/mass_storage.f/lun.0/ro 0
write g/functions/mass_storage.f/lun.0/file /images/none.img : ENOENT
write g/functions/mass_storage.f/lun.0/inquiry_string abc
read g/functions/mass_storage.f/lun.0/inquiry_string = abc                         \n
write g/functions/mass_storage.f/lun.0/inquiry_string \n
read g/functions/mass_storage.f/lun.0/inquiry_string = \n
read g/functions/mass_storage.f/stall = 0
mkdir g/functions/mass_storage.f/lun.1
mkdir g/functions/mass_storage.f/lun.16 : ERANGE
mkdir g/functions/mass_storage.f/x : EINVAL
rmdir g/functions/mass_storage.f : ENOTEMPTY
rmdir g/functions/mass_storage.f/lun.1
rmdir g/functions/mass_storage.f/lun.0 : EPERM

# config_desc_make
mkdir g/configs/c : EINVAL
mkdir g/configs/.1 : EINVAL
mkdir g/configs/c.0 : EINVAL
mkdir g/configs/c.300 : ERANGE
mkdir g/configs/c.1
mkdir g/configs/d.1 : EBUSY
read g/configs/c.1/bmAttributes = 0x80\n
write g/configs/c.1/MaxPower 250
read g/configs/c.1/MaxPower = 250\n
write g/configs/c.1/MaxPower 9000 : ERANGE
write g/configs/c.1/bmAttributes 0x00 : EINVAL
write g/configs/c.1/bmAttributes 0x81 : EINVAL
write g/configs/c.1/bmAttributes 0xa0
mkdir g/configs/c.1/strings/0x409
write g/configs/c.1/strings/0x409/configuration hey
read g/configs/c.1/strings/0x409/configuration = hey\n

# configfs_composite_bind: every configuration needs a function
write g/UDC dummy_udc.0 : EBUSY
write g/UDC \n : ENODEV
read g/UDC = \n

# config_usb_cfg_link
symlink g/configs/c.1/20-ncm.c g/functions/ncm.c
symlink g/configs/c.1/10-acm.e g/functions/acm.e
symlink g/configs/c.1/again g/functions/acm.e : EEXIST
symlink g/configs/c.1/10-acm.e g/functions/eem.d : EEXIST
symlink g/configs/c.1/none g/functions/none : ENOENT
symlink g/configs/c.1/self g/configs/c.1 : EINVAL
symlink g/functions/x g/functions/eem.d : EPERM
list g/configs/c.1 = 10-acm.e 20-ncm.c strings bmAttributes MaxPower
readlink g/configs/c.1/10-acm.e = ../../../../usb_gadget/g/functions/acm.e
rmdir g/functions/ncm.c : EBUSY
write g/functions/ncm.c/dev_addr 02:00:00:00:00:0c : EBUSY
write g/functions/ncm.c/qmult 5 : EBUSY
write g/functions/ncm.c/ifname foo%d : EBUSY
write g/functions/ncm.c/os_desc/interface.ncm/compatible_id WINNCM
rmdir g/configs/c.1 : ENOTEMPTY
rmdir g : ENOTEMPTY

# os_desc_link
symlink g/os_desc/f g/functions/ncm.c : EINVAL
symlink g/os_desc/c.1 g/configs/c.1
symlink g/os_desc/d g/configs/c.1 : EBUSY

# gadget_dev_desc_UDC_store
write g/UDC nonesuch : EBUSY
write g/UDC dummy_udc.0
write g/UDC dummy_udc.0 : EBUSY
read g/UDC = dummy_udc.0\n
read /sys/class/udc/dummy_udc.0/function = g\n
read g/functions/ncm.c/ifname = ncm0\n
symlink g/configs/c.1/30-eem.d g/functions/eem.d : EINVAL
write g/max_speed full-speed : EINVAL
mkdir h
mkdir h/configs/c.1
mkdir h/functions/ecm.z
symlink g/configs/c.1/z h/functions/ecm.z : EINVAL
symlink h/configs/c.1/z h/functions/ecm.z
write h/UDC dummy_udc.0 : EBUSY

# os_desc_unlink and config_usb_cfg_unlink unbind
unlink g/os_desc/c.1
read g/UDC = \n
write g/UDC dummy_udc.0
unlink g/configs/c.1/10-acm.e
read g/UDC = \n
read g/functions/ncm.c/ifname = ncm0\n

# a linked drive: fsg_lun_make, _fsg_store_ro
symlink g/configs/c.1/f g/functions/mass_storage.f
mkdir g/functions/mass_storage.f/lun.1 : EBUSY
write g/functions/mass_storage.f/stall 0 : EBUSY
write g/functions/mass_storage.f/lun.0/file /images/two.img
write g/functions/mass_storage.f/lun.0/ro 1 : EBUSY
write g/functions/mass_storage.f/lun.0/forced_eject 1
unlink g/configs/c.1/f

# one controller, one gadget
write h/UDC dummy_udc.0
read h/functions/ecm.z/ifname = usb0\n
write g/UDC dummy_udc.0 : EBUSY
write h/UDC \n
write h/UDC \n : ENODEV

# teardown
unlink h/configs/c.1/z
rmdir h/configs/c.1
rmdir h/functions/ecm.z
rmdir h
unlink g/configs/c.1/20-ncm.c
rmdir g/configs/c.1 : ENOTEMPTY
rmdir g/configs/c.1/strings/0x409
rmdir g/configs/c.1
rmdir g/functions/ncm.c
rmdir g/functions/rndis.b
rmdir g/functions/eem.d
rmdir g/functions/acm.e
rmdir g/functions/mass_storage.f
rmdir g/functions/hid.g
rmdir g : ENOTEMPTY
rmdir g/strings/0x409
rmdir g
rmdir g : ENOENT
`

const oneHundredTwentySix = "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"

// TestRules asks the fake; with the lab's kernel the same is asked there, see
// kernel_linux_test.go.
func TestRules(t *testing.T) { askRules(t, fakekernel.New("dummy_udc.0")) }

func askRules(t *testing.T, f Files) {
	unquote := strings.NewReplacer(`\n`, "\n", `\0`, "\x00", `\x05`, "\x05", `\x01`, "\x01", `\xc0`, "\xc0")
	at := func(p string) string {
		if strings.HasPrefix(p, "/") {
			return p
		}
		return Mount + "/usb_gadget/" + p
	}
	for n, line := range strings.Split(rules, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		question, wantErr, _ := strings.Cut(line, " : ")
		question, want, _ := strings.Cut(question, " =")
		words := strings.SplitN(question, " ", 3)
		arg := ""
		if len(words) == 3 {
			arg = words[2]
		}
		var got string
		var err error
		switch words[0] {
		case "mkdir":
			err = f.Mkdir(at(words[1]))
		case "rmdir":
			err = f.Rmdir(at(words[1]))
		case "unlink":
			err = f.Unlink(at(words[1]))
		case "symlink":
			err = f.Symlink(at(arg), at(words[1]))
		case "write":
			err = f.WriteValue(at(words[1]), unquote.Replace(arg))
		case "read":
			var b []byte
			b, _, err = f.ReadValue(at(words[1]), maxValue)
			got = string(b)
		case "readlink":
			got, err = f.Readlink(at(words[1]))
		case "list":
			var names []string
			names, err = f.Names(at(words[1]))
			got = strings.Join(names, " ")
		default:
			t.Fatalf("rule %d: %s", n, line)
		}
		if name := errorName(err); name != wantErr {
			t.Errorf("%s: got %q (%v)", line, name, err)
		}
		if want = unquote.Replace(strings.TrimPrefix(want, " ")); got != want && wantErr == "" {
			t.Errorf("%s: got %q", line, got)
		}
	}
}

func errorName(err error) string {
	for name, e := range map[string]error{
		"EEXIST": syscall.EEXIST, "EPERM": syscall.EPERM, "EINVAL": syscall.EINVAL, "ENOENT": syscall.ENOENT, "EBUSY": syscall.EBUSY,
		"ENAMETOOLONG": syscall.ENAMETOOLONG, "ERANGE": syscall.ERANGE, "EOVERFLOW": syscall.EOVERFLOW, "ENOTEMPTY": syscall.ENOTEMPTY,
		"ENODEV": syscall.ENODEV, "EACCES": syscall.EACCES,
	} {
		var errno syscall.Errno
		if errors.As(err, &errno) && errno == e {
			return name
		}
	}
	if err == nil {
		return ""
	}
	if errors.Is(err, fs.ErrNotExist) || os.IsNotExist(err) {
		return "ENOENT"
	}
	return err.Error()
}
