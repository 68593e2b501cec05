package wguser

import (
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// following is a TUN device that is up when its network device is. What it is built on finds out by
// writing nothing, which a device with offloads refuses in the same way whether it is up or down
// (tun_get_user in drivers/net/tun.c looks at the size first): it would be up, with a port that nobody
// asked for, as soon as it exists, and stay so for ever.
type following struct {
	tun.Device
	events chan tun.Event
}

func follow(t tun.Device, name string) *following {
	f := &following{Device: t, events: make(chan tun.Event)}
	go func() {
		defer close(f.events)
		was := false
		for e := range t.Events() {
			up, known := isUp(name)
			if !known { // moved to another namespace, or renamed
				up = e&tun.EventUp != 0 || was && e&tun.EventDown == 0
			}
			e &= tun.EventMTUUpdate
			switch {
			case up && !was:
				e |= tun.EventUp
			case !up && was:
				e |= tun.EventDown
			}
			was = up
			if e != 0 {
				f.events <- e
			}
		}
	}()
	return f
}

// Events implements tun.Device.
func (f *following) Events() <-chan tun.Event { return f.events }

func isUp(name string) (up, known bool) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(name)
	if err != nil || unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r) != nil {
		return false, false
	}
	return r.Uint16()&unix.IFF_UP != 0, true
}
