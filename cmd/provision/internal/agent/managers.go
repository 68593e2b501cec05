package agent

import (
	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/dhcpcd"
	"github.com/provision-net/provision/backends/ifupdown"
	"github.com/provision-net/provision/backends/netplan"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkmanager"
)

// managers are the network managers that provision knows.
func managers() []backends.Backend {
	nm := networkmanager.New()
	return []backends.Backend{netplan.New(nm), nm, networkd.New(), ifupdown.New(), dhcpcd.New()}
}
