package udc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Files is how sysfs is reached. *host.Root is one.
type Files interface {
	WriteValue(path, value string) error
	Readlink(path string) (string, error)
	ReadFile(path string, limit int64) ([]byte, error)
}

// Control moves one controller. Paths are below /sys of Files.
type Control struct {
	Files Files
	UDC   string // its name, as in /sys/class/udc
	// Pause is how long the host is left without the device, 500 ms when zero: a hub debounces for
	// 100 ms (USB 2.0 section 7.1.7.3), and systems look again later.
	Pause time.Duration
}

func (c Control) file(name string) (string, error) {
	if !Valid(c.UDC) {
		return "", fmt.Errorf("%q is no name of a USB device controller", c.UDC)
	}
	return path.Join("/sys/class/udc", c.UDC, name), nil
}

// State is the controller's state, and empty when there is no such controller.
func (c Control) State() (string, error) {
	p, err := c.file("state")
	if err != nil {
		return "", err
	}
	b, err := c.Files.ReadFile(p, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// Reconnect takes the device off the bus for a moment by soft_connect. It does not wait for the
// host. It connects again even if ctx ends meanwhile.
func (c Control) Reconnect(ctx context.Context) error {
	p, err := c.file("soft_connect")
	if err != nil {
		return err
	}
	if err := c.Files.WriteValue(p, "disconnect\n"); err != nil {
		return fmt.Errorf("cannot disconnect %s: %w", c.UDC, err)
	}
	c.wait(ctx)
	if err := c.Files.WriteValue(p, "connect\n"); err != nil {
		return fmt.Errorf("cannot connect %s again: %w", c.UDC, err)
	}
	return nil
}

func (c Control) wait(ctx context.Context) {
	d := c.Pause
	if d <= 0 {
		d = 500 * time.Millisecond
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Driver is the device under the controller and the directory of its driver: "20980000.usb",
// "/sys/bus/platform/drivers/dwc2".
func (c Control) Driver() (device, driver string, err error) {
	p, err := c.file("device")
	if err != nil {
		return "", "", err
	}
	if device, err = c.Files.Readlink(p); err != nil {
		return "", "", fmt.Errorf("cannot find the device of %s: %w", c.UDC, err)
	}
	if driver, err = c.Files.Readlink(path.Join(p, "driver")); err != nil {
		return "", "", fmt.Errorf("cannot find the driver of %s: %w", c.UDC, err)
	}
	// Both links are relative: ../../../20980000.usb, ../../../../bus/platform/drivers/dwc2.
	_, rest, ok := strings.Cut(driver, "bus/")
	device = path.Base(device)
	if !ok || !Valid(device) || strings.Contains(rest, "..") {
		return "", "", fmt.Errorf("cannot find the driver of %s: it is said to be %s", c.UDC, driver)
	}
	return device, "/sys/bus/" + rest, nil
}

// RebindDriver takes the controller's driver off its device and puts it there again: the controller
// goes and another of the same name comes, without a gadget on kernels before 5.19. It binds even
// if ctx ends meanwhile. The driver dwc3 has been seen to leak memory by this (jetkvm/kvm issue
// 1641).
func (c Control) RebindDriver(ctx context.Context) error {
	device, driver, err := c.Driver()
	if err != nil {
		return err
	}
	if err := c.Files.WriteValue(path.Join(driver, "unbind"), device); err != nil {
		return fmt.Errorf("cannot take the driver off %s: %w", device, err)
	}
	c.wait(ctx)
	if err := c.Files.WriteValue(path.Join(driver, "bind"), device); err != nil {
		return fmt.Errorf("cannot put the driver on %s again: %w; next: echo %s > %s/bind", device, err, device, driver)
	}
	return nil
}

// NoSoft reports whether soft_connect is known not to work with the controller: after a disconnect
// dummy_hcd's refuses to connect (EPROTO at the host) until a gadget is bound anew.
func NoSoft(udc string) bool { return strings.HasPrefix(udc, "dummy_udc.") }
