package usbgadget

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision"
)

// Controllers is where the kernel lists the controllers that a gadget can be bound to.
const Controllers = "/sys/class/udc"

// ErrNoController is returned (wrapped) when there is no controller of the wanted name.
var ErrNoController = errors.New("no such USB device controller")

// BusyError says who has the controller. It is EBUSY too.
type BusyError struct {
	UDC    string
	Holder string // another gadget or a driver like g_ether
	Gadget bool   // Holder is a gadget in configfs
}

func (e *BusyError) Error() string {
	if e.Gadget {
		return fmt.Sprintf("controller %s is bound to the gadget %s; unbind that one first (echo > %s/usb_gadget/%s/UDC)", e.UDC, e.Holder, Mount, e.Holder)
	}
	return fmt.Sprintf("controller %s is in use by the driver %s; remove it (modprobe -r %s) and whatever loads it at boot (modules-load.d, cmdline.txt)", e.UDC, e.Holder, e.Holder)
}

func (e *BusyError) Unwrap() error { return syscall.EBUSY }

func (p place) setUDC(now, want provision.Attrs) error {
	for k := range want {
		if k != AttrUDC {
			return p.unknown(k)
		}
	}
	if now == nil {
		return fmt.Errorf("there is no such gadget: %w", provision.ErrBusy)
	}
	if now[AttrUDC] == "" && want == nil {
		return fmt.Errorf("the binding of gadget %s goes away with it: %w", p.name, provision.ErrPending)
	}
	udc := want[AttrUDC]
	if strings.ContainsAny(udc, "/\n\x00") {
		return fmt.Errorf("%q is no name of a controller", udc)
	}
	if udc != "" {
		if err := p.bindable(udc); err != nil {
			return err
		}
	}
	if name, _, err := p.bound(); err != nil {
		return err
	} else if name != "" { // also one whose controller has gone
		if err := p.unbind(); err != nil {
			return err
		}
	}
	if udc == "" {
		return nil
	}
	if err := p.gadget.write("UDC", udc); err != nil {
		return p.refused(udc, err)
	}
	return p.check(want)
}

func (p place) unbind() error {
	// ENODEV: it has been unbound meanwhile.
	if err := p.gadget.write("UDC", "\n"); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("unbind: %w", err)
	}
	return nil
}

// bindable looks for what the kernel answers with a number only, and with a different
// one in each version: a configuration without functions (configfs.c
// configfs_composite_bind), no such controller, one in use.
func (p place) bindable(udc string) error {
	configs, err := p.gadget.sub("configs").entries(fs.ModeDir)
	if err != nil {
		return err
	}
	if len(configs) == 0 {
		return fmt.Errorf("cannot bind: the gadget has no configuration: %w", provision.ErrBusy)
	}
	for _, c := range configs {
		if links, err := p.gadget.sub("configs").sub(c).entries(fs.ModeSymlink); err != nil || len(links) == 0 {
			return errors.Join(fmt.Errorf("cannot bind: configuration %s has no function: %w", c, provision.ErrBusy), err)
		}
	}
	list, err := p.Files.ReadDir(Controllers)
	if err != nil && !gone(err) {
		return err
	}
	var names []string
	for _, e := range list {
		if e.Name == udc {
			return nil
		}
		names = append(names, e.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("cannot bind to %s: %w: the kernel has none at all; on a Raspberry Pi write dtoverlay=dwc2,dr_mode=peripheral into config.txt and reboot", udc, ErrNoController)
	}
	return fmt.Errorf("cannot bind to %s: %w: there is %s", udc, ErrNoController, strings.Join(names, ", "))
}

// refused says who has the controller, or what of the gadget is the reason. From 5.19 on
// the kernel answers EBUSY to whatever it was, and its log has the reason (udc/core.c
// usb_gadget_register_driver_owner, udc_bind_to_driver).
func (p place) refused(udc string, err error) error {
	parent := dir{p.Files, path.Dir(p.gadget.path)}
	gadgets, _ := parent.entries(fs.ModeDir)
	for _, g := range gadgets {
		if v, _ := parent.sub(g).read("UDC"); g != p.gadget.name() && text(v) == udc {
			return &BusyError{UDC: udc, Holder: g, Gadget: true}
		}
	}
	holder, _ := dir{p.Files, Controllers}.sub(udc).read("function")
	if h := text(holder); h != "" && h != p.gadget.name() {
		return &BusyError{UDC: udc, Holder: h}
	}
	if there, e := (dir{p.Files, Controllers}).sub(udc).exists(); e == nil && !there {
		return fmt.Errorf("cannot bind to %s: %w: it has gone meanwhile", udc, ErrNoController)
	}
	// Not EBUSY for the caller, whatever the kernel says: trying again is of no use.
	why, said := p.reason(err), ""
	if why != 0 {
		said = fmt.Sprintf(" (%v)", why)
	}
	switch why {
	case syscall.ENODEV: // usb_ep_autoconfig found none: what every function's bind returns then
		return fmt.Errorf("cannot bind to %s: the controller has too few endpoints for the functions%s", udc, said)
	case syscall.ENOENT, syscall.EEXIST:
		return fmt.Errorf("cannot bind to %s: the kernel could not make the functions' devices%s: where a controller has gone under a network card and come again, kernels of before 2026 may do that until the next boot", udc, said)
	case 0:
		return fmt.Errorf("cannot bind to %s: the kernel refuses the functions, and dmesg has the reason; -19 is too few endpoints: %v", udc, err)
	}
	return fmt.Errorf("cannot bind to %s: the kernel refuses the functions%s; dmesg may say more", udc, said)
}

// reason is the number behind a refusal, 0 when it is not known.
func (p place) reason(err error) syscall.Errno {
	var n syscall.Errno
	if errors.As(err, &n) && n != syscall.EBUSY {
		return n
	}
	if p.Log == nil {
		return 0
	}
	lines := p.Log()
	for i := len(lines) - 1; i >= 0; i-- {
		// "udc 20980000.usb: failed to start provision: -19"; older: "failed to start provision: -19"
		_, number, ok := strings.Cut(lines[i], "failed to start "+p.gadget.name()+": -")
		if v, err := strconv.ParseUint(number, 10, 16); ok && err == nil {
			return syscall.Errno(v)
		}
	}
	return 0
}
