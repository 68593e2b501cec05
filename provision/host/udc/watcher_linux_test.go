package udc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/nstest"
)

// fake makes a sysfs with controllers.
func fake(t *testing.T, udcs ...string) string {
	sys := t.TempDir()
	for _, name := range udcs {
		put(t, sys, name, "not attached\n")
	}
	return sys
}

func put(t *testing.T, sys, name, state string) {
	t.Helper()
	dir := filepath.Join(sys, "class/udc", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state"), []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
}

func watch(t *testing.T, sys string) (*Watcher, *[]string) {
	w, err := Open(sys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	events := new([]string)
	w.Emit = func(e Event) { *events = append(*events, fmt.Sprintf("%d %s %s", e.Kind, e.UDC, e.Value)) }
	return w, events
}

func (w *Watcher) must(t *testing.T, events *[]string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(*events, want) {
		t.Errorf("told %q, want %q", *events, want)
	}
	*events = nil
}

// What is read, without the kernel's notices, which no plain file gives.
func TestRescan(t *testing.T) {
	sys := fake(t, "20980000.usb")
	w, events := watch(t, sys)
	if err := w.rescan(); err != nil {
		t.Fatal(err)
	}
	w.must(t, events, "2 20980000.usb ", "1 20980000.usb not attached")
	put(t, sys, "20980000.usb", "configured\n")
	put(t, sys, "dummy_udc.0", "default\n")
	if err := w.rescan(); err != nil {
		t.Fatal(err)
	}
	w.must(t, events, "1 20980000.usb configured", "2 dummy_udc.0 ", "1 dummy_udc.0 default")
	function := filepath.Join(sys, "class/udc/dummy_udc.0/function")
	for _, tt := range [][2]string{{"", "not attached"}, {"provision\n", "default"}} { // without a gadget the state means nothing
		if err := os.WriteFile(function, []byte(tt[0]), 0o644); err != nil {
			t.Fatal(err)
		}
		w.tellState("dummy_udc.0")
		w.must(t, events, "1 dummy_udc.0 "+tt[1])
	}
	if err := os.RemoveAll(filepath.Join(sys, "class/udc/20980000.usb")); err != nil {
		t.Fatal(err)
	}
	if err := w.rescan(); err != nil {
		t.Fatal(err)
	}
	w.must(t, events, "1 20980000.usb ", "3 20980000.usb ", "1 dummy_udc.0 default")
	for i := range 2 * maxControllers {
		put(t, sys, fmt.Sprint("udc", i), "x")
	}
	if err := w.rescan(); err != nil || len(w.states) != maxControllers {
		t.Errorf("%d controllers are followed, %v", len(w.states), err)
	}
	empty, events := watch(t, t.TempDir()) // no module has made the class
	if err := empty.rescan(); err != nil {
		t.Error(err)
	}
	empty.must(t, events)
}

// Run ends with its context, whatever it was doing, and gives all descriptors back.
func TestRunEnds(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := open()
	for i := range 20 {
		w, err := Open(fake(t, "a.usb", "b.usb"))
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan Event, 16)
		w.Emit = func(e Event) { told <- e }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		if i%2 == 0 {
			cancel()
		}
		go func() { done <- w.Run(ctx) }()
		for range 4 {
			select {
			case <-told:
			case <-time.After(5 * time.Second):
				t.Fatal("the controllers that are there are not told")
			}
		}
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("does not end")
		}
	}
	if after := open(); after > before+2 { // the run time opens some of its own
		t.Errorf("%d descriptors, before %d", after, before)
	}
}

// The kernel's own messages about other devices come in and are passed over; those of programs are
// not believed.
func TestUeventsOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	w, events := watch(t, fake(t))
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		t.Skip("no uevents here: ", err)
	}
	defer unix.Close(fd)
	liar := message("add@/devices/x/udc/evil.usb", "ACTION=add", "DEVPATH=/devices/x/udc/evil.usb", "SUBSYSTEM=udc")
	put(t, w.sys, "evil.usb", "configured")
	if err := unix.Sendto(fd, liar, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		t.Skip("a program cannot even send: ", err)
	}
	fds := []unix.PollFd{{Fd: int32(w.uevent), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n != 1 || err != nil {
		t.Skip("the message does not arrive: ", err)
	}
	if err := w.uevents(); err != nil {
		t.Fatal(err)
	}
	w.must(t, events)
}

func TestLost(t *testing.T) {
	if _, err := os.Stat("/sys/class/net/lo/uevent"); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and sysfs")
	}
	w, events := watch(t, fake(t, "a.usb"))
	_ = unix.SetsockoptInt(w.uevent, unix.SOL_SOCKET, unix.SO_RCVBUF, 2048)
	for range 100 {
		if err := os.WriteFile("/sys/class/net/lo/uevent", []byte("change\n"), 0o200); err != nil {
			t.Skip("no uevents can be made here: ", err)
		}
	}
	if err := w.uevents(); err != nil {
		t.Fatal(err)
	}
	if len(*events) == 0 {
		t.Skip("this kernel tells this namespace of no device")
	}
	if got := (*events)[0]; got != "6  " || len(*events) < 3 {
		t.Errorf("%q", *events)
	}
}

type files struct {
	*host.Root
	wrote []string
	fail  string
}

func (f *files) WriteValue(path, value string) error {
	f.wrote = append(f.wrote, path+" "+strings.TrimSpace(value))
	if f.fail != "" && strings.HasSuffix(path, f.fail) {
		return errors.New("device or resource busy")
	}
	return f.Root.WriteValue(path, value)
}

func TestControl(t *testing.T) {
	root := t.TempDir()
	mkdir := func(p string) {
		if err := os.MkdirAll(filepath.Join(root, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, p string) {
		if err := os.Symlink(target, filepath.Join(root, p)); err != nil {
			t.Fatal(err)
		}
	}
	dev := "sys/devices/platform/soc/20980000.usb"
	mkdir(dev + "/udc/20980000.usb")
	mkdir("sys/bus/platform/drivers/dwc2")
	mkdir("sys/class/udc")
	link("../../devices/platform/soc/20980000.usb/udc/20980000.usb", "sys/class/udc/20980000.usb")
	link("../../../20980000.usb", dev+"/udc/20980000.usb/device")
	link("../../../../bus/platform/drivers/dwc2", dev+"/driver")
	for _, f := range []string{dev + "/udc/20980000.usb/soft_connect", dev + "/udc/20980000.usb/state", "sys/bus/platform/drivers/dwc2/bind", "sys/bus/platform/drivers/dwc2/unbind"} {
		if err := os.WriteFile(filepath.Join(root, f), []byte("suspended\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := host.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := &files{Root: r}
	c := Control{Files: f, UDC: "20980000.usb", Pause: time.Millisecond}
	if s, err := c.State(); s != "suspended" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if s, err := (Control{Files: f, UDC: "none"}).State(); s != "" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), ended} { // what is begun is ended
		f.wrote = nil
		if err := errors.Join(c.Reconnect(ctx), c.RebindDriver(ctx)); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"/sys/class/udc/20980000.usb/soft_connect disconnect", "/sys/class/udc/20980000.usb/soft_connect connect",
			"/sys/bus/platform/drivers/dwc2/unbind 20980000.usb", "/sys/bus/platform/drivers/dwc2/bind 20980000.usb",
		}
		if !reflect.DeepEqual(f.wrote, want) {
			t.Errorf("%q", f.wrote)
		}
	}
	f.fail = "bind"
	if err := c.RebindDriver(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot take the driver off 20980000.usb: device or resource busy") {
		t.Errorf("%v", err)
	}
	f.fail = "soft_connect"
	if err := c.Reconnect(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot disconnect 20980000.usb") {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"", "..", "a/b", "a\nb"} {
		bad := Control{Files: f, UDC: name}
		f.wrote = nil
		if bad.Reconnect(t.Context()) == nil || bad.RebindDriver(t.Context()) == nil || len(f.wrote) > 0 {
			t.Errorf("%q is taken as a controller", name)
		}
	}
	if !NoSoft("dummy_udc.0") || NoSoft("20980000.usb") {
		t.Error("NoSoft")
	}
}

func TestCounters(t *testing.T) {
	ns := nstest.New(t)
	ns.Sh("ip link add usb0 type veth peer name host0\nip link set usb0 up\nip link set host0 up\nip addr add 192.0.2.1/24 dev usb0")

	_, _ = ns.Try("ping -c 1 -W 0.2 192.0.2.2") // nobody answers, but the question leaves
	var list []Counter
	var err error
	ns.Do(func() { list, err = Counters("usb0", "none0", "host0") })
	if err != nil || len(list) != 2 || list[0].Link != "usb0" || list[1].Link != "host0" || !list[0].Carrier || list[0].TX == 0 || list[1].RX == 0 || len(list[0].MAC) != 17 {
		t.Errorf("%+v, %v", list, err)
	}
	ns.Sh("ip link set host0 down")
	ns.Do(func() { list, err = Counters("usb0") })
	if err != nil || list[0].Carrier {
		t.Errorf("%+v, %v", list, err)
	}
}
