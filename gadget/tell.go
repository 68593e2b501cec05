package gadget

import (
	"github.com/provision-net/provision/gadget/layout"
)

// tell has notes about what no want says.
func (p *planner) tell() {
	if p.seed.Serial == "" {
		p.note("info", "gadget.serial", "addresses are made of %s", p.seed.Source)
	}
	for _, g := range p.gadgets {
		at := "gadget." + g.Path
		for _, have := range p.Facts.USB.Gadgets {
			if have.Name != g.dev.Name || have.UDC == "" {
				continue
			}
			switch {
			case have.UDC != g.dev.UDC:
				p.note("warning", at+"udc", "it moves from %s to %s: a host on the first one sees an unplug", have.UDC, g.dev.UDC)
			case have.Device != g.dev.BCD:
				p.note("warning", at+"profile", "its layout changes: a host that is plugged in sees an unplug and then another device (bcdDevice %s becomes %s), for which Windows chooses its drivers anew", have.Device, g.dev.BCD)
			}
		}
		rndis, ncm := false, false
		for _, f := range g.layout.Functions() {
			rndis, ncm = rndis || f.Type == layout.RNDIS, ncm || f.Type == layout.NCM
		}
		if rndis && len(g.layout.Configs) == 1 {
			p.note("info", at+"profile", "macOS has no driver for RNDIS; modern works there")
			if ncm {
				p.note("info", at+"functions", "Linux and Windows 11 take both RNDIS and NCM: they have two adapters for this machine")
			}
		}
		if ncm && !p.describesNCM() {
			p.note("info", at+"profile", "kernel %s does not describe NCM to Windows 10: it works with Windows 11, macOS and Linux", p.Facts.Machine.Kernel)
		}
		for _, x := range g.parts {
			if x.Writable {
				p.note("warning", "gadget."+x.path+".writable", "the host may write to %s at any time: nothing here can use it meanwhile", x.Image)
			}
		}
		if g.Profile == Auto && g.RNDIS && !g.dev.May {
			p.note("info", at+"rndis", "the kernel lacks ECM or RNDIS, so profile auto stays with modern")
		}
	}
}

// offline plans for a mounted image: files only. What is made of the board comes when it runs.
func (p *planner) offline() {
	var links []Link
	for i := range p.gadgets {
		g := &p.gadgets[i]
		g.dev = Device{Name: g.name(), Asked: g.Profile, Profile: g.profile, Bridge: g.Bridge, LED: g.LED, BCD: hexBCD(g.layout.BCD())}
		var made []Link
		for j := range g.parts {
			x := &g.parts[j]
			f := DeviceFunction{Name: x.at.Name(), Type: x.Type, Config: configName(*x), Login: x.Login, Image: x.Image}
			if x.at.Network() {
				x.Interface = p.called(g, x)
				f.Interface = x.Interface
				made = append(made, Link{Gadget: g.dev.Name, Name: x.Interface, Router: x.Router, Routes: prefixes(x.Routes), Functions: []string{f.Name}})
			}
			g.dev.Functions = append(g.dev.Functions, f)
		}
		if g.Bridge != "" && len(made) > 0 {
			b := Link{Gadget: g.dev.Name, Name: g.Bridge, Bridge: true, Router: made[0].Router, Routes: made[0].Routes}
			for _, l := range made {
				b.Ports, b.Functions = append(b.Ports, l.Name), append(b.Functions, l.Functions...)
			}
			made = []Link{b}
		}
		links = append(links, made...)
		p.ttys(g)
		p.r.Devices = append(p.r.Devices, g.dev)
	}
	p.r.Links = links
	p.keepOff()
	p.logins()
	p.unit()
	p.intents()
	p.r.Links = nil // they are served where the board is known
	for _, g := range p.gadgets {
		for _, x := range g.layout.Functions() {
			if !p.has(x.Type) {
				p.note("warning", "gadget."+g.Path+"profile", "no kernel of the image has the function %s (usb_f_%s)", x.Type, x.Type)
			}
		}
	}
}
