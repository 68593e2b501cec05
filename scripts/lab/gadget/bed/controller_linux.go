package bed

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// ConfigFS is where gadgets are.
const ConfigFS = "/sys/kernel/config/usb_gadget"

// Controllers sees to it that there are n device controllers. They stay for the tests that come after.
func Controllers(t testing.TB, n int) {
	t.Helper()
	if got, _ := filepath.Glob("/sys/class/udc/*"); len(got) == n {
		return
	}
	Vanish(t)
	Sh(t, fmt.Sprintf("modprobe dummy_hcd num=%d", n))
	lab.Await(t, 10*time.Second, func() error {
		if got, _ := filepath.Glob("/sys/class/udc/*"); len(got) != n {
			return fmt.Errorf("device controllers: %v, want %d", got, n)
		}
		return nil
	})
}

// Vanish takes all controllers away, as a driver that is unloaded does, bound gadgets or not.
func Vanish(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/sys/module/dummy_hcd"); err == nil {
		Sh(t, "rmmod dummy_hcd")
	}
}

// UDC is the name of the nth controller, from 0.
func UDC(n int) string { return fmt.Sprintf("dummy_udc.%d", n) }

// State is what a controller says of itself, like "not attached" or "configured" (Documentation/ABI/stable/sysfs-class-udc).
func State(n int) string { return read("/sys/class/udc/" + UDC(n) + "/state") }

// Gadgets are the names of all gadgets in configfs.
func Gadgets() []string {
	dirs, _ := filepath.Glob(ConfigFS + "/*")
	for i := range dirs {
		dirs[i] = filepath.Base(dirs[i])
	}
	return dirs
}

// Bound is the controller that a gadget is bound to, "" if none or no such gadget.
func Bound(name string) string { return read(ConfigFS + "/" + name + "/UDC") }

// Tree lists what a gadget consists of: its directories, links and the values of its files, for comparison.
func Tree(t testing.TB, name string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(filepath.Join(ConfigFS, name), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(path, ConfigFS+"/")
		switch e.Type() {
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			fmt.Fprintf(&b, "%s -> %s\n", at, to)
			return err
		case fs.ModeDir:
			fmt.Fprintf(&b, "%s/\n", at)
		default:
			fmt.Fprintf(&b, "%s = %q\n", at, read(path))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b.String()
}

// Wipe takes all gadgets away in the kernel's order, whoever made them.
func Wipe(t testing.TB) {
	t.Helper()
	Sh(t, `cd `+ConfigFS+` || exit
for g in */; do [ -d "$g" ] || continue; (cd "$g"
  [ -z "$(cat UDC)" ] || echo > UDC || :
  for l in os_desc/* configs/*/*; do [ ! -L "$l" ] || rm "$l"; done
  for d in configs/*/strings/* configs/* functions/* strings/*; do [ ! -d "$d" ] || rmdir "$d"; done) && rmdir "$g"
done`)
}
