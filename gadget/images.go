package gadget

import (
	"github.com/provision-net/provision/gadget/layout"
)

// Images are the paths that c shows to hosts as disks; Input.Images says what they are.
func (c Config) Images() []string {
	var out []string
	for _, g := range c.All() {
		for _, f := range g.Functions {
			if kernelType(f.Type) == layout.MassStorage && f.Image != "" {
				out = append(out, f.Image)
			}
		}
	}
	return out
}

// images refuses to show a host what this machine itself uses: both would write, or one would write
// while the other remembers what was there, and the file system would not survive it. The boot
// partition is mounted, so it is among them.
func (p *planner) images(g *gadget) {
	for _, x := range g.parts {
		if x.at.Type != layout.MassStorage {
			continue
		}
		at := x.path + ".image"
		i := p.Images[x.Image]
		switch {
		case i.Kind == "":
			p.fail(at, "%s is not there: make it first, for example with `truncate -s 16M %s` and `mkfs.vfat %s`", x.Image, x.Image, x.Image)
		case i.Kind != "file" && i.Kind != "block":
			p.fail(at, "%s is a %s: a disk is shown from a file or a block device", x.Image, i.Kind)
		case i.Path != "" && imageProblem(i.Path) != "":
			p.fail(at, "%s leads elsewhere: %s", x.Image, imageProblem(i.Path))
		case i.Use != "":
			p.fail(at, "%s is %s on this machine: two systems that use one disk destroy it; show a copy, or unmount it and take it out of /etc/fstab", x.Image, i.Use)
		}
	}
}
