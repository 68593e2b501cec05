package gadget

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/provision-net/provision/gadget/identity"
	"github.com/provision-net/provision/gadget/layout"
	"github.com/provision-net/provision/gadget/subnet"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

type planner struct {
	Input
	c    Config
	r    Result
	errs refused
	seed identity.Seed

	gadgets []gadget
	names   []string // of interfaces that are given out
	ports   int      // serial ports that are given out
	after   provision.Desired
	taken   subnet.Taken
}

// gadget is one of them as it is planned.
type gadget struct {
	Placed
	profile string
	parts   []part
	layout  layout.Gadget
	dev     Device
	udc     facts.UDC
}

//go:noinline
func (p *planner) note(level, subject, format string, args ...any) {
	n := provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)}
	if !slices.Contains(p.r.Desired.Notes, n) {
		p.r.Desired.Notes = append(p.r.Desired.Notes, n)
	}
}

func (p *planner) plan() {
	for _, g := range p.c.All() {
		if g.Path == "" && reflect.ValueOf(g.Gadget).IsZero() {
			continue
		}
		x := gadget{Placed: g, profile: p.settled(g)}
		x.parts = g.parts(x.profile)
		x.layout = arrange(x.parts)
		p.gadgets = append(p.gadgets, x)
	}
	if p.Facts.Machine.Offline {
		p.offline()
		return
	}
	var ok bool
	m := p.Facts.Machine
	if p.seed, ok = identity.New(m.Serial, m.MachineID, p.c.Serial); !ok {
		p.lacks("serial", "this machine has neither a serial number nor an id in /etc/machine-id, so nothing tells it from others: write one, or run systemd-machine-id-setup")
		return
	}
	p.kernel()
	p.controllers()
	for i := range p.gadgets {
		p.identify(&p.gadgets[i])
		p.ttys(&p.gadgets[i])
		p.images(&p.gadgets[i])
	}
	p.macs()
	if len(p.errs) > 0 {
		return
	}
	p.occupied()
	for i := range p.gadgets {
		p.net(i, &p.gadgets[i])
	}
	if len(p.errs) > 0 {
		return
	}
	// The managers are told first: they would take an interface in the moment it appears.
	p.keepOff()
	var usb []provision.Want
	for i := range p.gadgets {
		usb = append(usb, p.usb(&p.gadgets[i])...)
		p.r.Devices = append(p.r.Devices, p.gadgets[i].dev)
	}
	p.r.Desired.Wants = append(p.r.Desired.Wants, usb...)
	p.r.Desired.Holds = append(p.r.Desired.Holds, usbgadget.Holds(usb)...)
	p.r.Desired.Append(p.after)
	p.logins()
	p.unit()
	p.intents()
	p.tell()
}

// settled is the profile that is meant now.
func (p *planner) settled(g Placed) string {
	if g.Profile != Auto {
		return g.Profile
	}
	if g.RNDIS && (p.Settled[g.name()] == Classic || !p.has(layout.NCM)) {
		return Classic
	}
	return Modern
}

// kernel refuses what this machine cannot do at all.
func (p *planner) kernel() {
	u := p.Facts.USB
	switch {
	case u.ConfigFS == "":
		p.lacks("profile", "configfs is not mounted: run `mount -t configfs none %s`, or start sys-kernel-config.mount", usbgadget.Mount)
	case !u.LibComposite:
		p.lacks("profile", "the kernel has no USB gadgets loaded: run `modprobe libcomposite`; a kernel without that module cannot be a USB device")
	}
	for _, g := range p.gadgets {
		var missing []string
		for _, f := range g.layout.Functions() {
			if u.Functions[f.Type] == facts.SupportMissing && !slices.Contains(missing, f.Type) {
				missing = append(missing, f.Type)
			}
		}
		if len(missing) == 0 {
			continue
		}
		next := "install a kernel that has it, or choose a profile without it"
		if g.Profile == Auto && slices.Contains(missing, layout.NCM) {
			next = "install a kernel that has it, or let classic take its place with rndis: true"
		}
		p.lacks(g.Path+"profile", "the kernel has no function %s (usb_f_%s): %s", strings.Join(missing, ", "), missing[0], next)
	}
}

// identify settles what the host is told about the gadget.
func (p *planner) identify(g *gadget) {
	vendor, product := uint16(0x1d6b), uint16(0x0104)
	if v, err := hex16(g.VendorID); g.VendorID != "" && err == nil {
		vendor = v
	}
	if v, err := hex16(g.ProductID); g.ProductID != "" && err == nil {
		product = v
	}
	serial := g.Serial
	if serial == "" {
		serial = cut(p.seed.Number())
	}
	if more, ok := strings.CutPrefix(g.name(), usbgadget.Name); ok && g.Path != "" && g.Serial == "" {
		serial = cut(serial + more) // one host may see several, and Windows takes no serial number twice
	}
	if vendor == 0x1209 && product <= 0x0010 {
		p.note("warning", g.Path+"product-id", "1209:%04x is for tests on one's own desk only (pid.codes): a unit that goes to somebody else needs an id of its own", product)
	}
	in := 0
	for _, c := range g.layout.Configs {
		n, _ := c.Endpoints()
		in = max(in, n)
	}
	g.dev = Device{Name: g.name(), Asked: g.Profile, Profile: g.profile, UDC: g.udc.Name, Vendor: usbgadget.Hex16(vendor), Product: usbgadget.Hex16(product),
		BCD: hexBCD(g.layout.BCD()), Serial: serial, Endpoints: in, Budget: budget(g.udc), Bridge: g.Bridge, LED: g.LED,
		May: g.Profile == Auto && g.RNDIS && p.has(layout.RNDIS) && p.has(layout.ECM)}
	for i := range g.parts {
		x := &g.parts[i]
		f := DeviceFunction{Name: x.at.Name(), Type: x.Type, Config: configName(*x), Login: x.Login, Image: x.Image}
		if x.at.Network() {
			if x.MAC == "" {
				x.MAC = p.seed.MAC(g.dev.Name, x.at.Name(), identity.Here)
			}
			if x.HostMAC == "" {
				x.HostMAC = p.hostMAC(g, x.at.Name())
			}
			x.MAC, x.HostMAC = strings.ToLower(x.MAC), strings.ToLower(x.HostMAC)
			f.MAC, f.HostMAC = x.MAC, x.HostMAC
		}
		g.dev.Functions = append(g.dev.Functions, f)
	}
	p.fits(g)
}

// has reports whether the kernel may have a function; what is not known may be there.
func (p *planner) has(typ string) bool { return p.Facts.USB.Functions[typ] != facts.SupportMissing }

func (p *planner) hostMAC(g *gadget, function string) string {
	if oui, err := parseOUI(g.HostOUI); err == nil {
		return p.seed.Universal(oui, g.dev.Name, function, identity.Host)
	}
	return p.seed.MAC(g.dev.Name, function, identity.Host)
}

// macs holds all sides of all links apart: given ones may meet made ones.
func (p *planner) macs() {
	seen := map[string]string{}
	for _, g := range p.gadgets {
		for _, x := range g.parts {
			if !x.at.Network() {
				continue
			}
			for _, s := range [][2]string{{"mac", x.MAC}, {"host-mac", x.HostMAC}} {
				if first, twice := seen[s[1]]; twice {
					p.fail(x.path+"."+s[0], "%s is already %s: both sides of every link need their own", s[1], first)
				}
				seen[s[1]] = x.path + "." + s[0]
			}
		}
	}
}

func configName(x part) string { return layout.Config{Number: int(x.Configuration)}.Name() }

func hexBCD(v uint16) string { return usbgadget.Hex16(v) }

// cut is a string that fits into a descriptor.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	for len(s) > MaxString {
		r := []rune(s)
		s = string(r[:len(r)-1])
	}
	return s
}
