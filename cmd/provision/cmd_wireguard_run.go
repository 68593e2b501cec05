package main

import (
	_ "embed"
	"fmt"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/userspace"
	"github.com/provision-net/provision/provision/host/wguser"
)

//go:embed provision-wireguard@.service
var wireguardUnit string

// newWireguardRun is the process that is a WireGuard device where the kernel has none. People do not
// call it: apply does, through systemd where it can.
func newWireguardRun(g *globals) *cobra.Command {
	var readyFD int
	c := &cobra.Command{
		Use:    "run NAME",
		Short:  "Be the WireGuard device NAME, for a kernel without WireGuard",
		Hidden: true,
		Args:   oneArg("the name of a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("wireguard run needs the name of a device")}
			}
			if err := g.needRoot("wireguard run"); err != nil {
				return err
			}
			g.signals.onHangup(func() {}) // the terminal of whoever started it is nothing to it
			g.signals.await()
			beFrugal(cmd.Context())
			ready := func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) } // without a manager there is nobody to tell
			return userspace.Run(cmd.Context(), args[0], readyFD, ready,
				wguser.Options{Sockets: os.Getenv(wguser.SocketsVariable), Log: g.loggerFrom(slog.LevelInfo)})
		},
	}
	c.Flags().IntVar(&readyFD, "ready-fd", 0, "tell on this descriptor when it is ready, or why not")
	return c
}
