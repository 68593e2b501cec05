package udc

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// Counter is packets of a network device since the kernel made it.
type Counter struct {
	Link    string
	MAC     string // lower case, with colons
	Carrier bool   // IFF_LOWER_UP: the host has selected the data interface, and the device is up here
	RX, TX  uint64
}

// Counters reads those of the named devices, in this order, by rtnetlink. Devices that do not exist
// are left out.
func Counters(names ...string) ([]Counter, error) {
	list := make([]Counter, 0, len(names))
	for _, name := range names {
		l, err := netlink.LinkByName(name)
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the counters of %s: %w", name, err)
		}
		a := l.Attrs()
		c := Counter{Link: name, MAC: a.HardwareAddr.String(), Carrier: a.RawFlags&lowerUp != 0}
		if s := a.Statistics; s != nil {
			c.RX, c.TX = s.RxPackets, s.TxPackets
		}
		list = append(list, c)
	}
	return list, nil
}

const lowerUp = 1 << 16 // IFF_LOWER_UP (linux/if.h)
