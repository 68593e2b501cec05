package doctor

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// network looks at the links that are served.
func (e *exam) network() {
	for _, want := range e.in.Links {
		l, ok := e.f.LinkByName(want.Name)
		if want.MAC != "" && !want.Bridge {
			if byMAC, found := e.byMAC(want.MAC); found {
				l, ok = byMAC, true // whatever it is called: that is told elsewhere
			} else {
				ok = false
			}
		}
		if !ok {
			continue
		}
		e.addresses(want, l)
		e.conflict(want, l)
		e.managed(want, l)
		e.wayOut(want, l)
	}
	e.server()
}

func (e *exam) addresses(want Link, l facts.Link) {
	var lacks []string
	for _, p := range want.Addresses {
		if !slices.ContainsFunc(e.f.Addrs, func(a facts.Address) bool { return a.Link == l.Index && a.Prefix.Addr() == p.Addr() }) {
			lacks = append(lacks, p.String())
		}
	}
	if len(lacks) == 0 {
		if len(want.Addresses) > 0 {
			e.well("addresses of "+l.Name, "all there")
		}
		return
	}
	var have []string
	for _, a := range e.f.Addrs {
		if a.Link == l.Index {
			have = append(have, a.Prefix.String())
		}
	}
	e.found(68, Finding{Code: NoAddress, Severity: Error, Culprit: fmt.Sprintf("%s lacks %s", l.Name, strings.Join(lacks, ", ")),
		Evidence: []string{fmt.Sprintf("%s has %s", l.Name, orNothing(have))}, Cure: []string{"provision gadget up"}})
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "no address"
	}
	return strings.Join(list, ", ")
}

// conflict looks for the link's networks elsewhere.
func (e *exam) conflict(want Link, l facts.Link) {
	name := func(index int) string {
		x, _ := e.f.LinkByIndex(index)
		return x.Name
	}
	for _, p := range want.Addresses {
		if p.Addr().IsLinkLocalUnicast() {
			continue
		}
		var ev []string
		severity := Warning // the narrower route wins: what is behind the wider one is hidden in part
		for _, a := range e.f.Addrs {
			if a.Link != l.Index && !a.Prefix.Addr().IsLoopback() && a.Prefix.Bits() < a.Prefix.Addr().BitLen() && p.Overlaps(a.Prefix.Masked()) {
				ev, severity = append(ev, fmt.Sprintf("%s has %s", name(a.Link), a.Prefix)), Error
			}
		}
		for _, r := range e.f.Routes {
			if r.Link != l.Index && r.Link != 0 && !r.Default() && r.Type == "unicast" && r.Proto != facts.ProtoKernel && p.Masked().Overlaps(r.Dst) && r.Dst.Bits() > 1 {
				ev = append(ev, fmt.Sprintf("route %s by %s", r.Dst, name(r.Link)))
				if r.Dst.Bits() >= p.Bits() {
					severity = Error
				}
			}
		}
		if len(ev) == 0 {
			continue
		}
		e.found(66, Finding{Code: Conflict, Severity: severity, Culprit: fmt.Sprintf("the network %s of %s is in use elsewhere", p.Masked(), l.Name), Evidence: ev,
			Cure: []string{"take addresses: [auto], which keeps clear of them, or write others", "provision gadget up"}})
	}
}

// managed looks for network managers and DHCP clients that work on the link too.
func (e *exam) managed(want Link, l facts.Link) {
	if want.Router == "client" {
		return // there an address comes from the host, by whichever client
	}
	tell := func(who, evidence string, cure ...string) {
		e.found(64, Finding{Code: Managed, Severity: Warning, Culprit: fmt.Sprintf("%s works on %s too and may take its address away", who, l.Name), Evidence: []string{evidence}, Cure: append(cure, "provision apply, which keeps it off")})
	}
	n := 0
	if d, ok := e.f.NM.Devices[l.Index]; ok && d.Managed == "managed" && !d.External {
		n++
		tell("NetworkManager", fmt.Sprintf("/run/NetworkManager/devices/%d: managed", l.Index), "nmcli device set "+l.Name+" managed no")
	}
	if d, ok := e.f.Networkd.Links[l.Index]; ok && (d.Admin == "configured" || d.Admin == "configuring") && !e.f.Files[d.Network].Ours() {
		n++
		tell("systemd-networkd", fmt.Sprintf("/run/systemd/netif/links/%d: %s by %s", l.Index, d.Admin, d.Network), "write Unmanaged=yes for it in a .network file of a lower number")
	}
	client := false
	for _, c := range e.f.Clients {
		if c.Link == l.Name {
			n, client = n+1, true
			tell(c.Name, fmt.Sprintf("process %d: %s %s", c.PID, c.Name, strings.Join(c.Args, " ")), "end it")
		}
	}
	if !client && e.f.Dhcpcd.Running && e.f.Dhcpcd.Master && !denied(e.f.Files["/etc/dhcpcd.conf"].Text, l.Name) {
		n++
		tell("dhcpcd", "dhcpcd runs for all interfaces, and /etc/dhcpcd.conf does not deny "+l.Name, "write denyinterfaces "+l.Name+" into /etc/dhcpcd.conf and restart it")
	}
	if n == 0 {
		e.well("managers on "+l.Name, "none")
	}
}

// denied reads denyinterfaces and allowinterfaces of dhcpcd.conf(5): patterns
// separated by blanks or commas.
func denied(conf, name string) bool {
	allowed, deny := true, false
	for line := range strings.Lines(conf) {
		w := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' || c == '\n' || c == '\r' })
		if len(w) < 2 {
			if len(w) == 1 && w[0] == "interface" {
				break
			}
			continue
		}
		match := slices.ContainsFunc(w[1:], func(p string) bool { ok, err := path.Match(p, name); return err == nil && ok })
		switch w[0] {
		case "denyinterfaces":
			deny = deny || match
		case "allowinterfaces":
			allowed = match
		}
	}
	return deny || !allowed
}

// wayOut looks at what router: promises.
func (e *exam) wayOut(want Link, l facts.Link) {
	ours := func(index int) bool {
		x, _ := e.f.LinkByIndex(index)
		return slices.ContainsFunc(e.in.Links, func(o Link) bool { return o.Name == x.Name || o.MAC != "" && strings.EqualFold(o.MAC, x.MAC) })
	}
	switch want.Router {
	case "full":
		var by []string
		for _, r := range e.f.Routes {
			if r.Default() && r.Type == "unicast" && !ours(r.Link) {
				if x, ok := e.f.LinkByIndex(r.Link); ok && !slices.Contains(by, x.Name) {
					by = append(by, x.Name)
				}
			}
		}
		if len(by) == 0 {
			e.found(62, Finding{Code: NoUplink, Severity: Warning, Culprit: fmt.Sprintf("%s is to lead the host to the internet, and this machine has no way there itself", l.Name), Evidence: []string{"no default route but by the USB links"},
				Cure: []string{"join a Wi-Fi network: provision wifi add", "or say router: none, and the host keeps its own way"}})
		} else {
			e.well("way out", "default route by %s", strings.Join(by, ", "))
		}
		e.forwarding(want, l)
	case "split":
		e.forwarding(want, l)
	case "client":
		if !slices.ContainsFunc(e.f.Addrs, func(a facts.Address) bool {
			return a.Link == l.Index && a.Dynamic && a.Prefix.Addr().Is4() && !a.Prefix.Addr().IsLinkLocalUnicast()
		}) && l.Carrier {
			e.found(62, Finding{Code: NoSharing, Severity: Warning, Culprit: "the host gives no address on " + l.Name + ": it does not share its connection", Evidence: []string{l.Name + " has a carrier and no address by DHCP"},
				Cure: []string{"switch connection sharing on in the host's settings (Windows: Internet Connection Sharing; macOS: Internet Sharing; NetworkManager: shared to other computers)"}})
		}
	}
}

func (e *exam) forwarding(want Link, l facts.Link) {
	has4 := slices.ContainsFunc(want.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() })
	v, known := e.f.Sysctl["net.ipv4.ip_forward"]
	if has4 && known && v == "0" {
		e.found(61, Finding{Code: NoForwarding, Severity: Error, Culprit: fmt.Sprintf("the kernel does not pass on what comes from %s", l.Name), Evidence: []string{"net.ipv4.ip_forward is 0"}, Cure: []string{"provision apply"}})
	}
}

// server looks at who answers the host.
func (e *exam) server() {
	s := e.in.Server
	if s == nil || len(e.in.Links) == 0 {
		return
	}
	var lacks []string
	for _, l := range e.in.Links {
		if l.Router == "client" {
			continue
		}
		if _, there := e.f.LinkByName(l.Name); s.Running && !there {
			continue // told by other findings
		}
		if !slices.Contains(s.Links, l.Name) {
			lacks = append(lacks, l.Name)
		}
	}
	switch {
	case len(lacks) == 0:
		for _, l := range e.in.Links {
			if n := s.Leases[l.Name]; n > 0 {
				e.well("server", "%d leases on %s", n, l.Name)
			}
		}
		if len(s.Links) > 0 {
			e.well("server", "answers on every link")
		}
	case !s.Running:
		e.found(67, Finding{Code: NoServer, Severity: Error, Culprit: "nobody answers DHCP and DNS on " + strings.Join(lacks, ", "), Evidence: []string{"provision serve does not run"}, Cure: []string{"systemctl start provision-serve.service", "provision status says why it does not"}})
	default:
		e.found(67, Finding{Code: NoServer, Severity: Error, Culprit: "the server does not serve " + strings.Join(lacks, ", "), Evidence: []string{"it serves " + orNone(s.Links)}, Cure: []string{"provision status says why", "provision gadget up"}})
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "no link"
	}
	return strings.Join(list, ", ")
}

// power looks for a supply that is too weak: resets and aborted transfers follow from it.
func (e *exam) power() {
	if lines := e.log("ndervoltage detected", 2); len(lines) > 0 {
		e.found(48, Finding{Code: Power, Severity: Warning, Culprit: "the board has had too little power", Evidence: lines, Cure: []string{"take a shorter cable or a port that gives more", "power the board by its own supply"}})
	}
}
