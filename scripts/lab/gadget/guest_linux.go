package gadget

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// Guest says what a guest is given and what it runs.
type Guest struct {
	Script string            // for bash, as the guest's only work; its exit status is the guest's
	Files  map[string]string // programs: name in /usr/local/bin of the guest, and the host's file
	Limit  time.Duration     // default 5 min: what lasts longer is ended
	Memory string            // default "768M"
	// Counted: the guest's clock goes by with its instructions, 500 million a second, and jumps while it is idle. What is
	// measured then does not depend on how busy the host is, and the guest takes longer.
	Counted bool
}

// Ended is what is left of a guest.
type Ended struct {
	Status  string // of the script; "" if the guest ended or was ended before its script did
	Said    string // output and errors of the script
	Console string // the kernel's
	Took    time.Duration
	CPU     time.Duration // of the emulator: much less than Took means a busy machine
	Booted  string        // the kernel's clock, in seconds, when init had its share
}

// Run boots a guest, runs the script in it and returns when it is down. The guest has no network but its own.
func Run(t testing.TB, g Guest) Ended {
	t.Helper()
	e, err := g.run(t.TempDir())
	if err != nil {
		t.Fatalf("gadget lab: %v", err)
	}
	return e
}

func (g Guest) run(share string) (Ended, error) {
	if g.Limit == 0 {
		g.Limit = 5 * time.Minute
	}
	if g.Memory == "" {
		g.Memory = "768M"
	}
	initrd, err := exec.Command(filepath.Join(scripts(), "initramfs")).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return Ended{}, fmt.Errorf("cannot make the guest's file system: %w", err)
	}
	image := strings.TrimSpace(string(initrd))
	if err := os.Mkdir(filepath.Join(share, "bin"), 0o755); err != nil {
		return Ended{}, err
	}
	for name, from := range g.Files {
		if err := copyProgram(from, filepath.Join(share, "bin", name)); err != nil {
			return Ended{}, err
		}
	}
	if err := os.WriteFile(filepath.Join(share, "cmd"), []byte(g.Script), 0o644); err != nil {
		return Ended{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.Limit)
	defer cancel()
	clock := []string{"-accel", "tcg,thread=multi"}
	if g.Counted {
		clock = []string{"-accel", "tcg", "-icount", "shift=1,sleep=off"}
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", append(clock, "-machine", "q35", "-cpu", lab.CPU, "-smp", "1", "-m", g.Memory,
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		// The uncompressed kernel boots seconds faster under emulation.
		"-kernel", filepath.Join(filepath.Dir(image), "vmlinux"), "-initrd", image,
		"-append", "console=ttyS0 reboot=t panic=-1 mitigations=off no_timer_check net.ifnames=0 quiet "+Mark,
		"-serial", "file:"+filepath.Join(share, "console"), "-device", "virtio-rng-pci",
		"-virtfs", "local,path="+share+",mount_tag=lab,security_model=none,multidevs=remap")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	var msg strings.Builder
	cmd.Stderr = &msg
	begin := time.Now()
	err = cmd.Run()
	e := Ended{Took: time.Since(begin)}
	if cmd.ProcessState != nil {
		e.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(share, name))
		return string(b)
	}
	e.Status, e.Said, e.Console, e.Booted = strings.TrimSpace(read("rc")), read("out"), read("console"), strings.TrimSpace(read("ready"))
	if err != nil && ctx.Err() == nil {
		return e, fmt.Errorf("cannot run qemu: %w: %s\n%s", err, msg.String(), last(e.Console, 30))
	}
	return e, nil
}

// Mark is the word on the kernel's command line by which the tests inside know that they are in a guest.
const Mark = "provision.gadgetlab"

func last(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// scripts is this directory, found from the working directory, which go test sets to that of the package under test.
func scripts() string {
	for dir, _ := os.Getwd(); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == "/" {
			return filepath.Join(dir, "scripts", "lab", "gadget")
		}
	}
}

// Build makes a program or, for a package of tests, a test binary out of a package of this module, and returns its file.
func Build(t testing.TB, pkg string, test bool, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	BuildTo(t, out, pkg, test, flags...)
	return out
}

// BuildTo is Build into a file that outlives the test, for what several tests share.
func BuildTo(t testing.TB, out, pkg string, test bool, flags ...string) {
	t.Helper()
	argv := []string{"build"}
	if test {
		argv = []string{"test", "-c"}
	}
	argv = append(append(argv, flags...), "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd := exec.Command("go", argv...)
	cmd.Dir = filepath.Join(scripts(), "..", "..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", pkg, err, said)
	}
}
