package device

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a tree of sysfs and procfs: files by name, and links whose value begins with "-> ".
func machine(t *testing.T, files map[string]string) []Disk {
	t.Helper()
	if os.PathSeparator != '/' {
		t.Skip("skipped: names of sysfs are none of Windows'")
	}
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, file)
		} else {
			err = os.WriteFile(file, []byte(text+"\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := Sysfs(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// laptop has what people have: a system on NVMe with LUKS and LVM, a card in the built-in reader, a stick, a USB disk, a CD, eMMC.
func laptop() map[string]string {
	m := map[string]string{}
	disk := func(name, place, size, dev string, attrs ...string) {
		m["sys/block/"+name] = "-> ../devices/" + place + "/block/" + name
		at := "sys/devices/" + place + "/block/" + name + "/"
		m[at+"size"], m[at+"dev"], m[at+"removable"], m[at+"ro"], m[at+"queue/logical_block_size"] = size, dev, "0", "0", "512"
		m[at+"device/none"] = ""
		for i := 0; i+1 < len(attrs); i += 2 {
			m[at+attrs[i]] = attrs[i+1]
		}
	}
	disk("nvme0n1", "pci0000:00/0000:01:00.0/nvme/nvme0", "1000215216", "259:0", "device/model", "Samsung SSD 980 500GB", "device/serial", "S64D",
		"nvme0n1p1/partition", "1", "nvme0n1p1/dev", "259:1", "nvme0n1p2/partition", "2", "nvme0n1p2/dev", "259:2", "nvme0n1p2/holders/dm-0/x", "")
	disk("mmcblk0", "pci0000:00/0000:02:00.0/mmc_host/mmc0/mmc0:aaaa", "62333952", "179:0", "device/type", "SD", "device/name", "SC32G", "device/serial", "0x8c0d31aa",
		"mmcblk0p1/partition", "1", "mmcblk0p1/dev", "179:1")
	disk("mmcblk1", "platform/fe340000.mmc/mmc_host/mmc1/mmc1:0001", "30535680", "179:32", "device/type", "MMC", "device/name", "BJTD4R")
	disk("mmcblk1boot0", "platform/fe340000.mmc/mmc_host/mmc1/mmc1:0001", "8192", "179:40")
	disk("sda", "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0", "60063744", "8:0", "removable", "1", "device/vendor", "SanDisk ", "device/model", "Ultra           ",
		"device/type", "0", "sda1/partition", "1", "sda1/dev", "8:1", "sda2/partition", "2", "sda2/dev", "8:2")
	m["sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/idVendor"], m["sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/serial"] = "0781", "4C530001"
	m["sys/devices/pci0000:00/0000:00:14.0/usb1/idVendor"], m["sys/devices/pci0000:00/0000:00:14.0/usb1/serial"] = "1d6b", "0000:00:14.0"
	disk("sdb", "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host1/target1:0:0/1:0:0:0", "3907029168", "8:16", "device/vendor", "WD", "device/model", "WD Elements", "device/type", "0")
	disk("sdc", "pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0", "1953525168", "8:32", "device/model", "WDC WD10", "device/type", "0")
	disk("sr0", "pci0000:00/0000:00:17.0/ata2/host3/target3:0:0/3:0:0:0", "2097151", "11:0", "removable", "1", "device/type", "5")
	m["sys/block/dm-0"] = "-> ../devices/virtual/block/dm-0"
	m["sys/devices/virtual/block/dm-0/dev"], m["sys/devices/virtual/block/dm-0/dm/name"], m["sys/devices/virtual/block/dm-0/dm/uuid"] = "254:0", "cryptroot", "CRYPT-LUKS2-abc"
	m["sys/devices/virtual/block/dm-0/holders/dm-1/x"] = ""
	m["sys/block/dm-1"] = "-> ../devices/virtual/block/dm-1"
	m["sys/devices/virtual/block/dm-1/dev"], m["sys/devices/virtual/block/dm-1/dm/name"], m["sys/devices/virtual/block/dm-1/dm/uuid"] = "254:1", "vg-root", "LVM-abc"
	m["sys/block/loop0"] = "-> ../devices/virtual/block/loop0"
	m["sys/devices/virtual/block/loop0/dev"] = "7:0"
	m["proc/self/mountinfo"] = "25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw\n26 25 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw"
	m["proc/swaps"] = "Filename\t\tType\t\tSize\t\tUsed\t\tPriority"
	return m
}

func find(t *testing.T, all []Disk, path string) Disk {
	t.Helper()
	for _, d := range all {
		if d.Path == path {
			return d
		}
	}
	t.Fatalf("%s is not among %v", path, all)
	return Disk{}
}

func TestLaptop(t *testing.T) {
	all := machine(t, laptop())
	var paths []string
	for _, d := range all {
		paths = append(paths, d.Path)
	}
	if got := strings.Join(paths, " "); got != "/dev/mmcblk0 /dev/mmcblk1 /dev/nvme0n1 /dev/sda /dev/sdb /dev/sdc" {
		t.Errorf("disks: %s", got)
	}
	for _, tt := range []struct{ path, phrase, serial, bus, refused string }{
		{"/dev/mmcblk0", "SC32G 31.9 GB", "0x8c0d31aa", "sd", ""},
		{"/dev/mmcblk1", "BJTD4R 15.6 GB", "", "mmc", "built into this computer (mmc)"},
		{"/dev/nvme0n1", "Samsung SSD 980 500GB 512 GB", "S64D", "nvme", "the running system is on it"},
		{"/dev/sda", "SanDisk Ultra 30.8 GB", "4C530001", "usb", ""},
		{"/dev/sdb", "WD Elements 2.0 TB", "", "usb", ""},
		{"/dev/sdc", "WDC WD10 1.0 TB", "", "sata", "built into this computer (sata)"},
	} {
		d := find(t, all, tt.path)
		why := d.Refused()
		if d.Phrase() != tt.phrase || d.Serial != tt.serial || d.Bus != tt.bus || (tt.refused == "") != (len(why) == 0) {
			t.Errorf("%s: %q %q %q %v", tt.path, d.Phrase(), d.Serial, d.Bus, why)
		} else if tt.refused != "" && !strings.Contains(why[0].Why, tt.refused) {
			t.Errorf("%s: %v", tt.path, why)
		}
	}
	if _, err := Choose(all, "", nil); err == nil || !strings.Contains(err.Error(), "several fit: /dev/mmcblk0 (SC32G 31.9 GB), /dev/sda") {
		t.Errorf("which one: %v", err)
	}
	if d, err := Choose(all, "/dev/disk/by-id/usb-WD", func(string) (string, error) { return "/dev/sdb", nil }); err != nil || d.Path != "/dev/sdb" {
		t.Errorf("%v %v", d, err)
	}
	for name, says := range map[string]string{"/dev/sda1": "whole disk, which is /dev/sda", "/dev/sdx": "--list", "/dev/nvme0n1": "running system", "sr0": "--list"} {
		if _, err := Choose(all, name, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestInUse: each way in which a card may be in use is found, and what ends it is said.
func TestInUse(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(m map[string]string)
		says   string
	}{
		"mounted": {func(m map[string]string) {
			m["proc/self/mountinfo"] += "\n30 25 8:1 / /media/me/boot\\040fs rw - vfat /dev/sda1 rw"
		}, "/dev/sda1 is mounted at /media/me/boot fs: `umount '/media/me/boot fs'`"},
		// btrfs has numbers that are no device's.
		"btrfs": {func(m map[string]string) {
			m["proc/self/mountinfo"] += "\n30 25 0:44 /@ /mnt rw shared:9 - btrfs /dev/sda2 rw"
		}, "/dev/sda2 is mounted at /mnt: `umount /mnt`"},
		"swap": {func(m map[string]string) { m["proc/swaps"] += "\n/dev/sda2 partition 1 0 -2" }, "the running system is on it (/dev/sda2 is swap)"},
		"live": {func(m map[string]string) { m["proc/self/mountinfo"] = "25 1 8:2 / / ro - ext4 /dev/sda2 ro" }, "the running system is on it (/dev/sda2 is mounted at /)"},
		"locked": {func(m map[string]string) {
			m["sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda/ro"] = "1"
		}, "write-protected: slide the lock"},
		"empty": {func(m map[string]string) {
			m["sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda/size"] = "0"
		}, "no card in it"},
		"loop": {func(m map[string]string) { m["sys/devices/virtual/block/loop0/loop/backing_file"] = "/dev/sda2" }, "/dev/sda2 is behind /dev/loop0: `losetup -d /dev/loop0`"},
		"loop, live": {func(m map[string]string) {
			m["sys/devices/virtual/block/loop0/loop/backing_file"] = "/dev/sda2"
			m["proc/self/mountinfo"] = "25 1 7:0 / / ro - squashfs /dev/loop0 ro"
		}, "the running system is on it (/dev/loop0 is mounted at /)"},
		"encrypted": {func(m map[string]string) {
			m["sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda/sda2/holders/dm-5/x"] = ""
			m["sys/block/dm-5"] = "-> ../devices/virtual/block/dm-5"
			m["sys/devices/virtual/block/dm-5/dev"], m["sys/devices/virtual/block/dm-5/dm/name"], m["sys/devices/virtual/block/dm-5/dm/uuid"] = "254:5", "backup", "CRYPT-LUKS2-x"
		}, "/dev/sda2 is part of /dev/dm-5 (encrypted, backup): `cryptsetup close backup`"},
		"RAID": {func(m map[string]string) {
			m["sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host0/target0:0:0/0:0:0:0/block/sda/holders/md0/x"] = ""
		}, "/dev/sda is part of /dev/md0 (RAID): `mdadm --stop /dev/md0`"},
	} {
		t.Run(name, func(t *testing.T) {
			m := laptop()
			tt.change(m)
			d, err := Choose(machine(t, m), "/dev/sda", nil)
			var refused *RefusedError
			if !errors.As(err, &refused) || d.Path != "/dev/sda" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v\nwant %s", err, tt.says)
			}
		})
	}
	m := laptop()
	delete(m, "proc/self/mountinfo")
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "sys/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Sysfs(os.DirFS(root)); err == nil {
		t.Error("without the mounts everything is free")
	}
}

// TestHere reads this machine, whose root is never offered.
func TestHere(t *testing.T) {
	all, err := List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		t.Logf("%s %s: %v", d.Path, d.Phrase(), d.Refused())
		for _, u := range d.Uses {
			if u.System && len(d.Refused()) == 0 {
				t.Errorf("%s is offered", d.Path)
			}
		}
	}
}

// TestMac reads lists in the form that diskutil(8) writes, made by hand with the names and values of a laptop with Apple silicon.
func TestMac(t *testing.T) {
	open := func(name string) *os.File {
		f, err := os.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	all, err := diskutilFrom(open)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 {
		t.Fatalf("%+v", all)
	}
	for _, tt := range []struct{ path, phrase, refused string }{
		{"/dev/disk0", "APPLE SSD AP0256Q 251 GB", "the running system is on it (/dev/disk3s1 is mounted at /"},
		{"/dev/disk4", "Built In SDXC Reader 31.9 GB", "/dev/disk4s1 is mounted at /Volumes/bootfs: `diskutil unmountDisk disk4`"},
		{"/dev/disk5", "SanDisk Ultra 30.8 GB", ""},
	} {
		d := find(t, all, tt.path)
		text := ""
		for _, w := range d.Refused() {
			text += w.String() + "\n"
		}
		if d.Phrase() != tt.phrase || (tt.refused == "") != (text == "") || !strings.Contains(text, tt.refused) {
			t.Errorf("%s: %q, refused: %q", tt.path, d.Phrase(), text)
		}
	}
	for name, path := range map[string]string{"disk5": "/dev/disk5", "/dev/rdisk5": "/dev/disk5", "": "/dev/disk5"} {
		if d, err := Choose(all, name, nil); err != nil || d.Path != path {
			t.Errorf("%q: %v %v", name, d.Path, err)
		}
	}
	if d := find(t, all, "/dev/disk4"); !d.Removable || d.External || d.Bus != "sd" {
		t.Errorf("%+v", d)
	}
}

func TestWindows(t *testing.T) {
	b := make([]byte, 36)
	le := binary.LittleEndian
	put := func(at int, s string) {
		le.PutUint32(b[at:], uint32(len(b)))
		b = append(append(b, s...), 0)
	}
	put(12, "SanDisk ")
	put(16, "Ultra ")
	put(24, "4C53")
	b[10] = 1
	le.PutUint32(b[28:], 7)
	s, err := parseStorage(b)
	if err != nil || s.vendor != "SanDisk" || s.product != "Ultra" || s.serial != "4C53" || !s.removable || s.bus != 7 {
		t.Fatalf("%+v %v", s, err)
	}
	g := make([]byte, 40)
	le.PutUint32(g[20:], 512)
	le.PutUint64(g[24:], 30752636928)
	size, block, err := parseGeometry(g)
	if err != nil || size != 30752636928 || block != 512 {
		t.Fatalf("%d %d %v", size, block, err)
	}
	e := make([]byte, 8+24)
	e[0], e[8] = 1, 2
	disks, err := parseExtents(e)
	if err != nil || len(disks) != 1 || disks[0] != 2 {
		t.Fatalf("%v %v", disks, err)
	}
	d := physical(2, s, size, block, []volume{{name: `\\?\Volume{a}\`, at: []string{`E:\`}, disks: disks}, {at: []string{`C:\`}, disks: []uint32{0}, system: true}})
	if d.Phrase() != "SanDisk Ultra 30.8 GB" || len(d.Refused()) != 0 {
		t.Errorf("%+v %v", d, d.Refused())
	}
	fixed := physical(0, storageDescriptor{product: "Disk", bus: 17}, size, block, []volume{{at: []string{`C:\`}, disks: []uint32{0}, system: true}})
	if why := fixed.Refused(); len(why) != 2 || !strings.Contains(why[0].Why, "running system") {
		t.Errorf("%v", why)
	}
	for _, name := range []string{`\\.\PhysicalDrive2`, `\\.\physicaldrive2`, "PhysicalDrive2"} {
		if got, err := Choose([]Disk{fixed, d}, name, nil); err != nil || got.Path != d.Path {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Choose([]Disk{fixed, d}, "E:", nil); err == nil || !strings.Contains(err.Error(), `which is \\.\PhysicalDrive2`) {
		t.Error(err)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 31914983424: "31.9 GB", 128035676160: "128 GB", 999999999: "1000 MB", 2000398934016: "2.0 TB"} {
		if got := Bytes(n); got != want || !SameSize(want, n) || !SameSize(strings.ReplaceAll(want, " ", ""), n) {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	if SameSize("32GB", 31914983424) || SameSize("", 0) || !SameSize("31914983424", 31914983424) {
		t.Error("another size is the same")
	}
}
