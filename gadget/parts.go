package gadget

import (
	"fmt"
	"strconv"

	"github.com/provision-net/provision/gadget/layout"
)

// part is one function of a gadget with everything that the configuration alone settles.
type part struct {
	Function
	path string          // of the function in the slice, or of the gadget for a profile's own: "more[0].functions[1]"
	at   layout.Function // as configfs has it
}

// kernelType is a function's type in configfs, by its word in the configuration.
func kernelType(word string) string {
	if word == "mass-storage" {
		return layout.MassStorage
	}
	return word
}

// network reports whether a type is a network card.
func network(word string) bool {
	return layout.Function{Type: word}.Network()
}

// functions are what profile consists of. Their keys are those of custom, so that there is one way
// on from here.
func (g Gadget) functions(profile string) []Function {
	login := g.Login == nil || *g.Login
	switch profile {
	case Modern:
		return []Function{{Type: layout.NCM}, {Type: layout.ACM, Login: login}}
	case Classic:
		return []Function{{Type: layout.ECM, Configuration: 1}, {Type: layout.RNDIS, Configuration: 2}}
	case Windows:
		return []Function{{Type: layout.RNDIS}, {Type: layout.ACM, Login: login}}
	case Rescue:
		return []Function{{Type: layout.ACM, Login: login}}
	case Custom:
		return g.Functions
	}
	return nil
}

// parts are the gadget's functions under profile, in order, with their names in configfs: the
// networks count from usb0, serial ports from GS0, everything else from 0.
func (p Placed) parts(profile string) []part {
	count := map[string]int{}
	nets := 0
	var out []part
	for i, f := range p.functions(profile) {
		x := part{Function: f, path: p.Path + "profile"}
		if profile == Custom {
			x.path = p.Path + "functions[" + strconv.Itoa(i) + "]"
		}
		if x.Configuration == 0 {
			x.Configuration = 1
		}
		x.at = layout.Function{Type: kernelType(f.Type)}
		switch {
		case network(f.Type):
			x.at.Instance = "usb" + strconv.Itoa(nets)
			if profile != Custom && nets < len(p.Interfaces) {
				x.Interface = p.Interfaces[nets]
			}
			nets++
		case f.Type == layout.ACM:
			x.at.Instance = "GS" + strconv.Itoa(count[f.Type])
		default:
			x.at.Instance = strconv.Itoa(count[f.Type])
		}
		count[f.Type]++
		switch x.at.Type {
		case layout.RNDIS:
			x.at.Class = layout.Triple{0xef, 0x04, 0x01}
			if p.RNDISClass == "e0/01/03" {
				x.at.Class = layout.Triple{0xe0, 0x01, 0x03}
			}
		case layout.MassStorage:
			if f.CDROM {
				x.at.Detail = "cdrom"
			}
		case layout.HID:
			x.at.Detail = fmt.Sprintf("%d %d %s", f.Subclass, f.Protocol, f.Report)
		}
		if x.Router == "" {
			x.Router = p.Router
			if len(x.Routes) == 0 {
				x.Routes = p.Routes
			}
		}
		if x.Router == "" {
			x.Router = RouterNone
		}
		if x.MTU == 0 {
			x.MTU = p.MTU
		}
		out = append(out, x)
	}
	return out
}

// arrange is the layout of parts: configurations by number, functions in their order.
func arrange(parts []part) layout.Gadget {
	var g layout.Gadget
	for n := 1; n <= 255; n++ {
		c := layout.Config{Number: n}
		for _, x := range parts {
			if int(x.Configuration) == n {
				c.Functions = append(c.Functions, x.at)
			}
		}
		if len(c.Functions) > 0 {
			g.Configs = append(g.Configs, c)
		}
	}
	associated, networks := false, true
	for _, f := range g.Functions() {
		associated = associated || f.Associated()
		networks = networks && f.Network()
	}
	switch {
	case len(g.Configs) > 1 && networks:
		g.Class = layout.Communications()
	case associated:
		g.Class = layout.Composite()
	}
	// One configuration can be described, and Windows takes that one: the one for RNDIS, which
	// nothing but Windows needs, before the one for NCM.
	for _, typ := range []string{layout.RNDIS, layout.NCM} {
		for _, c := range g.Configs {
			for _, f := range c.Functions {
				if f.Type == typ && g.Described == "" {
					g.Described = c.Name()
				}
			}
		}
	}
	return g
}
