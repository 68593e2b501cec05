package usbgadget

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/provision-net/provision/provision"
)

// descriptor are the attributes of a gadget that are files of its directory.
func descriptor(attr string) bool {
	switch attr {
	case "idVendor", "idProduct", "bcdDevice", "bcdUSB", "bDeviceClass", "bDeviceSubClass", "bDeviceProtocol", "max_speed":
		return true
	}
	return false
}

func deviceStrings() []string { return []string{"manufacturer", "product", "serialnumber"} }

func (p place) getGadget() (provision.Attrs, error) {
	a := provision.Attrs{}
	files, err := p.gadget.entries(0)
	if err != nil {
		return nil, err
	}
	for _, n := range files {
		if descriptor(n) {
			v, err := p.gadget.read(n)
			if err != nil {
				return nil, err
			}
			a[n] = text(v)
		}
	}
	for _, n := range deviceStrings() {
		v, err := p.gadget.sub(english).read(n)
		if err != nil {
			return nil, err
		}
		a[n] = text(v)
	}
	return a, nil
}

func (p place) setGadget(now, want provision.Attrs) (err error) {
	if want == nil {
		return p.removeGadget()
	}
	isString := func(k string) bool { return k == "manufacturer" || k == "product" || k == "serialnumber" }
	for k := range want {
		if !descriptor(k) && !isString(k) {
			return p.unknown(k)
		}
	}
	if now == nil {
		if err := p.makeGadget(); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.removeGadget())
			}
		}()
	}
	strings := false
	for _, k := range sortedKeys(want) {
		if now != nil && now[k] == want[k] {
			continue
		}
		if isString(k) {
			strings = true
			err = p.gadget.setString(k, want[k])
		} else {
			err = p.gadget.write(k, want[k])
			if gone(err) {
				return p.unknown(k + ", which this kernel does not have,")
			}
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", k, want[k], err)
		}
	}
	if strings {
		return p.gadget.tidyStrings(deviceStrings()...)
	}
	return nil
}

// makeGadget makes the directory. Its parent belongs to libcomposite.
func (p place) makeGadget() error {
	err := p.Files.Mkdir(p.gadget.path)
	if !gone(err) {
		return err
	}
	parent := path.Dir(p.gadget.path)
	if _, lerr := p.Files.Lstat(path.Dir(parent)); gone(lerr) {
		return fmt.Errorf("configfs is not mounted; run mount -t configfs none %s (systemd does it by sys-kernel-config.mount): %w", path.Dir(parent), err)
	}
	return fmt.Errorf("the kernel has no USB gadgets here; run modprobe libcomposite (CONFIG_USB_CONFIGFS), or mount configfs on %s: %w", path.Dir(parent), err)
}

// removeGadget leaves functions and configurations alone: they are others' to remove,
// and the kernel does not let a gadget go that has them.
func (p place) removeGadget() error {
	errs := []error{p.gadget.sub("strings").rmdirs(nil)}
	if err := p.gadget.rmdir(); err != nil {
		return errors.Join(append(errs, p.occupied(err))...)
	}
	return nil
}

// occupied says what is in the way of a gadget's removal, as something to go first.
func (p place) occupied(err error) error {
	for _, what := range []string{"configs", "functions"} {
		if names, _ := p.gadget.sub(what).entries(fs.ModeDir); len(names) > 0 {
			return fmt.Errorf("%s/%s is still there: %w (%w)", what, names[0], provision.ErrBusy, err)
		}
	}
	return err
}
