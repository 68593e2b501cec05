package gadget

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/backends/dhcpcd/conf"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// Files by which network managers are told to leave the links alone.
const (
	NMFile       = "/etc/NetworkManager/conf.d/90-provision-gadget.conf"
	NetworkdFile = "/etc/systemd/network/05-provision-gadget.network"
	DhcpcdFile   = "/etc/dhcpcd.conf"
)

// keepOff tells the managers that are there to leave the interfaces alone that are served by this
// machine: they would ask for a lease on them, and take the addresses away. Links with router
// client are theirs.
func (p *planner) keepOff() {
	var served, lent, bridges []string
	for _, l := range p.r.Links {
		names := append(slices.Clone(l.Ports), l.Name)
		switch {
		case l.Router == RouterClient:
			lent = append(lent, names...)
			continue
		case l.Bridge:
			bridges = append(bridges, l.Name)
		}
		served = append(served, names...)
	}
	if len(served) == 0 {
		return
	}
	p.nm(lent, bridges)
	p.networkd(served)
	p.dhcpcd(served)
}

func (p *planner) want(w ...provision.Want) {
	p.r.Desired.Wants = append(p.r.Desired.Wants, w...)
}

// trigger has a daemon read a file, where there is one to read it.
func (p *planner) trigger(name, path string, do provision.Action, why string) {
	if !p.Facts.Machine.Offline {
		p.r.Desired.Triggers = append(p.r.Desired.Triggers, provision.Trigger{Name: name, On: []provision.Ref{file.Ref(path)}, Do: do, Why: why})
	}
}

// nm: udev's rules of NetworkManager leave gadgets alone already (85-nm-unmanaged.rules), but not
// the bridge, and not on a machine without udev. The driver's name is that of every network
// function (eth_get_drvinfo in u_ether.c), so another machine's phone stays NetworkManager's.
func (p *planner) nm(lent, bridges []string) {
	if !p.Facts.NM.Installed && !p.Facts.NM.Running {
		return
	}
	list := []string{"driver:g_ether"}
	for _, b := range bridges {
		list = append(list, "interface-name:"+b)
	}
	for _, n := range lent {
		list = append(list, "except:interface-name:"+n)
	}
	const why = "NetworkManager leaves the gadget's interfaces to provision"
	p.want(file.Dir(path.Dir(NMFile), "holds "+path.Base(NMFile)),
		file.Want(NMFile, []byte(facts.Marker+"\n[keyfile]\nunmanaged-devices+="+strings.Join(list, ";")+"\n"), 0o644, why))
	p.trigger("nm-reload-gadget", NMFile, daemon.NMReload(), why+": a reload of its configuration interrupts nothing")
}

// networkd takes an interface only if a file of its says so, and a gadget's type is no ether: it is
// told otherwise only where some file fits by the name, because reading files anew may cost links
// their addresses on some versions.
func (p *planner) networkd(served []string) {
	n := p.Facts.Networkd
	if !n.Running && !n.Enabled {
		return
	}
	var taken []string
	by := ""
	for _, name := range served {
		if f := p.networkFile(name); f != "" {
			taken, by = append(taken, name), f
		}
	}
	if len(taken) == 0 {
		return
	}
	why := by + " would have systemd-networkd take " + strings.Join(taken, ", ")
	p.want(file.Dir(path.Dir(NetworkdFile), "holds "+path.Base(NetworkdFile)),
		file.Want(NetworkdFile, []byte(facts.Marker+"\n[Match]\nName="+strings.Join(taken, " ")+"\n\n[Link]\nUnmanaged=yes\n"), 0o644, why))
	// From 248 to 257 a restart loses nothing where a reload drops addresses.
	major := 0
	_, _ = fmt.Sscanf(n.Version, "%d", &major)
	var links []string
	for _, l := range p.Facts.Links {
		if s := n.Links[l.Index]; s.Admin == "configured" && !p.mine(l) {
			links = append(links, l.Selector())
		}
	}
	do := daemon.NetworkdReload(links...)
	if major == 0 || major >= 248 && major <= 257 {
		do = daemon.NetworkdRestart(links...)
	}
	p.trigger("networkd-gadget", NetworkdFile, do, why)
}

// networkFile is a .network file that fits the name (systemd.network(5), [Match] Name=); empty none.
func (p *planner) networkFile(name string) string {
	var files []string
	for f := range p.Facts.Files {
		if strings.HasSuffix(f, ".network") && f != NetworkdFile {
			files = append(files, f)
		}
	}
	sort.Strings(files)
	for _, f := range files {
		section, fits, others := "", false, false
		for line := range strings.Lines(p.Facts.Files[f].Text) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				section = line
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok || section != "[Match]" || line[0] == '#' || line[0] == ';' {
				continue
			}
			if strings.TrimSpace(key) != "Name" {
				others = others || strings.TrimSpace(value) != ""
				continue
			}
			for _, pattern := range strings.Fields(value) {
				hit, err := path.Match(pattern, name)
				fits = fits || err == nil && hit
			}
		}
		// What else is asked for (a driver, a MAC address, Type=ether) is not a gadget's.
		if fits && !others {
			return f
		}
	}
	return ""
}

// dhcpcd takes every interface that it is not denied.
func (p *planner) dhcpcd(served []string) {
	d := p.Facts.Dhcpcd
	if !d.Master && !(p.Facts.Machine.Offline && d.Installed && d.Enabled) {
		return
	}
	have, there := p.Facts.Files[DhcpcdFile]
	if !there || have.Masked {
		p.note("warning", DhcpcdFile, "cannot be read, so dhcpcd may take %s: write denyinterfaces %s into it", strings.Join(served, ", "), strings.Join(served, " "))
		return
	}
	c, err := conf.Parse(DhcpcdFile, have.Text)
	var text string
	if err == nil {
		text, err = c.Deny(served...)
	}
	if err != nil {
		p.note("warning", DhcpcdFile, "%v; write denyinterfaces %s into it", err, strings.Join(served, " "))
		return
	}
	if !strings.Contains(text, "denyinterfaces") {
		return // allowinterfaces keeps it off
	}
	const why = "dhcpcd leaves the gadget's interfaces to provision"
	p.want(file.Content(DhcpcdFile, []byte(text), why))
	p.dhcpcdReads(c, why)
}

// WithoutGadget wants dhcpcd.conf, whose text is have, without the gadget's line: for a gadget that
// goes while others still want something in the file.
func WithoutGadget(f *facts.Facts, have string) (provision.Desired, error) {
	c, err := conf.Parse(DhcpcdFile, have)
	if err != nil {
		return provision.Desired{}, err
	}
	text, err := c.Deny()
	if err != nil {
		return provision.Desired{}, err
	}
	const why = "the gadget's interfaces are gone, and the rest is wanted still"
	p := &planner{Input: Input{Facts: f}}
	p.want(file.Content(DhcpcdFile, []byte(text), why))
	if f.Dhcpcd.Master {
		p.dhcpcdReads(c, why)
	}
	return p.r.Desired, nil
}

// dhcpcdReads has dhcpcd read its configuration, where that costs nobody an address.
func (p *planner) dhcpcdReads(c *conf.File, why string) {
	if p.Facts.Machine.Offline {
		return
	}
	if !c.Global("persistent") {
		p.note("warning", DhcpcdFile, "has no line persistent: a restart of dhcpcd would take the addresses of other interfaces away, so it leaves the gadget's alone from the next boot on")
		return
	}
	var selectors []string
	for _, l := range p.Facts.Links {
		if l.ARPHRD == 1 && l.Kind == "" && l.Up && !p.mine(l) {
			selectors = append(selectors, l.Selector())
		}
	}
	p.trigger("dhcpcd-gadget", DhcpcdFile, daemon.DhcpcdRestart(strings.Join(selectors, ","), "", 0, true),
		why+": it reads its configuration only when it starts; with persistent a restart keeps addresses and routes")
}
