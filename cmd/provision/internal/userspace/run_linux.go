package userspace

import (
	"context"

	"github.com/provision-net/provision/provision/host/wguser"
)

// Run is the device until ctx ends or it is removed. ready is called when it is there. Who started it
// detached listens on readyFD, which is 0 for nobody.
func Run(ctx context.Context, name string, readyFD int, ready func(), o wguser.Options) error {
	o.Ready = ready
	if readyFD == 0 {
		return wguser.Run(ctx, name, o)
	}
	tell, failed := wguser.Told(readyFD)
	o.Ready = func() {
		tell()
		ready()
	}
	err := wguser.Run(ctx, name, o)
	if err != nil {
		failed(err)
	}
	return err
}
