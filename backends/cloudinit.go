package backends

import (
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// cloudInit says which of the files that speak for the NIC cloud-init wrote, and when
// it would write it again: an edit there is lost.
func (d *detector) cloudInit(o *Ownership, l facts.Link) {
	file := d.cloudInitFile(o, l)
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

func (d *detector) cloudInitFile(o *Ownership, l facts.Link) string {
	if n := d.f.Networkd.Links[l.Index].Network; o.Owner == Networkd && n != "" {
		if cloudInitName(n) {
			return n
		}
		return ""
	}
	for _, c := range claimsOf(d.f, d.files, o.Owner, l) {
		if i := slices.IndexFunc(c.Files, cloudInitName); i >= 0 {
			return c.Files[i]
		}
	}
	// The YAML is 0600: its name is all that an unprivileged look has.
	if o.Owner == Netplan && len(d.files.NetplanTree().IDs) == 0 {
		if i := slices.IndexFunc(d.f.Netplan.Files, cloudInitName); i >= 0 {
			return d.f.Netplan.Files[i]
		}
	}
	return ""
}

// cloudInitName recognises the names that cloud-init's renderers use.
func cloudInitName(p string) bool {
	base := path.Base(p)
	return strings.HasPrefix(base, "50-cloud-init") || strings.HasPrefix(base, "10-cloud-init-") || strings.HasPrefix(base, "cloud-init-")
}
