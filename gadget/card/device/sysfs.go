package device

import (
	"errors"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// Sysfs reads the disks of a Linux machine from its file system: /sys/block (Documentation/ABI/stable/sysfs-block),
// /proc/self/mountinfo (proc_pid_mountinfo(5)) and /proc/swaps. It needs no rights. What another mount namespace has mounted is
// not seen here; the exclusive opening of the disk notices that.
func Sysfs(root fs.FS) ([]Disk, error) {
	entries, err := fs.ReadDir(root, "sys/block")
	if err != nil {
		return nil, err
	}
	s := &sysfs{root: root}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return nil, err // without it everything would seem free
	}
	s.mounts = parseMounts(string(mounts))
	swaps, err := fs.ReadFile(root, "proc/swaps")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without swap has no such file
		return nil, err
	}
	s.swaps = parseSwaps(string(swaps))
	var all []Disk
	for _, e := range entries {
		if d, ok := s.disk(e.Name(), entries); ok {
			all = append(all, d)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Path < all[j].Path })
	return all, nil
}

type sysfs struct {
	root   fs.FS
	mounts []mount
	swaps  []string
}

// mount is a line of mountinfo.
type mount struct{ number, at, source string }

// text is an attribute; "" where there is none.
func (s *sysfs) text(name string) string {
	b, _ := fs.ReadFile(s.root, name)
	return strings.TrimSpace(strings.ToValidUTF8(strings.Trim(string(b), "\x00"), ""))
}

func (s *sysfs) number(name string) int64 {
	n, _ := strconv.ParseInt(s.text(name), 10, 64)
	return n
}

// hardware are parts of the path in the tree of devices that tell the bus: a name, and a number behind it.
var hardware = [][2]string{{"usb", "usb"}, {"nvme", "nvme"}, {"ata", "sata"}, {"virtio", "virtio"}}

// bus is the first of these in a path.
func bus(place string) string {
	for _, h := range hardware {
		for _, part := range strings.Split(place, "/") {
			if n, ok := strings.CutPrefix(part, h[0]); ok && strings.Trim(n, "0123456789") == "" {
				return h[1]
			}
		}
	}
	return ""
}

// mmcArea reports whether it is one of the areas of an eMMC that are disks to the kernel and none to people: boot code, keys.
func mmcArea(name string) bool {
	n, ok := strings.CutPrefix(name, "mmcblk")
	n = strings.TrimLeft(n, "0123456789")
	return ok && (strings.HasPrefix(n, "boot") || strings.HasPrefix(n, "rpmb") || strings.HasPrefix(n, "gp"))
}

// disk reads one; false for what is no disk by itself: loop, dm, md and zram have no hardware below them, and an optical drive is none.
func (s *sysfs) disk(name string, all []fs.DirEntry) (Disk, bool) {
	at := "sys/block/" + name
	if _, err := fs.Stat(s.root, at+"/device"); err != nil || mmcArea(name) || strings.HasPrefix(name, "mtdblock") {
		return Disk{}, false
	}
	if kind := s.text(at + "/device/type"); kind == "5" { // a CD (scsi_proto.h, TYPE_ROM)
		return Disk{}, false
	}
	d := Disk{
		Path:      "/dev/" + strings.ReplaceAll(name, "!", "/"), // cciss!c0d0
		Vendor:    s.text(at + "/device/vendor"),
		Model:     s.text(at + "/device/model"),
		Serial:    s.text(at + "/device/serial"),
		Size:      s.number(at+"/size") * 512, // whatever its blocks are
		Block:     int(s.number(at + "/queue/logical_block_size")),
		Removable: s.text(at+"/removable") == "1",
		ReadOnly:  s.text(at+"/ro") == "1",
	}
	if d.Block < 512 {
		d.Block = 512
	}
	place := s.place(name)
	d.Bus = bus(place)
	switch {
	case strings.HasPrefix(name, "mmcblk"):
		// A card tells what it is (Documentation/ABI/testing/sysfs-block-... mmc "type"); eMMC is soldered to the board.
		d.Bus = "mmc"
		if kind := s.text(at + "/device/type"); strings.HasPrefix(kind, "SD") {
			d.Bus, d.Removable = "sd", true
		} else {
			d.Removable = false
		}
		d.Model, d.Vendor = s.text(at+"/device/name"), ""
	case d.Bus == "usb":
		d.External = true
		if serial := s.usbSerial(place); serial != "" {
			d.Serial = serial
		}
	case strings.HasPrefix(d.Vendor, "0x"): // virtio gives a number
		d.Vendor = ""
	}
	if d.Serial == "" {
		d.Serial = s.text(at + "/serial") // virtio
	}
	s.uses(&d, name, all)
	return d, true
}

// place is where in the tree of devices a disk hangs.
func (s *sysfs) place(name string) string {
	to, err := fs.ReadLink(s.root, "sys/block/"+name)
	if err != nil {
		return ""
	}
	return "/" + path.Join("sys/block", to) + "/"
}

// usbSerial is that of the USB device below which a disk hangs: the nearest folder upwards with a vendor's number.
func (s *sysfs) usbSerial(place string) string {
	for dir := path.Clean(strings.TrimPrefix(place, "/")); strings.Contains(dir, "/usb"); dir = path.Dir(dir) {
		if s.text(dir+"/idVendor") != "" {
			return s.text(dir + "/serial")
		}
	}
	return ""
}

// uses finds who uses a disk, its partitions and what is made of them.
func (s *sysfs) uses(d *Disk, name string, all []fs.DirEntry) {
	seen := map[string]bool{}
	var look func(at, device string)
	look = func(at, device string) {
		if seen[at] {
			return
		}
		seen[at] = true
		names := []string{device}
		if mapped := s.text(at + "/dm/name"); mapped != "" {
			names = append(names, "/dev/mapper/"+mapped)
		}
		number := s.text(at + "/dev")
		for _, m := range s.mounts {
			if m.number == number || has(names, m.source) {
				d.Uses = append(d.Uses, Use{What: "mounted at " + m.at, Device: device, System: system(m.at), Free: "`umount " + quote(m.at) + "`"})
			}
		}
		for _, w := range s.swaps {
			if has(names, w) {
				d.Uses = append(d.Uses, Use{What: "swap", Device: device, System: true})
			}
		}
		holders, _ := fs.ReadDir(s.root, at+"/holders")
		for _, h := range holders {
			d.Uses = append(d.Uses, s.held(h.Name(), device))
			look("sys/block/"+h.Name(), "/dev/"+h.Name())
		}
		for _, e := range all { // a loop device holds by its file's name and not as a holder
			if !strings.HasPrefix(e.Name(), "loop") {
				continue
			}
			if file := s.text("sys/block/" + e.Name() + "/loop/backing_file"); file != "" && has(names, file) {
				d.Uses = append(d.Uses, Use{What: "behind /dev/" + e.Name(), Device: device, Free: "`losetup -d /dev/" + e.Name() + "`"})
				look("sys/block/"+e.Name(), "/dev/"+e.Name())
			}
		}
	}
	at := "sys/block/" + name
	look(at, d.Path)
	entries, _ := fs.ReadDir(s.root, at)
	for _, e := range entries {
		if _, err := fs.Stat(s.root, at+"/"+e.Name()+"/partition"); err != nil {
			continue
		}
		part := "/dev/" + strings.ReplaceAll(e.Name(), "!", "/")
		d.Parts = append(d.Parts, part)
		look(at+"/"+e.Name(), part)
	}
}

// held is a use by the device mapper or a RAID.
func (s *sysfs) held(holder, device string) Use {
	u := Use{What: "part of /dev/" + holder, Device: device}
	name := s.text("sys/block/" + holder + "/dm/name")
	switch kind := s.text("sys/block/" + holder + "/dm/uuid"); {
	case strings.HasPrefix(kind, "LVM-"):
		u.What += " (LVM volume " + name + ")"
		u.Free = "`vgchange -an` its volume group"
	case strings.HasPrefix(kind, "CRYPT-"):
		u.What += " (encrypted, " + name + ")"
		u.Free = "`cryptsetup close " + quote(name) + "`"
	case name != "":
		u.What += " (" + name + ")"
		u.Free = "`dmsetup remove " + quote(name) + "`"
	case strings.HasPrefix(holder, "md"):
		u.What += " (RAID)"
		u.Free = "`mdadm --stop /dev/" + holder + "`"
	}
	return u
}

// system reports whether the running system needs what is mounted there.
func system(at string) bool {
	for _, p := range []string{"/", "/usr", "/boot", "/boot/efi", "/boot/firmware", "/efi", "/etc", "/var", "/home", "/nix", "/nix/store", "/sysroot"} {
		if at == p {
			return true
		}
	}
	return false
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// quote makes a word for a shell out of a path.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// parseMounts reads mountinfo: 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue.
func parseMounts(text string) []mount {
	var out []mount
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 7 {
			continue
		}
		m := mount{number: f[2], at: unoctal(f[4])}
		for i := 6; i+2 < len(f); i++ {
			if f[i] == "-" {
				m.source = unoctal(f[i+2])
				break
			}
		}
		out = append(out, m)
	}
	return out
}

// parseSwaps reads /proc/swaps: a heading, then a path at the beginning of each line.
func parseSwaps(text string) []string {
	var out []string
	for i, line := range strings.Split(text, "\n") {
		if f := strings.Fields(line); i > 0 && len(f) > 1 {
			out = append(out, unoctal(f[0]))
		}
	}
	return out
}

// unoctal undoes what the kernel does to blanks and backslashes (fs/seq_file.c, mangle_path): \040.
func unoctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
