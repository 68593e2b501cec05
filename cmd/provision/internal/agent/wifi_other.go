//go:build !linux

package agent

import (
	"context"
	"time"

	"github.com/provision-net/provision/backends/wifi"
	"github.com/provision-net/provision/provision/facts"
)

type wifiWatch struct{}

func (wifiWatch) Close() {}

func (a *Agent) watchWifi(context.Context, facts.Link) wifiWatch { return wifiWatch{} }

func (a *Agent) onlySAE(context.Context, facts.Link, string) bool { return false }

func (a *Agent) awaitWifi(context.Context, wifiWatch, facts.Link, wifi.Network, time.Duration, *WifiOutcome) {
}

func (a *Agent) carried(context.Context, *facts.Facts, wifi.Network) string { return "" }

func (a *Agent) hear(context.Context, *facts.Facts, *WifiList) heard { return heard{} }
