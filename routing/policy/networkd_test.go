package policy

import (
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func TestNetworkd(t *testing.T) {
	running := facts.Daemon{Installed: true, Running: true, Version: "257.3"}
	for name, edit := range map[string]func(*facts.Facts){
		"none":      func(f *facts.Facts) {},
		"masked":    func(f *facts.Facts) { f.Networkd.Daemon = facts.Daemon{Installed: true, Masked: true} },
		"installed": func(f *facts.Facts) { f.Networkd.Daemon = facts.Daemon{Installed: true} },
		"enabled":   func(f *facts.Facts) { f.Networkd.Daemon = facts.Daemon{Installed: true, Enabled: true, Version: "252"} },
		"running": func(f *facts.Facts) {
			f.Networkd.Daemon = running
			f.Networkd.Links = map[int]facts.NetworkdLink{2: {Admin: "configured", Network: "/etc/systemd/network/10.network"}, 4: {Admin: "unmanaged"}}
		},
		"old": func(f *facts.Facts) {
			f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, Version: "247.3-7+deb11u4"}
		},
		"older": func(f *facts.Facts) { f.Networkd.Daemon = facts.Daemon{Installed: true, Running: true, Version: "241"} },
		"told": func(f *facts.Facts) {
			f.Networkd.Daemon = running
			f.Files["/etc/systemd/networkd.conf"] = facts.File{Text: "[Network]\n#ManageForeignRoutes=yes\nManageForeignRoutes = no\n"}
			f.Files["/usr/lib/systemd/networkd.conf.d/50-cni.conf"] = facts.File{Text: "[Network]\nManageForeignRoutingPolicyRules=false\n"}
			f.Files["/etc/systemd/networkd.conf.d/90-provision.conf"] = facts.File{Text: "[Network]\nManageForeignRoutes=yes\n"}
		},
		"told-half": func(f *facts.Facts) {
			f.Networkd.Daemon = running
			f.Files["/usr/lib/systemd/networkd.conf.d/50-cni.conf"] = facts.File{Text: "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no\n"}
			f.Files["/etc/systemd/networkd.conf.d/50-cni.conf"] = facts.File{Text: "[Network]\nManageForeignRoutes=no\n"}
		},
	} {
		f := twoNICs()
		edit(f)
		golden(t, "networkd-"+name, textOf(Networkd(f)))
	}
}
