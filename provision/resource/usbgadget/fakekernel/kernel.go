// Package fakekernel is the kernel's USB gadget subsystem in memory, for tests: what
// configfs answers to mkdir, rmdir, symlink, unlink and writes below usb_gadget/, in
// which order, with which number. Each rule names its source in Linux 6.1, and the
// test TestRules of package usbgadget asks a real kernel and this one the same
// questions.
package fakekernel

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Mount is where the fake's configfs is, Controllers its list of controllers.
const (
	Mount       = "/sys/kernel/config"
	Controllers = "/sys/class/udc"
)

// Kernel is one machine. It has what usbgadget.Files asks for. Its fields are set
// before use.
type Kernel struct {
	// Kinds are the functions that the kernel has.
	Kinds []string
	// Images are the files that a drive can have for its medium.
	Images []string
	// ReadOnly: configfs is mounted read-only.
	ReadOnly bool
	// Endpoints bounds the IN endpoints of a controller; 0 is no bound.
	Endpoints int
	// OldestFirst lists directories the other way round, should a kernel ever do so.
	OldestFirst bool
	// Before, when set, is called before each change with its kind (mkdir, rmdir,
	// symlink, unlink, write) and path. It may panic, like a machine that loses power.
	Before func(op, path string)

	mu      sync.Mutex
	root    *node // usb_gadget
	udcs    map[string]*controller
	gadgets []*gadget
	netdevs map[string]bool
	serials [8]bool // u_serial.c MAX_U_SERIAL_PORTS
	hids    int
	macs    int
	changes int
	unplugs int
	log     []string
}

// controller is a UDC. Its driver is a gadget's name or that of a legacy driver.
type controller struct {
	gadget *gadget
	driver string
}

// New returns a machine with every kind of function and these controllers.
func New(udcs ...string) *Kernel {
	k := &Kernel{
		Kinds:   []string{"acm", "ecm", "eem", "gser", "hid", "mass_storage", "ncm", "rndis"},
		Images:  []string{"/images/one.img", "/images/two.img"},
		udcs:    map[string]*controller{},
		netdevs: map[string]bool{},
	}
	k.root = &node{name: Mount + "/usb_gadget", dir: true, make: k.makeGadget}
	for _, u := range udcs {
		k.udcs[u] = &controller{}
	}
	return k
}

// Changes counts what has been changed so far.
func (k *Kernel) Changes() int { return k.changes }

// Unplugs counts how often a host has seen a gadget go.
func (k *Kernel) Unplugs() int { return k.unplugs }

// Log has one line for each change that succeeded.
func (k *Kernel) Log() []string { return slices.Clone(k.log) }

// AddUDC adds a controller; a gadget that waits for it is bound (udc/core.c
// gadget_match_driver, from 5.19 on).
func (k *Kernel) AddUDC(name string) {
	k.udcs[name] = &controller{}
	for _, g := range k.gadgets {
		if g.udc == name {
			_ = g.attach(name)
		}
	}
}

// RemoveUDC takes a controller away. The gadget that was bound to it does not know:
// its UDC file keeps the name.
func (k *Kernel) RemoveUDC(name string) {
	if c := k.udcs[name]; c != nil && c.gadget != nil {
		k.unplugs++
	}
	delete(k.udcs, name)
}

// Occupy binds a legacy driver ("g_ether") to a controller; "" takes it off.
func (k *Kernel) Occupy(udc, driver string) { k.udcs[udc].driver = driver }

// Lock is what a host does that uses a drive: gadget and function name it.
func (k *Kernel) Lock(gadget, function, lun string) {
	n, err := k.root.walk(gadget + "/functions/" + function + "/" + lun)
	if err != nil {
		panic(err)
	}
	n.element.(*drive).locked = true
}

// Netdevs returns the network devices of gadgets by name, with their address.
func (k *Kernel) Netdevs() map[string]string {
	out := map[string]string{}
	for _, g := range k.gadgets {
		for _, f := range g.functions {
			if f.eth != nil && f.eth.netdev != "" {
				out[f.eth.netdev] = f.eth.dev
			}
		}
	}
	return out
}

// Interfaces returns the kinds of functions that a bound gadget shows to its host, in
// the order of their interfaces, one list for each configuration.
func (k *Kernel) Interfaces(udc string) [][]string {
	c := k.udcs[udc]
	if c == nil || c.gadget == nil {
		return nil
	}
	var out [][]string
	for _, cfg := range c.gadget.configs {
		var kinds []string
		for _, f := range cfg.functions {
			kinds = append(kinds, f.node.name)
		}
		out = append(out, kinds)
	}
	return out
}

// String prints everything below usb_gadget.
func (k *Kernel) String() string {
	var b strings.Builder
	var show func(n *node, prefix string)
	show = func(n *node, prefix string) {
		list := slices.Clone(n.children)
		sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
		for _, c := range list {
			name := prefix + c.name
			switch {
			case c.dir:
				fmt.Fprintf(&b, "%s/\n", name)
				show(c, name+"/")
			case c.target != nil:
				fmt.Fprintf(&b, "%s -> %s\n", name, c.target.name)
			case c.show != nil:
				fmt.Fprintf(&b, "%s %q\n", name, c.show())
			}
		}
	}
	show(k.root, "")
	return b.String()
}
