package agent

import (
	"os"

	"github.com/provision-net/provision/cmd/provision/internal/userspace"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/wguser"
	"github.com/provision-net/provision/provision/resource/unit"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

// wireguardResources registers WireGuard devices, their peers, and where these are configured to be.
func (a *Agent) wireguardResources(e *provision.Engine, root *host.Root) {
	e.Resources[wireguard.Kind] = wireguard.Resource{Userspace: a.userspace()}
	e.Resources[wireguard.PeerKind] = wireguard.Peers{}
	e.Resources[wireguard.EndpointsKind] = wireguard.EndpointsResource{Files: root}
}

// userspace makes devices where the kernel has no WireGuard; nil where this program cannot be started
// again.
func (a *Agent) userspace() wireguard.Userspace {
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	return &userspace.Devices{
		Detached: wguser.Starter{Program: program},
		Unit:     a.WireguardUnit,
		Open:     unit.Systemd,
		Home:     userspace.Home,
		Log:      a.Log,
	}
}
