package fakekernel

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// function is a struct usb_function_instance.
type function struct {
	k    *Kernel
	node *node
	kind string
	refs int // links to it
	eth  *ethernet
	port int // of u_serial, -1 for none
}

type ethernet struct {
	dev, host string
	qmult     uint
	ifname    string // pattern, or "" for the kernel's own
	netdev    string // once bound, until the function goes
}

// frozen is what the functions' stores begin with: EBUSY once linked.
func (f *function) frozen(store func(string) error) func(string) error {
	return func(v string) error {
		if f.refs > 0 {
			return syscall.EBUSY
		}
		return store(v)
	}
}

// makeFunction is function_make.
func (g *gadget) makeFunction(name string) (*node, error) {
	if len(name) >= 40 {
		return nil, syscall.ENAMETOOLONG
	}
	kind, _, ok := strings.Cut(name, ".")
	switch {
	case !ok:
		return nil, syscall.EINVAL
	case !slices.Contains(g.k.Kinds, kind):
		return nil, syscall.ENOENT // usb_get_function_instance, after its request_module
	}
	f := &function{k: g.k, kind: kind, port: -1}
	f.node = &node{element: f}
	switch kind {
	case "acm", "gser":
		if f.port = slices.Index(g.k.serials[:], false); f.port < 0 {
			return nil, syscall.EBUSY // u_serial.c gserial_alloc_line
		}
		g.k.serials[f.port] = true
		f.node.attr("port_num", func() string { return fmt.Sprintf("%d\n", f.port) }, nil)
	case "hid":
		if g.k.hids == 4 {
			return nil, syscall.ENODEV // f_hid.c HIDG_MINORS
		}
		g.k.hids++
		f.hid()
	case "mass_storage":
		f.storage(g)
	default:
		f.ethernet()
	}
	f.node.drop = func() {
		g.functions = slices.DeleteFunc(g.functions, func(x *function) bool { return x == f })
		if f.port >= 0 {
			g.k.serials[f.port] = false
		}
		if f.kind == "hid" {
			g.k.hids--
		}
		if f.eth != nil {
			delete(g.k.netdevs, f.eth.netdev)
		}
	}
	g.functions = append(g.functions, f)
	return f.node, nil
}

// endpoints is the number of IN endpoints besides the first.
func (f *function) endpoints() int {
	switch f.kind {
	case "eem", "hid", "mass_storage", "gser":
		return 1
	}
	return 2
}

// ethernet has the attributes of u_ether_configfs.h.
func (f *function) ethernet() {
	e := &ethernet{dev: f.k.randomMAC(), host: f.k.randomMAC(), qmult: 5}
	f.eth = e
	// u_ether.c gether_get_dev_addr counts the end of the text as part of it.
	mac := func(name string, at *string) {
		f.node.attr(name, func() string { return *at + "\x00\n" }, f.frozen(func(v string) error {
			b, err := hex.DecodeString(strings.NewReplacer(":", "", ".", "").Replace(strings.TrimSuffix(v, "\n")))
			if err != nil || len(b) != 6 || b[0]&1 != 0 || strings.Trim(string(b), "\x00") == "" {
				return syscall.EINVAL
			}
			*at = fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
			return nil
		}))
	}
	mac("dev_addr", &e.dev)
	mac("host_addr", &e.host)
	n := &node{}
	unsigned(n, "qmult", "%d\n", 8, &e.qmult, nil)
	f.node.attr("qmult", n.children[0].show, f.frozen(n.children[0].store))
	f.node.attr("ifname", func() string {
		switch {
		case e.netdev != "":
			return e.netdev + "\n"
		case e.ifname != "":
			return e.ifname + "\n"
		}
		return "(unnamed net_device)\n"
	}, f.frozen(func(v string) error {
		// u_ether.c gether_set_ifname
		v = strings.TrimSuffix(v, "\n")
		if strings.Count(v, "%") != 1 || !strings.Contains(v, "%d") || len(v) > 15 || strings.ContainsAny(v, "/: ") {
			return syscall.EINVAL
		}
		e.ifname = v
		return nil
	}))
	if f.kind == "rndis" {
		class := []uint8{0x02, 0x06, 0x00}
		for i, name := range []string{"class", "subclass", "protocol"} {
			at := &class[i]
			f.node.attr(name, func() string { return fmt.Sprintf("%02x\n", *at) }, f.frozen(func(v string) error {
				// Two hexadecimal digits and no prefix: USB_ETHER_CONFIGFS_ITEM_ATTR_U8_RW.
				var x uint8
				if n, _ := fmt.Sscanf(v[:min(2, len(v))], "%x", &x); n != 1 && !strings.HasPrefix(v, "0") {
					return syscall.EINVAL
				}
				*at = x
				return nil
			}))
		}
	}
	if f.kind == "rndis" || f.kind == "ncm" {
		i := f.node.group("os_desc").group("interface." + f.kind)
		bytesOf(i, "compatible_id", new([8]byte))
		bytesOf(i, "sub_compatible_id", new([8]byte))
		i.make = makeProperty
	}
}

// makeProperty is ext_prop_make.
func makeProperty(string) (*node, error) {
	var kind uint8
	var data string
	n := &node{}
	isText := func() bool { return kind == 1 || kind == 2 || kind == 6 }
	unsigned(n, "type", "%d\n", 8, &kind, func(v uint64) error {
		if v < 1 || v > 7 {
			return syscall.EINVAL
		}
		return nil
	})
	n.attr("data", func() string {
		if isText() && data != "" {
			return data + "\x00" // one byte too many: ext_prop_data_show
		}
		return data
	}, func(v string) error {
		if last := v[len(v)-1]; last == '\n' || last == 0 {
			v = v[:len(v)-1]
		}
		data = v
		return nil
	})
	return n, nil
}

func (k *Kernel) randomMAC() string {
	k.macs++
	return fmt.Sprintf("02:aa:00:00:%02x:%02x", k.macs>>8, k.macs&0xff)
}

// register names the network device at the first bind (u_ether.c
// gether_register_netdev); it stays until the function goes.
func (f *function) register() {
	if f.eth == nil || f.eth.netdev != "" {
		return
	}
	pattern := f.eth.ifname
	if pattern == "" {
		pattern = "usb%d"
	}
	for i := 0; ; i++ {
		name := strings.Replace(pattern, "%d", fmt.Sprint(i), 1)
		if !f.k.netdevs[name] {
			f.eth.netdev, f.k.netdevs[name] = name, true
			return
		}
	}
}

// hid has the attributes of f_hid.c.
func (f *function) hid() {
	var protocol, subclass, noOut uint8
	var length uint16
	var desc string
	add := func(name string, bits int, at any) {
		n := &node{}
		switch at := at.(type) {
		case *uint8:
			unsigned(n, name, "%d\n", bits, at, nil)
		case *uint16:
			unsigned(n, name, "%d\n", bits, at, nil)
		}
		f.node.attr(name, n.children[0].show, f.frozen(n.children[0].store))
	}
	add("subclass", 8, &subclass)
	add("protocol", 8, &protocol)
	add("no_out_endpoint", 8, &noOut)
	add("report_length", 16, &length)
	f.node.attr("report_desc", func() string { return desc }, f.frozen(func(v string) error {
		desc = v
		return nil
	}))
	f.node.attr("dev", func() string { return "236:0\n" }, nil)
}
