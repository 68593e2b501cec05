package wifi

import (
	"context"
	"sync"

	"github.com/godbus/dbus/v5"
)

// NetworkManager's D-Bus interface (networkmanager.dev, D-Bus API reference).
const (
	nmName       = "org.freedesktop.NetworkManager"
	nmDevice     = nmName + ".Device"
	nmNoSecrets  = 7  // NM_DEVICE_STATE_REASON_NO_SECRETS: the key was refused, and nobody is there to ask for another
	nmDisconnect = 8  // ..._SUPPLICANT_DISCONNECT
	nmNotFound   = 53 // ..._SSID_NOT_FOUND
	nmFailed     = 120
	nmNeedAuth   = 60
)

// NMWatch hears what NetworkManager says about a device while it tries networks: a failure is only
// told at the moment when it happens.
type NMWatch struct {
	conn *dbus.Conn

	mu    sync.Mutex
	stage Stage
}

// WatchNM begins to listen; nil where there is no NetworkManager or it does not know the device.
func WatchNM(ctx context.Context, device string) *NMWatch {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return nil
	}
	var path dbus.ObjectPath
	if err := conn.Object(nmName, "/org/freedesktop/NetworkManager").CallWithContext(ctx, nmName+".GetDeviceByIpIface", 0, device).Store(&path); err != nil {
		conn.Close()
		return nil
	}
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchObjectPath(path), dbus.WithMatchInterface(nmDevice), dbus.WithMatchMember("StateChanged")); err != nil {
		conn.Close()
		return nil
	}
	w := &NMWatch{conn: conn, stage: Trying}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	go func() { // ends when Close closes the connection, which closes the channel
		for s := range signals {
			if s.Path == path && s.Name == nmDevice+".StateChanged" {
				w.heard(s.Body)
			}
		}
	}()
	return w
}

// heard takes the body of StateChanged: new state, old state, reason.
func (w *NMWatch) heard(body []any) {
	if len(body) != 3 {
		return
	}
	now, ok1 := body[0].(uint32)
	before, ok2 := body[1].(uint32)
	reason, ok3 := body[2].(uint32)
	if !ok1 || !ok2 || !ok3 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case reason == nmNoSecrets, now == nmNeedAuth && reason == nmDisconnect:
		w.stage = WrongKey
	case reason == nmNotFound:
		w.stage = NotFound
	case now == nmFailed && w.stage == Trying && before != nmNeedAuth:
		w.stage = Rejected
	}
}

// Stage is the last failure heard, or Trying.
func (w *NMWatch) Stage() Stage {
	if w == nil {
		return Trying
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stage
}

// Close stops listening.
func (w *NMWatch) Close() {
	if w != nil {
		w.conn.Close()
	}
}
