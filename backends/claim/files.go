package claim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
)

// Where the managers' configuration begins.
const (
	interfacesFile = "/etc/network/interfaces"
	dhcpcdConf     = "/etc/dhcpcd.conf"
)

// Files are the managers' files in facts, each manager's read when it is first asked
// for. Not for concurrent use.
type Files struct {
	f          *facts.Facts
	netplan    *netdef.Tree
	networkd   *unit.Tree
	interfaces *interfaces.Config
	dhcpcd     *conf.File
}

// Of returns the files of f.
func Of(f *facts.Facts) *Files { return &Files{f: f} }

// NetplanTree is the effective netplan tree, with what provision added to it.
func (c *Files) NetplanTree() *netdef.Tree {
	if c.netplan == nil {
		c.netplan = netdef.ReadTree(c.f, false)
	}
	return c.netplan
}

// Netplan lists the netplan ids that fit l, the one that decides first.
func (c *Files) Netplan(l facts.Link) []Claim {
	var out []Claim
	_, fits := c.NetplanTree().For(c.f, l)
	for _, id := range fits {
		out = append(out, Claim{ID: id.Name, Renderer: id.Renderer, File: id.Pos.File, Line: id.Pos.Line, Files: id.Files,
			Text: fmt.Sprintf("netplan id %q (%s, renderer %s) fits", id.Name, id.Type, id.Renderer)})
	}
	return out
}

// Networkd returns the .network file that networkd would take for l, if any: the
// first by file name whose [Match] fits for certain.
func (c *Files) Networkd(l facts.Link) (Claim, bool) {
	if c.networkd == nil {
		c.networkd = unit.ReadTree(c.f, false)
	}
	n, _ := c.networkd.First(l)
	if n == nil {
		return Claim{}, false
	}
	out := Claim{ID: n.Base, File: n.Path, Files: append([]string{n.Path}, n.Dropins...), Text: "its [Match] fits"}
	if i := slices.IndexFunc(n.Entries, func(e unit.Entry) bool { return e.Section == "Match" && e.File == n.Path }); i >= 0 {
		out.Line = n.Entries[i].Line
	}
	return out, true
}

// Ifupdown lists the iface stanzas that are written for l, also those behind an error
// at which ifup stops.
func (c *Files) Ifupdown(l facts.Link) []Claim {
	if c.interfaces == nil {
		texts, unreadable := map[string]string{}, map[string]string{}
		for name, file := range c.f.Files {
			texts[name] = file.Text
		}
		for _, u := range c.f.Unreadable {
			unreadable[u.Source] = u.Reason
		}
		c.interfaces = interfaces.Resolve(interfacesFile, texts, unreadable)
	}
	var out []Claim
	for _, name := range append([]string{l.Name}, l.Alt...) {
		for _, s := range c.interfaces.Written(name) {
			words := strings.Fields(fmt.Sprint("iface ", s.Logical, " ", s.Family, " ", s.Method))
			out = append(out, Claim{ID: s.Logical, File: s.Place.File, Line: s.Line, Files: []string{s.Place.File}, Method: s.Method,
				Text: fmt.Sprintf("stanza \"%s\"", strings.Join(words, " "))})
		}
	}
	return out
}

// Dhcpcd reports whether a dhcpcd in master mode would take l, and which line of
// dhcpcd.conf says so (or says otherwise). Without a line it takes every NIC, and so
// it is where the file cannot be read.
func (c *Files) Dhcpcd(l facts.Link) (claim Claim, takes bool) {
	if c.dhcpcd == nil {
		file, err := conf.Parse(dhcpcdConf, c.f.Files[dhcpcdConf].Text)
		if err != nil {
			file = &conf.File{}
		}
		c.dhcpcd = file
	}
	line, denied := c.dhcpcd.Denied(l.Name)
	if line.Number == 0 {
		line, _ = c.dhcpcd.Head(l.Name)
	}
	claim = Claim{ID: l.Name, File: dhcpcdConf, Files: []string{dhcpcdConf}, Line: line.Number, Text: "no allowinterfaces or denyinterfaces names it"}
	switch {
	case denied && line.Option == "allowinterfaces":
		claim.Text = fmt.Sprintf("\"allowinterfaces %s\" does not name it", line.Value)
	case line.Number > 0:
		claim.Text = fmt.Sprintf("\"%s %s\"", line.Option, line.Value)
	}
	return claim, !denied
}
