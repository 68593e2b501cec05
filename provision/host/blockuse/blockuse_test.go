package blockuse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a tree with a card of two partitions, a stick, a RAID's disk and a loop device.
func machine(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"/srv/a.img": "x", "/srv/loop.img": "x", "/srv/idle.img": "x", "/var/swap file": "x",
		"/proc/swaps":                                  "Filename Type Size Used Priority\n/var/swap\\040file file 1 0 -2\n/dev/sdb2 partition 1 0 -2\n",
		"/proc/self/mountinfo":                         "20 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw\n21 20 179:1 / /boot/firmware rw - vfat /dev/mmcblk0p1 rw\n22 20 7:0 / /mnt/my\\040loop rw - vfat /dev/loop0 rw\n23 20 0:40 / /data rw shared:1 - btrfs /dev/sdd rw\n",
		"/sys/devices/mmc/mmcblk0/dev":                 "179:0\n",
		"/sys/devices/mmc/mmcblk0/mmcblk0p1/dev":       "179:1\n",
		"/sys/devices/mmc/mmcblk0/mmcblk0p1/partition": "1\n",
		"/sys/devices/mmc/mmcblk0/mmcblk0p2/dev":       "179:2\n",
		"/sys/devices/mmc/mmcblk0/mmcblk0p2/partition": "2\n",
		"/sys/devices/mmc/mmcblk0/mmcblk0p3/dev":       "179:3\n",
		"/sys/devices/mmc/mmcblk0/mmcblk0p3/partition": "3\n",
		"/sys/devices/usb/sda/dev":                     "8:0\n",
		"/sys/devices/usb/sda/sda1/dev":                "8:1\n",
		"/sys/devices/usb/sda/sda1/partition":          "1\n",
		"/sys/devices/usb/sdb/dev":                     "8:16\n",
		"/sys/devices/usb/sdb/sdb2/dev":                "8:18\n",
		"/sys/devices/usb/sdb/sdb2/partition":          "2\n",
		"/sys/devices/usb/sdc/dev":                     "8:32\n",
		"/sys/devices/usb/sdc/holders/md0/x":           "",
		"/sys/devices/usb/sdd/dev":                     "8:48\n",
		"/sys/devices/virtual/block/loop0/dev":         "7:0\n",
		"/sys/devices/virtual/block/loop1/dev":         "7:1\n",
		"/sys/block/loop0/loop/backing_file":           "/srv/loop.img\n",
		"/sys/block/loop0/dev":                         "7:0\n",
		"/sys/block/loop1/loop/backing_file":           "/srv/idle.img\n",
		"/sys/block/loop1/dev":                         "7:1\n",
	} {
		f := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(f), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "/sys/dev/block"), 0o755); err != nil {
		t.Fatal(err)
	}
	for dev, at := range map[string]string{"179:0": "mmc/mmcblk0", "179:1": "mmc/mmcblk0/mmcblk0p1", "179:3": "mmc/mmcblk0/mmcblk0p3", "8:0": "usb/sda", "8:1": "usb/sda/sda1",
		"8:16": "usb/sdb", "8:32": "usb/sdc", "8:48": "usb/sdd", "7:0": "virtual/block/loop0", "7:1": "virtual/block/loop1"} {
		if err := os.Symlink("../../devices/"+at, filepath.Join(root, "/sys/dev/block", dev)); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"/srv/link.img": "a.img"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFiles(t *testing.T) {
	root := machine(t)
	for name, want := range map[string]Info{
		"/srv/a.img":     {"/srv/a.img", File, ""},
		"/srv/link.img":  {"/srv/a.img", File, ""},
		"/srv/loop.img":  {"/srv/loop.img", File, "behind /dev/loop0, mounted at /mnt/my loop"},
		"/srv/idle.img":  {"/srv/idle.img", File, "behind /dev/loop1"},
		"/var/swap file": {"/var/swap file", File, "swapped to"},
		"/srv":           {"/srv", Directory, ""},
		"/srv/none.img":  {},
	} {
		got, err := Look(root, name)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	// On this machine itself.
	if got, err := Look("", os.DevNull); err != nil || got.Kind != Other {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDevices(t *testing.T) {
	l := looker{root: machine(t)}
	for dev, want := range map[string]string{
		"179:1": "mounted at /boot/firmware",
		"179:0": "mounted at /boot/firmware (mmcblk0p1)",
		"179:3": "", "8:0": "", "8:1": "",
		"8:16": "swapped to (sdb2)",
		"8:32": "part of /dev/md0",
		"8:48": "mounted at /data",
		"7:0":  "mounted at /mnt/my loop",
	} {
		got, err := l.block(dev)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", dev, got, err, want)
		}
	}
	if _, err := l.block("9:9"); err == nil || !strings.Contains(err.Error(), "9:9") {
		t.Errorf("a device of which nothing is known: %v", err)
	}
}
