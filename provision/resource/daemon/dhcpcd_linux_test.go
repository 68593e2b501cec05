package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host"
)

func TestPersistent(t *testing.T) {
	for conf, want := range map[string]bool{
		"hostname\npersistent\n":            true,
		"  persistent":                      true,
		"#persistent\n":                     false,
		"persistent_reply\n":                false,
		"":                                  false,
		"option rapid_commit\n# persistent": false,
	} {
		if persistent([]byte(conf)) != want {
			t.Errorf("%q: want %v", conf, want)
		}
	}
}

// put writes a file below the actor's root.
func (r *rig) put(path, text string) {
	r.t.Helper()
	p := r.actor.path(path)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func newDhcpcdRig(t *testing.T, conf string) *rig {
	r := newRig(t)
	r.actor.Root = t.TempDir()
	r.put("/etc/dhcpcd.conf", conf)
	return r
}

func TestDhcpcdServiceNeedsPersistent(t *testing.T) {
	r := newDhcpcdRig(t, "hostname\n")
	r.systemd(dhcpcdUnit, "active", func() {})
	err := r.do(DhcpcdRestart("name:eth0", "eth0", 1000, true))
	if err == nil || !strings.Contains(err.Error(), `has no line "persistent"`) || len(r.called()) != 0 {
		t.Errorf("got %v, calls %v", err, r.called())
	}
	r.put("/etc/dhcpcd.conf", "persistent\n")
	if err := r.do(DhcpcdRestart("name:eth0", "eth0", 1000, true)); err != nil {
		t.Error(err)
	}
	if got := strings.Join(r.called(), " "); got != "ResetFailedUnit:dhcpcd.service RestartUnit:dhcpcd.service:replace" {
		t.Errorf("calls: %s", got)
	}
}

// startDhcpcd runs a process of that name and writes its pid file.
func (r *rig) startDhcpcd() (exe string, ended <-chan struct{}) {
	r.t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		r.t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		r.t.Fatal(err)
	}
	exe = filepath.Join(r.t.TempDir(), "dhcpcd")
	if err := os.WriteFile(exe, program, 0o755); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(exe, "600")
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	r.t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	r.put("/run/dhcpcd/eth0.pid", strconv.Itoa(cmd.Process.Pid)+"\n")
	return exe, done
}

func TestDhcpcdOfOneNICGetsTheStanzasMetric(t *testing.T) {
	for name, c := range map[string]struct {
		answer host.Answer
		want   string
	}{
		"forward":            {host.Answer{Output: host.Output{Stdout: []byte("metric: 1000\n")}}, "-b -m 1000 eth0"},
		"back":               {host.Answer{Output: host.Output{Stdout: []byte("hostname: x\n")}}, "-b eth0"},
		"ifupdown is silent": {host.Answer{Output: host.Output{Code: 1}}, "-b -m 7 eth0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newDhcpcdRig(t, "persistent\n")
			r.systemd("x", "active", func() {})
			f := host.NewFake(t)
			f.Answer("ifquery eth0", c.answer)
			r.actor.Runner = f
			exe, ended := r.startDhcpcd()
			if err := r.do(DhcpcdRestart("name:eth0", "eth0", 7, false)); err != nil {
				t.Fatal(err)
			}
			<-ended
			calls := r.called()
			if len(calls) != 1 || !strings.HasPrefix(calls[0], "StartTransientUnit:provision-dhcpcd-eth0-") ||
				!strings.Contains(calls[0], exe+" ["+exe+" "+c.want+"]") {
				t.Errorf("calls: %v, want %s", calls, c.want)
			}
			if _, err := os.Stat(r.actor.dhcpcdNote("eth0")); err == nil {
				t.Error("the note is still there")
			}
		})
	}
}

// A pid file may name a process of somebody else by now. Its name proves nothing, and
// its program would be started as root.
func TestDhcpcdOfSomebodyElseIsNotStarted(t *testing.T) {
	for name, spoil := range map[string]func(exe string) error{
		"written by others":     func(exe string) error { return os.Chmod(exe, 0o777) },
		"in a directory of all": func(exe string) error { return os.Chmod(filepath.Dir(exe), 0o777) },
		"another user's":        func(exe string) error { return os.Chown(exe, 65534, -1) },
		"another program":       func(exe string) error { return os.Rename(exe, filepath.Join(filepath.Dir(exe), "sh")) },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another user's" && os.Geteuid() != 0 {
				t.Skip("needs root: chown")
			}
			r := newDhcpcdRig(t, "persistent\n")
			r.systemd("x", "active", func() {})
			exe, _ := r.startDhcpcd()
			if err := spoil(exe); err != nil {
				t.Fatal(err)
			}
			if err := r.do(DhcpcdRestart("name:eth0", "eth0", 7, false)); err != nil || len(r.called()) != 0 {
				t.Errorf("got %v, calls %v", err, r.called())
			}
		})
	}
}

func TestDhcpcdNotRunningAndCutOff(t *testing.T) {
	r := newDhcpcdRig(t, "persistent\n")
	r.systemd("x", "active", func() {})
	r.put("/run/dhcpcd/eth0.pid", "1\n") // stale: somebody else's number
	if err := r.do(DhcpcdRestart("name:eth0", "eth0", 7, false)); err != nil || len(r.called()) != 0 {
		t.Errorf("not running: %v, calls %v", err, r.called())
	}
	// A crash came after the old daemon had been stopped.
	if err := writeDurable(r.actor.dhcpcdNote("eth0"), []byte("/usr/sbin/dhcpcd")); err != nil {
		t.Fatal(err)
	}
	if err := r.do(DhcpcdRestart("name:eth0", "eth0", 7, false)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.called(), " "); !strings.Contains(got, "[/usr/sbin/dhcpcd -b -m 7 eth0]") {
		t.Errorf("calls: %s", got)
	}
}
