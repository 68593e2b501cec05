package gadget

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// zeroInit is the first process of the Pi Zero's guest: the script is run by busybox, which is all that there is.
const zeroInit = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin; ln -s /bin/busybox /sbin/modprobe # which the kernel itself calls
export PATH=/bin:/sbin HOME=/root TERM=dumb
mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
for m in bcm2835_rng configfs libcomposite dummy_hcd cdc_ether cdc_ncm cdc_acm af_packet; do modprobe $m || echo "there is no module $m"; done
mount -t configfs config /sys/kernel/config; ip link set lo up; cd /root
sh /cmd < /dev/null 2>&1
echo "` + zeroEnd + ` $?"; sync; reboot -f
`

const zeroEnd = "lab: the script ended with status"

// RunZero boots QEMU's Pi Zero with Debian's kernel for it and runs the script of g, of busybox's sh, in it. What it prints comes out by
// the serial line, among the kernel's words. Files are put into /bin.
func RunZero(t testing.TB, g Guest) Ended {
	t.Helper()
	if g.Limit == 0 {
		g.Limit = 6 * time.Minute
	}
	e, err := g.runZero(t.TempDir())
	if err != nil {
		t.Fatalf("gadget lab: %v", err)
	}
	return e
}

func (g Guest) runZero(dir string) (Ended, error) {
	out, err := exec.Command(filepath.Join(scripts(), "raspi0")).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return Ended{}, fmt.Errorf("cannot get the Pi Zero's kernel: %w", err)
	}
	kernel := strings.TrimSpace(string(out))
	more := filepath.Join(dir, "more")
	if err := os.MkdirAll(filepath.Join(more, "bin"), 0o755); err != nil {
		return Ended{}, err
	}
	for name, from := range g.Files {
		if err := copyProgram(from, filepath.Join(more, "bin", name)); err != nil {
			return Ended{}, err
		}
	}
	err = errors.Join(os.WriteFile(filepath.Join(more, "init"), []byte(zeroInit), 0o755), os.WriteFile(filepath.Join(more, "cmd"), []byte(g.Script), 0o644))
	if err != nil {
		return Ended{}, err
	}
	image := filepath.Join(dir, "initrd")
	pack := exec.Command("bash", "-ec", `cp "$1/base.cpio" "$2"; cd "$3"; find . -print0 | cpio --null -o -H newc --quiet -R 0:0 >> "$2"`, "pack", kernel, image, more)
	if said, err := pack.CombinedOutput(); err != nil {
		return Ended{}, fmt.Errorf("cannot pack the Pi Zero's files: %w: %s", err, said)
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-arm", "-M", "raspi0", "-accel", "tcg",
		// Time goes by with instructions. By the host's clock the system timer is set to a moment that has passed already when the host is
		// busy, and then it fires after an hour.
		"-icount", "shift=2,sleep=off", "-kernel", filepath.Join(kernel, "vmlinuz"),
		"-dtb", filepath.Join(kernel, "dtb"), "-initrd", image, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
		// QEMU lacks the block that bcm2835_power wants to find, and the kernel does not survive that.
		"-append", "console=ttyAMA0,115200 panic=-1 quiet initcall_blacklist=bcm2835_power_driver_init")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	var msg strings.Builder
	cmd.Stderr = &msg
	line, err := cmd.StdoutPipe()
	if err != nil {
		return Ended{}, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return Ended{}, err
	}
	var e Ended
	var said strings.Builder
	for lines := bufio.NewScanner(line); lines.Scan(); {
		text := strings.TrimRight(lines.Text(), "\r")
		if status, ok := strings.CutPrefix(text, zeroEnd+" "); ok {
			e.Status = status
			cancel() // its reset does not always end QEMU
			break
		}
		said.WriteString(text + "\n")
	}
	werr := cmd.Wait()
	e.Took, e.CPU, e.Said = time.Since(begin), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), said.String()
	if e.Status == "" && ctx.Err() == nil {
		return e, fmt.Errorf("the Pi Zero ended before its script: %w: %s\n%s", werr, msg.String(), last(e.Said, 40))
	}
	return e, nil
}
