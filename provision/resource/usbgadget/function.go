package usbgadget

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision"
)

// ErrNoFunction is returned (wrapped) when the kernel has no such function.
var ErrNoFunction = errors.New("the kernel has no such USB function")

func (p place) function() dir { return p.gadget.sub("functions").sub(p.part) }

// kind is the part of a function's name before the dot: "ncm".
func (p place) kind() string {
	k, _, _ := strings.Cut(p.part, ".")
	return k
}

func (p place) getFunction() (provision.Attrs, error) {
	d := p.function()
	if there, err := d.exists(); !there {
		return nil, err
	}
	a := provision.Attrs{}
	return a, p.collect(d, "", a)
}

// maxDepth: os_desc/interface.rndis/Label/data.
const maxDepth = 4

// collect reads what can be read and written. What can only be read (port_num) is not
// of a function's making, what can only be written (forced_eject) is an action.
func (p place) collect(d dir, prefix string, a provision.Attrs) error {
	list, err := d.f.ReadDir(d.path)
	if err != nil {
		return ignoreGone(err)
	}
	for _, e := range list {
		name := prefix + e.Name
		switch {
		case e.Type.IsDir() && strings.Count(name, "/") < maxDepth-1:
			if err := p.collect(d.sub(e.Name), name+"/", a); err != nil {
				return err
			}
		case e.Type.IsRegular():
			v, mode, err := d.f.ReadValue(d.path+"/"+e.Name, maxValue)
			switch {
			case gone(err):
			case errors.Is(err, fs.ErrPermission) && d.writeOnly(e.Name):
			case err != nil:
				return err
			case mode.Perm()&0o600 == 0o600:
				a[name] = p.decode(d, name, string(v))
			}
		}
	}
	return nil
}

// writeOnly tells an attribute that nobody can read from one that somebody may not read.
func (d dir) writeOnly(name string) bool {
	info, err := d.f.Lstat(d.path + "/" + name)
	return err == nil && info.Mode.Perm()&0o400 == 0
}

// linkedIn names a configuration that has the function, "" if none does.
func (p place) linkedIn() (string, error) {
	configs := p.gadget.sub("configs")
	names, err := configs.entries(fs.ModeDir)
	if err != nil {
		return "", err
	}
	for _, c := range names {
		links, err := place{p.Resource, p.gadget, c, p.name}.links()
		if err != nil {
			return "", err
		}
		for _, l := range links {
			if l.function == p.part {
				return c, nil
			}
		}
	}
	return "", nil
}

func (p place) setFunction(now, want provision.Attrs) (err error) {
	if now != nil {
		config, err := p.linkedIn()
		if err != nil {
			return err
		}
		if config != "" && !live(now, want) {
			return fmt.Errorf("it is linked into configuration %s and has to be unlinked first: %w", config, provision.ErrBusy)
		}
	}
	if want == nil {
		return p.removeFunction()
	}
	if now == nil {
		if err := p.makeFunction(); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.removeFunction())
			}
		}()
		return p.fill(want)
	}
	if err := p.fill(want); err != nil {
		return err
	}
	after, err := p.get()
	if err != nil {
		return err
	}
	if _, ok := p.firstDifference(after, want); ok {
		return p.remake(after, want)
	}
	return nil
}

// remake is for what cannot be put back in place: a report descriptor cannot be
// emptied, and older kernels keep the tail of a longer identifier.
func (p place) remake(now, want provision.Attrs) error {
	all := provision.Attrs{}
	for k, v := range now {
		all[k] = v
	}
	for k, v := range want {
		all[k] = v
	}
	for k, v := range all {
		if v == "" {
			delete(all, k) // as the kernel makes it
		}
	}
	if err := p.removeFunction(); err != nil {
		return err
	}
	if err := p.makeFunction(); err != nil {
		return err
	}
	return p.fill(all)
}

// makeFunction is also how one learns what the kernel can do: mkdir loads the module.
func (p place) makeFunction() error {
	err := p.Files.Mkdir(p.function().path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if there, _ := p.gadget.exists(); !there {
			return fmt.Errorf("its gadget does not exist: %w", provision.ErrBusy)
		}
		module, option := driver(p.kind())
		return fmt.Errorf("%w: %s; it needs the module %s (%s): try modprobe %s, install the kernel's full set of modules or leave this function out", ErrNoFunction, p.kind(), module, option, module)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%q is no name of a function, want its kind, a dot and a name of your own (\"ncm.usb0\"): %w", p.part, err)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return fmt.Errorf("%q is too long, a function's name has at most 39 bytes: %w", p.part, err)
	case errors.Is(err, syscall.EBUSY) && (p.kind() == "acm" || p.kind() == "gser" || p.kind() == "obex"):
		return fmt.Errorf("the kernel has no serial port left for it (u_serial has a handful in all gadgets together): %v", err)
	case errors.Is(err, syscall.ENODEV) && p.kind() == "hid":
		return fmt.Errorf("the kernel has no HID device left for it (f_hid has four in all gadgets together): %w", err)
	}
	return err
}

// driver returns the module of a function and the kernel's option for it.
func driver(kind string) (module, option string) {
	switch kind {
	case "gser":
		return "usb_f_serial", "CONFIG_USB_CONFIGFS_SERIAL"
	case "hid":
		return "usb_f_hid", "CONFIG_USB_CONFIGFS_F_HID"
	}
	return "usb_f_" + kind, "CONFIG_USB_CONFIGFS_" + strings.ToUpper(kind)
}

// removeFunction takes away the directories that people make below a function, then
// the function. The kernel's own ones go with it.
func (p place) removeFunction() error {
	d := p.function()
	errs := []error{d.rmdirs(madeLUN)}
	desc := d.sub("os_desc")
	interfaces, err := desc.entries(fs.ModeDir)
	errs = append(errs, err)
	for _, i := range interfaces {
		errs = append(errs, desc.sub(i).rmdirs(nil))
	}
	return errors.Join(append(errs, d.rmdir())...)
}

// madeLUN: the kernel makes the first one.
func madeLUN(name string) bool { return strings.HasPrefix(name, "lun.") && name != "lun.0" }

// madeDir returns the directory of an attribute if people make it: a further LUN, or
// an extended property of an interface.
func madeDir(attr string) (string, bool) {
	d := path.Dir(attr)
	if madeLUN(d) {
		return d, true
	}
	return d, strings.HasPrefix(d, "os_desc/interface.") && strings.Count(d, "/") == 2
}
