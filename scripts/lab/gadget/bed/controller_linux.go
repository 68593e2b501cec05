package bed

import (
	"fmt"
	"os"
	"path/filepath"
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
	return Sh(t, `cd `+ConfigFS+` && find "`+name+`" | LC_ALL=C sort | while read -r f; do
  if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"; elif [ -d "$f" ]; then echo "$f/"; else echo "$f = $(tr -d '\0' < "$f" 2>/dev/null | head -c 200)"; fi
done`)
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
