package gadget

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/gadget/layout"
)

// network judges the keys about links.
func (j *judge) network(g Placed) {
	at := g.Path
	profile := g.Profile
	if profile == Auto {
		profile = Classic // the one with more links
	}
	nets := 0
	for _, f := range g.functions(profile) {
		if network(f.Type) {
			nets++
		}
	}
	j.policy(at, g.Router, g.Routes, g.Addresses)
	for i, a := range g.Addresses {
		if a != Auto && nets > 1 && g.Bridge == "" && g.Profile != Auto {
			j.fail(at+"addresses["+strconv.Itoa(i)+"]", "%s cannot be on %d links at once: put them into a bridge (bridge: br-usb), or leave addresses out", a, nets)
		}
	}
	if g.MTU != 0 && g.MTU < 1280 {
		j.fail(at+"mtu", "%d is less than the 1280 that IPv6 needs (RFC 8200 section 5)", g.MTU)
	}
	j.iface(at+"bridge", g.Bridge)
	for i, n := range g.Interfaces {
		p := at + "interfaces[" + strconv.Itoa(i) + "]"
		switch {
		case n == "":
			j.fail(p, "is empty: a name such as usb%d", i)
		case g.Profile == Custom:
			j.fail(p, "is for the profiles: with custom it stands with the function, - {type: ncm, interface: %s}", n)
		case i >= nets:
			j.fail(p, "profile %s has %d network functions: leave %s out", g.Profile, nets, n)
		}
		j.iface(p, n)
	}
	if g.Profile == "" || nets > 0 {
		return
	}
	for _, k := range []struct {
		key   string
		given bool
	}{{"router", g.Router != ""}, {"routes", len(g.Routes) > 0}, {"addresses", len(g.Addresses) > 0}, {"mtu", g.MTU != 0}, {"bridge", g.Bridge != ""}} {
		if k.given {
			j.fail(at+k.key, "makes no sense without a network function: leave it out, or choose another profile")
		}
	}
}

// policy judges router, routes and addresses of a gadget or a function.
func (j *judge) policy(at, router string, routes, addresses []string) {
	j.oneOf(at+"router", router, RouterNone, RouterSplit, RouterFull, RouterClient)
	switch {
	case router == RouterSplit && len(routes) == 0:
		j.fail(at+"routes", "is missing: with router split the host gets the networks that stand there")
	case router != RouterSplit && len(routes) > 0:
		j.fail(at+"routes", "belongs to router split: write router: split, or leave it out")
	case router == RouterClient && len(addresses) > 0:
		j.fail(at+"addresses", "makes no sense with router client: the host gives this machine its address")
	}
	for i, r := range routes {
		p, err := netip.ParsePrefix(r)
		switch path := at + "routes[" + strconv.Itoa(i) + "]"; {
		case err != nil || p.Addr().Is4In6():
			j.fail(path, "%q is no network: write for example 10.8.0.0/16", r)
		case p != p.Masked():
			j.fail(path, "%s has bits behind its length: write %s", r, p.Masked())
		case p.Bits() == 0:
			j.fail(path, "%s is everything: write router: full", r)
		}
	}
	for i, a := range addresses {
		if a == Auto {
			continue
		}
		if _, err := parseAddress(a); err != nil {
			j.fail(at+"addresses["+strconv.Itoa(i)+"]", "%v", err)
		}
	}
}

// functions judges those of profile custom, one by one and together.
func (j *judge) functions(g Placed) {
	known := true
	for i, f := range g.Functions {
		at := g.Path + "functions[" + strconv.Itoa(i) + "]."
		switch f.Type {
		case layout.NCM, layout.ECM, layout.RNDIS, layout.EEM, layout.ACM, layout.HID, "mass-storage":
		case "":
			known = false
			j.fail(at+"type", "is missing: ncm, ecm, rndis, eem, acm, mass-storage or hid")
			continue
		default:
			known = false
			j.fail(at+"type", "%q is not one of ncm, ecm, rndis, eem, acm, mass-storage, hid", f.Type)
			continue
		}
		j.function(at, f, g)
	}
	if known {
		j.together(g)
	}
}

func (j *judge) function(at string, f Function, g Placed) {
	if f.Type == layout.RNDIS && !g.RNDIS {
		j.fail(at+"type", "rndis is Microsoft's old protocol, whose driver trusts the host: write rndis: true with the gadget to use it, or take ncm, which Windows knows from version 10 on")
	}
	foreign := func(kind string, given map[string]bool) {
		for _, key := range []string{"interface", "mac", "host-mac", "addresses", "router", "routes", "mtu", "login", "image", "writable", "cdrom", "removable", "protocol", "subclass", "report-length", "report-descriptor"} {
			if given[key] {
				j.fail(at+key, "is for %s, and this is %s: leave it out", kind, f.Type)
			}
		}
	}
	if network(f.Type) {
		j.iface(at+"interface", f.Interface)
		j.mac(at+"mac", f.MAC)
		j.mac(at+"host-mac", f.HostMAC)
		j.policy(at, f.Router, f.Routes, f.Addresses)
		if f.MTU != 0 && f.MTU < 1280 {
			j.fail(at+"mtu", "%d is less than the 1280 that IPv6 needs (RFC 8200 section 5)", f.MTU)
		}
		if g.Bridge != "" && (f.Router != "" || len(f.Addresses) > 0 || f.MTU != 0) {
			j.fail(at+"router", "the interface is a port of the bridge %s: router, routes, addresses and mtu stand with the gadget", g.Bridge)
		}
	} else {
		foreign("network functions", map[string]bool{"interface": f.Interface != "", "mac": f.MAC != "", "host-mac": f.HostMAC != "", "addresses": len(f.Addresses) > 0,
			"router": f.Router != "", "routes": len(f.Routes) > 0, "mtu": f.MTU != 0})
	}
	if f.Type != layout.ACM {
		foreign("acm", map[string]bool{"login": f.Login})
	}
	if f.Type == "mass-storage" {
		if why := imageProblem(f.Image); why != "" {
			j.fail(at+"image", "%s", why)
		}
		if f.CDROM && f.Writable {
			j.fail(at+"writable", "a CD-ROM cannot be written: leave out cdrom or writable")
		}
	} else {
		foreign("mass-storage", map[string]bool{"image": f.Image != "", "writable": f.Writable, "cdrom": f.CDROM, "removable": f.Removable != nil})
	}
	if f.Type != layout.HID {
		foreign("hid", map[string]bool{"protocol": f.Protocol != 0, "subclass": f.Subclass != 0, "report-length": f.ReportLength != 0, "report-descriptor": f.Report != ""})
		return
	}
	report, err := hex.DecodeString(f.Report)
	switch {
	case err != nil:
		j.fail(at+"report-descriptor", "is no hexadecimal text: %v", err)
	case len(report) == 0:
		j.fail(at+"report-descriptor", "is missing: what the device's reports look like (HID 1.11 section 6.2.2)")
	case len(report) > 4096:
		j.fail(at+"report-descriptor", "is %d bytes long: the kernel takes at most 4096", len(report))
	}
	if f.ReportLength == 0 || f.ReportLength > 1024 {
		j.fail(at+"report-length", "is the length of a report, 1 to 1024 bytes; a keyboard has 8")
	}
}

// together judges what functions mean for each other.
func (j *judge) together(g Placed) {
	parts := g.parts(Custom)
	l := arrange(parts)
	for i, c := range l.Configs {
		if c.Number != i+1 {
			j.fail(g.Path+"functions", "configuration %d is there and %d is not: they count from 1", c.Number, i+1)
			break
		}
	}
	for i, x := range parts {
		first := true
		for _, o := range parts[:i] {
			first = first && o.Configuration != x.Configuration
		}
		if x.Type == layout.RNDIS && !first {
			j.fail(x.path, "rndis has to be the first function of its configuration: as a later interface Windows starts it with code 10; move it to the front")
		}
		if len(l.Configs) > 1 && !x.at.Network() {
			j.fail(x.path+".configuration", "Windows makes no composite device of two configurations, so %s would vanish there: put everything into one configuration", x.Type)
		}
	}
	for _, c := range l.Configs {
		interfaces := 0
		for _, f := range c.Functions {
			interfaces++
			if f.Associated() {
				interfaces++
			}
		}
		if in, _ := c.Endpoints(); in > 15 || interfaces > 16 {
			j.fail(g.Path+"functions", "configuration %d has %d interfaces and %d IN endpoints: USB has 15 endpoints, the kernel 16 interfaces", c.Number, interfaces, in)
		}
	}
	if n := len(l.Functions()); n > 32 {
		j.fail(g.Path+"functions", "%s functions are too many", fmt.Sprint(n))
	}
}
