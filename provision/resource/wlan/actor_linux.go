package wlan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/wifi"
)

// Actor carries out both kinds.
type Actor struct {
	Log   *slog.Logger
	Files host.Reader
	// Dir is where wpa_supplicant has its sockets; empty is wifi.ControlDir.
	Dir string
	// Set tells the kernel the country; nil is wifi.SetCountry.
	Set func(ctx context.Context, country string) error
}

var _ provision.Actor = (*Actor)(nil)

// Do implements provision.Actor.
func (x *Actor) Do(ctx context.Context, a provision.Action) error {
	switch ifname, config, country := a.Args[argIfname], a.Args[argConfig], a.Args[argCountry]; {
	case len(a.Args) == 2 && a.Kind == KindReconfigure && ifname != "" && config != "":
		if _, err := x.Files.Lstat(config); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return x.reconfigure(ctx, ifname)
	case len(a.Args) == 1 && a.Kind == KindCountry && country != "":
		set := x.Set
		if set == nil {
			set = wifi.SetCountry
		}
		// A hint: where the kernel refuses it, the driver has its own idea, and the files say it at the next start.
		if err := set(ctx, country); err != nil {
			x.Log.Info("the kernel does not take the Wi-Fi country now", "country", country, "error", err)
		}
		return nil
	}
	return fmt.Errorf("cannot carry out %s %v: unknown arguments", a.Kind, a.Args)
}

func (x *Actor) reconfigure(ctx context.Context, ifname string) error {
	dir := x.Dir
	if dir == "" {
		dir = wifi.ControlDir
	}
	c, err := wifi.OpenControl(dir, ifname)
	if errors.Is(err, fs.ErrNotExist) {
		x.Log.Info("no wpa_supplicant answers for the device, so none is told", "link", ifname)
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Reconfigure(ctx)
}
