package usbgadget

import (
	"slices"

	"github.com/provision-net/provision/provision"
)

// Holds returns what has to be let go of while the gadgets of wants change, outermost
// first: the controller while anything does; the link of the OS descriptors while
// their configuration or its functions do, because a configuration cannot go while
// it is linked; the links of a configuration while its functions do, because a
// function cannot change while it is linked.
func Holds(wants []provision.Want) []provision.Hold {
	var gadgets []string
	parts := map[string][]provision.Want{}
	for _, w := range wants {
		g, _, ok := Split(w.Ref)
		if !ok {
			continue
		}
		if _, known := parts[g]; !known {
			gadgets = append(gadgets, g)
		}
		parts[g] = append(parts[g], w)
	}
	var holds []provision.Hold
	for _, g := range gadgets {
		holds = append(holds, holdsOf(g, parts[g])...)
	}
	return holds
}

func holdsOf(gadget string, wants []provision.Want) []provision.Hold {
	udc := provision.Hold{Ref: UDCRef(gadget), Attrs: provision.Attrs{AttrUDC: ""}}
	desc := provision.Hold{Ref: OSDescRef(gadget), Attrs: provision.Attrs{AttrConfig: ""}}
	var functions []provision.Ref
	var links []provision.Hold
	for _, w := range wants {
		if w.Kind != KindUDC {
			udc.While = append(udc.While, w.Ref)
		}
		switch w.Kind {
		case KindFunction:
			functions = append(functions, w.Ref)
			desc.While = append(desc.While, w.Ref)
		case KindConfig:
			desc.While = append(desc.While, w.Ref)
			links = append(links, provision.Hold{Ref: w.Ref, Attrs: provision.Attrs{AttrFunctions: ""}})
		}
	}
	var holds []provision.Hold
	if len(udc.While) > 0 {
		holds = append(holds, udc)
	}
	if len(desc.While) > 0 {
		holds = append(holds, desc)
	}
	if len(functions) == 0 {
		return holds
	}
	// Each configuration for all functions: which of them it has now is not known here.
	for _, h := range links {
		h.While = slices.Clone(functions)
		holds = append(holds, h)
	}
	return holds
}
