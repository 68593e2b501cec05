package backends

import (
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision/facts"
)

// cloudInit says which of the files that speak for the NIC cloud-init wrote, and when
// it would write it again: an edit there is lost.
func (d *detector) cloudInit(o *Ownership, l facts.Link, ids []claim.Claim) {
	file := d.cloudInitFile(o, l, ids)
	if file == "" {
		return
	}
	o.CloudInit = file
	c := d.f.CloudInit
	switch {
	case !c.Installed || c.Disabled || !c.Renders:
		o.Rewrites = "never"
	case c.Rewrites == "":
		o.Rewrites = "new instance"
	default:
		o.Rewrites = c.Rewrites
	}
}

func (d *detector) cloudInitFile(o *Ownership, l facts.Link, ids []claim.Claim) string {
	switch o.Owner {
	case Netplan:
		for _, id := range d.netplan.IDs {
			if !slices.ContainsFunc(ids, func(c claim.Claim) bool { return c.ID == id.ID }) {
				continue
			}
			if i := slices.IndexFunc(id.Files, cloudInitName); i >= 0 {
				return id.Files[i]
			}
		}
		// The YAML is 0600: its name is all that an unprivileged look has.
		if len(d.netplan.IDs) == 0 {
			if i := slices.IndexFunc(d.f.Netplan.Files, cloudInitName); i >= 0 {
				return d.f.Netplan.Files[i]
			}
		}
	case Ifupdown:
		for _, c := range claim.Ifupdown(d.f, l) {
			if cloudInitName(c.File) {
				return c.File
			}
		}
	case NetworkManager:
		for _, c := range claim.NM(d.f, l) {
			if cloudInitName(c.File) {
				return c.File
			}
		}
	case Networkd:
		n := d.f.Networkd.Links[l.Index].Network
		if n == "" {
			if c, ok := claim.Networkd(d.f, l); ok {
				n = c.File
			}
		}
		if cloudInitName(n) {
			return n
		}
	}
	return ""
}

// cloudInitName recognises the names that cloud-init's renderers use.
func cloudInitName(p string) bool {
	base := path.Base(p)
	return strings.HasPrefix(base, "50-cloud-init") || strings.HasPrefix(base, "10-cloud-init-") || strings.HasPrefix(base, "cloud-init-")
}
