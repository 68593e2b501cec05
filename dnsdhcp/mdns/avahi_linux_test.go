//go:build lab

package mdns_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

// start runs a daemon in the namespace until the test ends.
func start(t *testing.T, ns *nstest.NS, env []string, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	var err error
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", argv[0], log)
		}
	})
}

// TestAvahi has avahi, the other responder that everybody runs, resolve and browse us, and want our name.
func TestAvahi(t *testing.T) {
	for _, p := range []string{"avahi-daemon", "avahi-browse", "dbus-daemon"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("skipped: no %s; install avahi-daemon and avahi-utils", p)
		}
	}
	one, two := nstest.New(t), nstest.New(t)
	one.Pair("usb0", two, "eth0")
	a := prepare(one, "usb0", "10.77.0.1/24", "fe80::77:1/64")
	prepare(two, "eth0", "10.77.0.2/24", "fe80::77:2/64")
	heard := overhear(t, two, "eth0")
	a.serve(t, "pi")
	until(t, heard, "10.77.0.1", false)

	dir := t.TempDir()
	bus := filepath.Join(dir, "bus")
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := []string{"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + bus}
	start(t, two, env, "dbus-daemon", "--nofork", "--nopidfile", "--config-file="+write("bus.conf", `<busconfig><type>system</type><listen>unix:path=`+bus+`</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/><allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/></policy></busconfig>`))
	waitFor(t, func() bool { _, err := os.Stat(bus); return err == nil })
	start(t, two, env, "avahi-daemon", "--no-drop-root", "--no-rlimits", "--no-chroot", "--debug", "-f",
		write("avahi.conf", "[server]\nhost-name=pi\nallow-interfaces=eth0\nuse-ipv6=yes\n[publish]\npublish-workstation=no\n"))

	run := func(args string) string {
		cmd := exec.Command("timeout", strings.Fields("10 "+args)...)
		cmd.Env = append(os.Environ(), env...)
		var out []byte
		two.Do(func() { out, _ = cmd.CombinedOutput() })
		return strings.TrimSpace(string(out))
	}
	waitFor(t, func() bool { return strings.Contains(run("avahi-resolve -4 -n pi.local"), "10.77.0.1") })
	for args, want := range map[string]string{
		"avahi-resolve -4 -n pi.local":       "pi.local 10.77.0.1",
		"avahi-resolve -6 -n pi.local":       "pi.local fe80::77:1",
		"avahi-resolve -a 10.77.0.1":         "10.77.0.1 pi.local",
		"avahi-browse -k -p -r -t _ssh._tcp": "=;eth0;IPv4;pi;_ssh._tcp;local;pi.local;10.77.0.1;22;",
		"avahi-browse -k -p -a -t":           "+;eth0;IPv4;pi;_ssh._tcp;local",
		"avahi-resolve -4 -n pi-2.local":     "pi-2.local 10.77.0.2", // avahi has given way to us
	} {
		got := strings.Join(strings.Fields(run(args)), " ")
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	a.stop()
	waitFor(t, func() bool { return !strings.Contains(run("avahi-browse -k -p -t _ssh._tcp"), ";pi;") })
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it does not happen")
		}
	}
}
