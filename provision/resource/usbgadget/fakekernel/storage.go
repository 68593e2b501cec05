package fakekernel

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// drive is a struct fsg_lun.
type drive struct {
	file                        string
	ro, cdrom, removable, nofua bool
	inquiry                     string
	locked                      bool // prevent_medium_removal
}

// storage has the attributes of f_mass_storage.c.
func (f *function) storage(g *gadget) {
	stall := false
	f.node.attr("stall", func() string { return digit(stall) }, f.frozen(func(v string) error {
		b, err := boolean(v)
		if err == nil {
			stall = b
		}
		return err
	}))
	first := f.node.group("lun.0")
	f.lun(first)
	luns := map[uint64]bool{0: true}
	f.node.make = func(name string) (*node, error) { // fsg_lun_make
		num, ok := strings.CutPrefix(name, "lun.")
		if !ok {
			return nil, syscall.EINVAL
		}
		n, err := number(num, 8)
		switch {
		case err != nil:
			return nil, err
		case n >= 16:
			return nil, syscall.ERANGE
		case f.refs > 0 || luns[n]:
			return nil, syscall.EBUSY
		}
		d := &node{drop: func() {
			g.detach() // fsg_lun_drop
			delete(luns, n)
		}}
		f.lun(d)
		luns[n] = true
		return d, nil
	}
}

// lun has the attributes of storage_common.c.
func (f *function) lun(n *node) {
	d := &drive{removable: true}
	n.element = d
	flag := func(name string, at *bool, set func(bool) error) {
		n.attr(name, func() string { return digit(*at) + "\n" }, func(v string) error {
			b, err := boolean(v)
			if err == nil && set != nil {
				err = set(b)
			}
			if err == nil {
				*at = b
			}
			return err
		})
	}
	ro := func(b bool) error { // _fsg_store_ro
		if d.file != "" {
			return syscall.EBUSY
		}
		d.ro = b
		return nil
	}
	n.attr("file", func() string {
		if d.file == "" {
			return ""
		}
		return d.file + "\n"
	}, func(v string) error {
		if d.locked && d.file != "" {
			return syscall.EBUSY // fsg_store_file
		}
		v = strings.TrimSuffix(v, "\n")
		if v != "" && !slices.Contains(f.k.Images, v) {
			return syscall.ENOENT // fsg_lun_open
		}
		d.file = v
		return nil
	})
	flag("ro", &d.ro, ro)
	flag("removable", &d.removable, nil)
	flag("cdrom", &d.cdrom, func(b bool) error {
		if b {
			return ro(true) // fsg_store_cdrom
		}
		return nil
	})
	flag("nofua", &d.nofua, nil)
	n.attr("inquiry_string", func() string { return d.inquiry + "\n" }, func(v string) error {
		if d.inquiry = strings.TrimSuffix(v, "\n"); d.inquiry != "" {
			d.inquiry = fmt.Sprintf("%-28s", v)
		}
		return nil
	})
	n.attr("forced_eject", nil, func(string) error {
		d.locked, d.file = false, ""
		return nil
	})
}
