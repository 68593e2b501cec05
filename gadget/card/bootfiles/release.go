package bootfiles

import (
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
)

// Hook is how a release lets somebody in at its first boot.
type Hook string

// Hooks.
const (
	CloudInit Hook = "cloud-init" // it reads user-data on the boot partition
	FirstRun  Hook = "firstrun"   // a script that the command line names (systemd-run-generator(8))
)

// Release is what can be told about the system on a card by its boot partition.
type Release struct {
	Hook Hook
	// Dir is where that system mounts the boot partition.
	Dir string
	// Why names the evidence, for people.
	Why string
}

// Recognise says what is on a card. exists is asked for names on the boot partition;
// config and cmdline are the texts of those files.
//
// Raspberry Pi OS has cloud-init and its files on the boot partition since Trixie, and
// mounts that at /boot/firmware since Bookworm, whose config.txt has auto_initramfs
// and which is the first one to have a kernel for the Pi 5. Ubuntu and Debian with
// cloud-init mount it there as well.
func Recognise(exists func(name string) bool, config, cmdline string) Release {
	for _, name := range []string{"meta-data", "user-data"} {
		if exists(name) {
			return Release{CloudInit, "/boot/firmware", "there is " + name}
		}
	}
	if ds, ok := bootfile.ParseCmdline(cmdline).Get("ds"); ok && strings.HasPrefix(ds, "nocloud") {
		return Release{CloudInit, "/boot/firmware", "cmdline.txt has ds=" + ds}
	}
	for _, l := range bootfile.ParseConfig(config) {
		if l.Kind == bootfile.Setting && l.Key == "auto_initramfs" {
			return Release{FirstRun, "/boot/firmware", "config.txt has auto_initramfs"}
		}
	}
	for _, name := range []string{"kernel_2712.img", "initramfs8"} {
		if exists(name) {
			return Release{FirstRun, "/boot/firmware", "there is " + name}
		}
	}
	return Release{FirstRun, "/boot", "nothing of Bookworm or later is there"}
}
