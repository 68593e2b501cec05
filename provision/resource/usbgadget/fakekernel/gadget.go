package fakekernel

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// gadget is struct gadget_info of configfs.c.
type gadget struct {
	k         *Kernel
	node      *node
	udc       string
	functions []*function
	configs   []*config
	langs     []uint64

	vendor, product, bcdDevice, bcdUSB uint16
	class, subclass, protocol, packet  uint8
	speed                              string
	useDesc                            bool
	code                               int8
	sign                               [7]byte
	described                          *config
}

type config struct {
	node       *node
	number     uint8
	maxPower   uint16
	attributes uint8
	functions  []*function // in the order of their links
	langs      []uint64
}

func speeds() []string {
	return []string{"low-speed", "full-speed", "high-speed", "super-speed", "super-speed-plus"}
}

// bcd: each digit must be a decimal one (configfs.c is_valid_bcd).
func bcd(v uint64) error {
	for ; v > 0; v >>= 4 {
		if v&0xf > 9 {
			return syscall.EINVAL
		}
	}
	return nil
}

// makeGadget is gadgets_make.
func (k *Kernel) makeGadget(string) (*node, error) {
	g := &gadget{k: k, speed: "super-speed-plus", bcdDevice: 0x0601}
	n := &node{element: g}
	g.node = n
	unsigned(n, "bDeviceClass", "0x%02x\n", 8, &g.class, nil)
	unsigned(n, "bDeviceSubClass", "0x%02x\n", 8, &g.subclass, nil)
	unsigned(n, "bDeviceProtocol", "0x%02x\n", 8, &g.protocol, nil)
	unsigned(n, "bMaxPacketSize0", "0x%02x\n", 8, &g.packet, nil)
	unsigned(n, "idVendor", "0x%04x\n", 16, &g.vendor, nil)
	unsigned(n, "idProduct", "0x%04x\n", 16, &g.product, nil)
	unsigned(n, "bcdDevice", "0x%04x\n", 16, &g.bcdDevice, bcd)
	unsigned(n, "bcdUSB", "0x%04x\n", 16, &g.bcdUSB, bcd)
	n.attr("UDC", func() string { return g.udc + "\n" }, g.storeUDC)
	n.attr("max_speed", func() string { return g.speed + "\n" }, func(v string) error {
		// gadget_dev_desc_max_speed_store
		if v = strings.TrimSuffix(v, "\n"); g.udc != "" || !slices.Contains(speeds(), v) {
			return syscall.EINVAL
		}
		g.speed = v
		return nil
	})
	f := n.group("functions")
	f.make = g.makeFunction
	c := n.group("configs")
	c.make = g.makeConfig
	stringsGroup(n.group("strings"), &g.langs, "manufacturer", "product", "serialnumber")
	g.osDesc(n.group("os_desc"))
	n.drop = func() { k.gadgets = slices.DeleteFunc(k.gadgets, func(x *gadget) bool { return x == g }) }
	k.gadgets = append(k.gadgets, g)
	return n, nil
}

// stringsGroup is USB_CONFIG_STRINGS_LANG: a directory for each language.
func stringsGroup(n *node, langs *[]uint64, names ...string) {
	n.make = func(name string) (*node, error) {
		lang, err := number(name, 16)
		if err != nil {
			return nil, err
		}
		// check_user_usb_string
		if p := lang & 0x3ff; p == 0 || p >= 0x62 && p <= 0xfe || p >= 0x100 || lang>>10 == 0 {
			return nil, syscall.EINVAL
		}
		if slices.Contains(*langs, lang) {
			return nil, syscall.EEXIST
		}
		*langs = append(*langs, lang)
		d := &node{drop: func() { *langs = slices.DeleteFunc(*langs, func(l uint64) bool { return l == lang }) }}
		for _, s := range names {
			str(d, s, new(string))
		}
		return d, nil
	}
}

// makeConfig is config_desc_make.
func (g *gadget) makeConfig(name string) (*node, error) {
	if len(name) >= 40 {
		return nil, syscall.ENAMETOOLONG
	}
	label, num, ok := strings.Cut(name, ".")
	if !ok || label == "" {
		return nil, syscall.EINVAL
	}
	n, err := number(num, 8)
	if err != nil {
		return nil, err
	}
	// composite.c usb_add_config_only
	if n == 0 {
		return nil, syscall.EINVAL
	}
	for _, c := range g.configs {
		if c.number == uint8(n) {
			return nil, syscall.EBUSY
		}
	}
	c := &config{number: uint8(n), maxPower: 2, attributes: 0x80}
	c.node = &node{element: c}
	unsigned(c.node, "MaxPower", "%d\n", 16, &c.maxPower, func(v uint64) error {
		if (v+7)/8 > 0xff {
			return syscall.ERANGE
		}
		return nil
	})
	unsigned(c.node, "bmAttributes", "0x%02x\n", 8, &c.attributes, func(v uint64) error {
		if v&0x80 == 0 || v&^0xe0 != 0 {
			return syscall.EINVAL
		}
		return nil
	})
	stringsGroup(c.node.group("strings"), &c.langs, "configuration")
	c.node.allow = func(t *node) error { return g.link(c, t) }
	c.node.unlink = func(t *node) { g.unlink(c, t) }
	c.node.drop = func() { g.configs = slices.DeleteFunc(g.configs, func(x *config) bool { return x == c }) }
	g.configs = append(g.configs, c)
	return c.node, nil
}

// link is config_usb_cfg_link.
func (g *gadget) link(c *config, target *node) error {
	f, ok := target.element.(*function)
	switch {
	case g.udc != "", !ok, !slices.Contains(g.functions, f):
		return syscall.EINVAL
	case slices.Contains(c.functions, f):
		return syscall.EEXIST
	}
	f.refs++
	c.functions = append(c.functions, f)
	return nil
}

// unlink is config_usb_cfg_unlink: it unbinds the gadget by force.
func (g *gadget) unlink(c *config, target *node) {
	g.detach()
	f := target.element.(*function)
	f.refs--
	c.functions = slices.DeleteFunc(c.functions, func(x *function) bool { return x == f })
}

// osDesc is the group of os_desc_ops.
func (g *gadget) osDesc(n *node) {
	n.attr("use", func() string { return digit(g.useDesc) + "\n" }, func(v string) error {
		b, err := boolean(v)
		if err == nil {
			g.useDesc = b
		}
		return err
	})
	// A char, printed as an int: os_desc_b_vendor_code_show.
	n.attr("b_vendor_code", func() string { return fmt.Sprintf("0x%02x\n", uint32(int32(g.code))) }, func(v string) error {
		x, err := number(v, 8)
		if err == nil {
			g.code = int8(x)
		}
		return err
	})
	// Kept as UTF-16; os_desc_qw_sign_show gives it as UTF-8 where it once gave 14 bytes.
	n.attr("qw_sign", func() string { return strings.TrimRight(string(g.sign[:]), "\x00") + "\n" }, func(v string) error {
		// os_desc_qw_sign_store: the rest of a longer one stays, and nothing written
		// is told as nothing taken.
		l := min(len(v), 7)
		if v[l-1] == '\n' {
			l--
		}
		if l == 0 || v[0] == 0 {
			return errors.New("the kernel took 0 bytes")
		}
		copy(g.sign[:l], v)
		return nil
	})
	n.allow = func(t *node) error {
		c, ok := t.element.(*config)
		switch {
		case !ok, !slices.Contains(g.configs, c):
			return syscall.EINVAL
		case g.described != nil:
			return syscall.EBUSY
		}
		g.described = c
		return nil
	}
	n.unlink = func(*node) {
		g.detach()
		g.described = nil
	}
}

// storeUDC is gadget_dev_desc_UDC_store.
func (g *gadget) storeUDC(v string) error {
	if strings.IndexByte(v, 0) >= 0 {
		return syscall.EOVERFLOW
	}
	name := strings.TrimSuffix(v, "\n")
	switch {
	case name == "" && g.udc == "":
		return syscall.ENODEV
	case name == "":
		g.detach()
		return nil
	case g.udc != "":
		return syscall.EBUSY
	}
	// udc/core.c usb_gadget_register_driver_owner: whatever was wrong, the driver found
	// no controller.
	if err := g.attach(name); err != nil {
		return syscall.EBUSY
	}
	g.udc = name
	return nil
}

// attach is configfs_composite_bind.
func (g *gadget) attach(name string) error {
	c := g.k.udcs[name]
	if c == nil || c.holder() != "" {
		return syscall.EBUSY
	}
	in := 0
	if len(g.configs) == 0 {
		return syscall.EINVAL
	}
	for _, cfg := range g.configs {
		if len(cfg.functions) == 0 {
			return syscall.EINVAL
		}
		use := 0
		for _, f := range cfg.functions {
			if f.kind == "hid" && f.refs > 1 {
				return syscall.EEXIST // f_hid.c hidg_bind registers its device once more
			}
			use += f.endpoints()
		}
		in = max(in, use) // configurations share them: only one is in use at a time
	}
	if g.k.Endpoints > 0 && in > g.k.Endpoints {
		return syscall.ENODEV
	}
	for _, cfg := range g.configs {
		for _, f := range cfg.functions {
			f.register()
		}
	}
	c.gadget = g
	return nil
}

func (g *gadget) detach() {
	if g.udc == "" {
		return
	}
	if c := g.k.udcs[g.udc]; c != nil && c.gadget == g {
		c.gadget = nil
		g.k.unplugs++
	}
	g.udc = ""
}
