package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// armGrace is added to the wait of the keeper, so that a confirmation given in
// the last moment is not raced.
const armGrace = 500 * time.Millisecond

// arm starts the keeper: a process that waits and then goes back unless the apply
// was confirmed. It is running before the first effect, so nothing that the apply
// does can keep it from starting, and it belongs neither to this process nor to
// its terminal: a transient service under systemd, a session leader of its own
// elsewhere.
func (a *Agent) arm(ctx context.Context, after time.Duration) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the program for the keeper: %w", err)
	}
	argv := a.keeper(exe, after)
	if a.systemd() {
		err := armSystemd(ctx, argv)
		if err == nil {
			return nil
		}
		a.Log.Warn("cannot start the keeper under systemd, using a detached process", "err", err)
	}
	return armDetached(argv)
}

// keeper is the command line of the keeper: it looks after the same root and state.
func (a *Agent) keeper(exe string, after time.Duration) []string {
	argv := []string{exe, "recover", "--wait", (after + armGrace).String(), "--state-dir", a.StateDir}
	if a.offline() {
		argv = append(argv, "--root", a.Root)
	}
	return argv
}

// systemd reports whether systemd is the init of this machine (sd_booted(3)).
func (a *Agent) systemd() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// armSystemd starts a transient service (org.freedesktop.systemd1(5),
// StartTransientUnit) and waits until its process has been started.
func armSystemd(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer conn.Close()
	type execStart struct {
		Path   string
		Argv   []string
		Ignore bool
	}
	type property struct {
		Name  string
		Value dbus.Variant
	}
	type aux struct {
		Name  string
		Props []property
	}
	props := []property{
		{"Description", dbus.MakeVariant("Go back on an unconfirmed change of the network")},
		// exec: the job is done when execve succeeded, so a program that cannot be
		// started is noticed now and not in the hour of need.
		{"Type", dbus.MakeVariant("exec")},
		{"ExecStart", dbus.MakeVariant([]execStart{{argv[0], argv, false}})},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
		{"DefaultDependencies", dbus.MakeVariant(false)},
	}
	name := "provision-confirm-" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".service"
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.systemd1.Manager"), dbus.WithMatchMember("JobRemoved")); err != nil {
		return err
	}
	manager := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	if err := manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.Subscribe", 0).Err; err != nil {
		return err
	}
	var job dbus.ObjectPath
	if err := manager.CallWithContext(ctx, "org.freedesktop.systemd1.Manager.StartTransientUnit", 0, name, "fail", props, []aux{}).Store(&job); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("systemd did not start %s: %w", name, ctx.Err())
		case s := <-signals:
			if s == nil || len(s.Body) < 4 || s.Body[1] != job {
				continue
			}
			if result, _ := s.Body[3].(string); result != "done" {
				return fmt.Errorf("systemd says %q about %s", result, name)
			}
			return nil
		}
	}
}

// armDetached starts the keeper in a session of its own: it outlives this process
// and does not get the terminal's hangup.
func armDetached(argv []string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = null, null, null
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the keeper that would go back: %w", err)
	}
	return cmd.Process.Release()
}
