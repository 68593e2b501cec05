package networkd

import (
	"fmt"
	"slices"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

func TestConformance(t *testing.T) {
	var machines []backendtest.Machine
	for _, version := range []int{247, 249, 252, 255, 257, 262} {
		machines = append(machines, backendtest.Machine{Name: fmt.Sprint(version),
			Facts: func() *facts.Facts { return backendtest.Networkd(version) }, Lossless: version >= 248})
	}
	machines = append(machines, backendtest.Machine{Name: "one file for both NICs", Lossless: true, Facts: func() *facts.Facts {
		f := backendtest.Networkd(252)
		for p := range f.Files {
			delete(f.Files, p)
		}
		at := "/etc/systemd/network/20-wired.network"
		backendtest.Put(f, at, "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n", 0o644)
		for i, n := range f.Networkd.Links {
			n.Network = at
			f.Networkd.Links[i] = n
		}
		return f
	}})
	backendtest.Run(t, backendtest.Suite{
		New:      func() backends.Backend { return New() },
		Machines: machines,
		Own:      []string{unit.EtcDir + "/10-provision-*.network", unit.EtcDir + "/90-provision-*.network"},
		Settle:   settle,
	})
}

// settle is what networkd reports after it has read its files.
func settle(f *facts.Facts, d provision.Desired) {
	if len(d.Triggers) == 0 {
		return
	}
	t := unit.ReadTree(f, false)
	for i, n := range f.Networkd.Links {
		l, _ := f.LinkByIndex(i)
		if a := t.Applied(l); a != nil {
			n.Network, n.Dropins = a.Path, slices.Clone(a.Dropins)
			f.Networkd.Links[i] = n
		}
	}
}
