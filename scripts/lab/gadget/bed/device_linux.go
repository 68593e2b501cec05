package bed

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// Device is a gadget as the host sees it: the directory in sysfs, like /sys/devices/platform/dummy_hcd.0/usb1/1-1.
type Device string

// Interface is an interface of the present configuration.
type Interface struct {
	Class, Sub, Protocol string // hexadecimal, like "02"
	Driver               string // of the host, "" if none has taken it
	NIC                  string // its network interface in this namespace, if any
	Dir                  string
}

// Plugged returns the device at the nth controller once the host has configured it and has found drivers for all its interfaces
// that are wanted: a driver's name for each interface, "-" for none. Without wants any interface will do.
func Plugged(t testing.TB, n int, drivers ...string) Device {
	t.Helper()
	var d Device
	lab.Await(t, 15*time.Second, func() error {
		var err error
		if d, err = Find(n); err != nil {
			return err
		}
		all := d.Interfaces()
		if len(all) == 0 {
			return fmt.Errorf("%s has no configuration", d)
		}
		var have []string
		for _, i := range all {
			have = append(have, orDash(i.Driver))
		}
		if len(drivers) > 0 && !slices.Equal(have, drivers) {
			return fmt.Errorf("drivers %v, want %v", have, drivers)
		}
		return nil
	})
	return d
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Find is the device at the nth controller, if there is one.
func Find(n int) (Device, error) {
	found, _ := filepath.Glob(fmt.Sprintf("/sys/devices/platform/dummy_hcd.%d/usb*/[0-9]*-1/devnum", n))
	if len(found) == 0 {
		return "", fmt.Errorf("the host sees no device at controller %d (which is %q)", n, State(n))
	}
	return Device(filepath.Dir(found[0])), nil
}

// Gone waits until the host has no device at the nth controller any more.
func Gone(t testing.TB, n int) {
	t.Helper()
	lab.Await(t, 10*time.Second, func() error {
		if d, err := Find(n); err == nil {
			return fmt.Errorf("%s is still there", d)
		}
		return nil
	})
}

// Attr is an attribute like idVendor, bcdDevice, devnum or serial (Documentation/ABI/testing/sysfs-bus-usb).
func (d Device) Attr(name string) string { return read(string(d) + "/" + name) }

// Interfaces are those of the present configuration, in their order.
func (d Device) Interfaces() []Interface {
	dirs, _ := filepath.Glob(string(d) + "/" + filepath.Base(string(d)) + ":*")
	slices.SortFunc(dirs, func(a, b string) int { return number(a) - number(b) })
	var all []Interface
	for _, dir := range dirs {
		i := Interface{Class: read(dir + "/bInterfaceClass"), Sub: read(dir + "/bInterfaceSubClass"), Protocol: read(dir + "/bInterfaceProtocol"), Dir: dir}
		if to, err := os.Readlink(dir + "/driver"); err == nil {
			i.Driver = filepath.Base(to)
		}
		if nics, _ := filepath.Glob(dir + "/net/*"); len(nics) > 0 {
			i.NIC = filepath.Base(nics[0])
		}
		all = append(all, i)
	}
	return all
}

func number(dir string) int {
	n, _ := strconv.Atoi(dir[strings.LastIndexByte(dir, '.')+1:])
	return n
}

// NICs waits for n network interfaces of the device in this namespace and returns their names in the interfaces' order.
func (d Device) NICs(t testing.TB, n int) []string {
	t.Helper()
	var nics []string
	lab.Await(t, 15*time.Second, func() error {
		nics = nil
		for _, i := range d.Interfaces() {
			if i.NIC != "" {
				nics = append(nics, i.NIC)
			}
		}
		if len(nics) != n {
			return fmt.Errorf("the host has the NICs %v of %s, want %d", nics, d, n)
		}
		return nil
	})
	return nics
}

// Configure makes the host choose another configuration; 1 is what Windows takes, whatever it is.
func (d Device) Configure(t testing.TB, value int) {
	t.Helper()
	d.set(t, "bConfigurationValue", strconv.Itoa(value))
}

// Authorize false has the host drop the device as if it were pulled out, true take it again. The gadget stays bound.
func (d Device) Authorize(t testing.TB, on bool) {
	t.Helper()
	d.set(t, "authorized", map[bool]string{true: "1", false: "0"}[on])
}

func (d Device) set(t testing.TB, attr, value string) {
	t.Helper()
	if err := Write(string(d)+"/"+attr, value); err != nil {
		t.Fatalf("%s of %s: %v", attr, d, err)
	}
}

// Power false switches the host's port off, true on again (Documentation/ABI/testing/sysfs-bus-usb, "disable").
func Power(t testing.TB, n int, on bool) {
	t.Helper()
	ports, _ := filepath.Glob(fmt.Sprintf("/sys/devices/platform/dummy_hcd.%d/usb*/*-0:1.0/usb*-port1/disable", n))
	if len(ports) == 0 {
		t.Fatalf("the host has no port at controller %d", n)
	}
	if err := Write(ports[0], map[bool]string{true: "0", false: "1"}[on]); err != nil {
		t.Fatal(err)
	}
}

// Driver takes the device from the host's USB core, or gives it back: what a host does that goes down and boots again.
func (d Device) Driver(t testing.TB, on bool) {
	t.Helper()
	what := map[bool]string{true: "bind", false: "unbind"}[on]
	if err := Write("/sys/bus/usb/drivers/usb/"+what, filepath.Base(string(d))); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
