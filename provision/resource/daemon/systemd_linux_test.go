package daemon

import (
	"context"
	"os"
	"runtime"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
)

type unitProperty struct {
	Name  string
	Value dbus.Variant
}

type unitPart struct {
	Name       string
	Properties []unitProperty
}

// systemd is a fake service manager with one unit; without an effect its jobs never
// end.
func (r *rig) systemd(unit, state string, effect func()) {
	const (
		manager = dbus.ObjectPath("/org/freedesktop/systemd1")
		job     = dbus.ObjectPath("/org/freedesktop/systemd1/job/1")
	)
	path := dbus.ObjectPath("/org/freedesktop/systemd1/unit/x")
	r.own("org.freedesktop.systemd1")
	r.set(path, "org.freedesktop.systemd1.Unit", "ActiveState", state)
	r.methods(manager, "org.freedesktop.systemd1.Manager", map[string]any{
		"ResetFailedUnit": func(name string) *dbus.Error {
			r.call("ResetFailedUnit:%s", name)
			return nil
		},
		"RestartUnit": func(name, mode string) (dbus.ObjectPath, *dbus.Error) {
			r.call("RestartUnit:%s:%s", name, mode)
			if effect != nil {
				effect()
				_ = r.conn.Emit(manager, "org.freedesktop.systemd1.Manager.JobRemoved", uint32(1), job, name, "done")
			}
			return job, nil
		},
		"StopUnit": func(name, mode string) (dbus.ObjectPath, *dbus.Error) {
			r.call("StopUnit:%s:%s", name, mode)
			if effect != nil {
				effect()
				_ = r.conn.Emit(manager, "org.freedesktop.systemd1.Manager.JobRemoved", uint32(1), job, name, "failed")
			}
			return job, nil
		},
		"StartTransientUnit": func(name, mode string, props []unitProperty, aux []unitPart) (dbus.ObjectPath, *dbus.Error) {
			for _, p := range props {
				if p.Name == "ExecStart" {
					r.call("StartTransientUnit:%s:%v", name, p.Value.Value())
				}
			}
			_ = r.conn.Emit(manager, "org.freedesktop.systemd1.Manager.JobRemoved", uint32(1), job, name, "done")
			return job, nil
		},
	})
	// go-systemd computes the path from the name; answer on the whole subtree.
	get := func(iface, name string) (dbus.Variant, *dbus.Error) {
		if name == "LoadState" {
			return dbus.MakeVariant("loaded"), nil
		}
		return dbus.MakeVariant(state), nil
	}
	if err := r.conn.ExportSubtreeMethodTable(map[string]any{"Get": get}, manager+"/unit", "org.freedesktop.DBus.Properties"); err != nil {
		r.t.Fatal(err)
	}
}

// aside runs f on another thread in the same namespace, so that the namespace's own
// thread is free for what happens meanwhile.
func (r *rig) aside(f func()) {
	ns, err := os.Open(r.ns.Path())
	if err != nil {
		r.t.Fatal(err)
	}
	defer ns.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) doAside(a provision.Action) error { return r.asideWith(r.actor, a) }

func (r *rig) asideWith(x *Actor, a provision.Action) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	r.aside(func() { err = x.Do(ctx, a) })
	return err
}
