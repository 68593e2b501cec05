// Package fakekernel is the kernel's USB gadget subsystem in memory, for tests: what
// configfs answers to mkdir, rmdir, symlink, unlink and writes below usb_gadget/, in
// which order, with which number. Each rule names its source in Linux 6.1, and the
// test TestRules of package usbgadget asks a real kernel and this one the same
// questions.
package fakekernel

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/provision-net/provision/provision/host"
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

// find looks a path up in configfs or among the controllers.
func (k *Kernel) find(name string) (*node, error) {
	name = path.Clean(name)
	if rest, ok := strings.CutPrefix(name, Controllers); ok {
		return k.controllers().walk(rest)
	}
	if rest, ok := strings.CutPrefix(name, k.root.name); ok && (rest == "" || rest[0] == '/') {
		return k.root.walk(rest)
	}
	if name == Mount {
		top := &node{name: Mount, dir: true}
		top.children = []*node{k.root}
		return top, nil
	}
	return nil, syscall.ENOENT
}

func (k *Kernel) controllers() *node {
	n := &node{name: Controllers, dir: true}
	for u, c := range k.udcs {
		d := n.group(u)
		d.attr("function", func() string { return c.holder() + "\n" }, nil)
	}
	return n
}

func (c *controller) holder() string {
	if c.gadget != nil {
		return c.gadget.node.name
	}
	return c.driver
}

// ReadFile reads an attribute.
func (k *Kernel) ReadFile(name string, limit int64) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	switch {
	case err != nil:
	case n.dir || n.target != nil:
		err = host.ErrIrregular
	case n.show == nil:
		err = syscall.EACCES
	default:
		if v := n.show(); int64(len(v)) <= limit {
			return []byte(v), nil
		}
		err = host.ErrTooLarge
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: err}
}

// Lstat tells what a path is.
func (k *Kernel) Lstat(name string) (host.Info, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err != nil {
		return host.Info{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return host.Info{Mode: n.mode(), Size: 4096}, nil
}

func (n *node) mode() fs.FileMode {
	switch {
	case n.dir:
		return fs.ModeDir | 0o755
	case n.target != nil:
		return fs.ModeSymlink | 0o777
	}
	var m fs.FileMode
	if n.show != nil {
		m |= 0o444
	}
	if n.store != nil {
		m |= 0o200
	}
	return m
}

// ReadDir lists a directory by name.
func (k *Kernel) ReadDir(name string) ([]host.Entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []host.Entry
	for _, c := range n.children {
		out = append(out, host.Entry{Name: path.Base(c.name), Type: c.mode().Type()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Names lists a directory as configfs_readdir does.
func (k *Kernel) Names(name string) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	var out []string
	for _, c := range n.children {
		out = append(out, path.Base(c.name))
	}
	if k.OldestFirst {
		slices.Reverse(out)
	}
	return out, nil
}

// Readlink returns a link's target, which configfs gives relative to the link.
func (k *Kernel) Readlink(name string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, err := k.find(name)
	if err == nil && n.target == nil {
		err = syscall.EINVAL
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	up := strings.Count(strings.TrimPrefix(name, Mount), "/") - 1
	return strings.Repeat("../", up) + strings.TrimPrefix(n.target.path(), Mount+"/"), nil
}

// change does something to the directory or file of name, once Before has had its say.
func (k *Kernel) change(op, name string, do func(parent *node, base string) error) error {
	if k.Before != nil {
		k.Before(op, name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	parent, err := k.find(path.Dir(name))
	if err == nil && k.ReadOnly {
		err = syscall.EROFS
	}
	if err == nil {
		err = do(parent, path.Base(name))
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	k.changes++
	k.log = append(k.log, op+" "+strings.TrimPrefix(name, k.root.name+"/"))
	return nil
}

// Mkdir makes a directory.
func (k *Kernel) Mkdir(name string) error {
	return k.change("mkdir", name, func(parent *node, base string) error { return parent.mkdir(base) })
}

// Rmdir removes one.
func (k *Kernel) Rmdir(name string) error {
	return k.at("rmdir", name, (*node).rmdir)
}

// Unlink removes a link.
func (k *Kernel) Unlink(name string) error {
	return k.at("unlink", name, (*node).drops)
}

func (k *Kernel) at(op, name string, do func(n *node) error) error {
	return k.change(op, name, func(parent *node, base string) error {
		n := parent.child(base)
		if n == nil {
			return syscall.ENOENT
		}
		return do(n)
	})
}

// Symlink makes a link; its target is looked up at once.
func (k *Kernel) Symlink(target, name string) error {
	return k.change("symlink", name, func(parent *node, base string) error {
		n, _ := k.find(target)
		return parent.symlink(base, n)
	})
}

// WriteValue writes to an attribute.
func (k *Kernel) WriteValue(name, value string) error {
	return k.at("write", name, func(n *node) error {
		switch {
		case n.dir:
			return syscall.EISDIR
		case n.store == nil:
			return syscall.EACCES
		case value == "":
			return nil // never reaches the attribute
		}
		return n.store(value)
	})
}
