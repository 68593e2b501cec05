//go:build lab && linux

package wifi

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// checks are those of inside.sh, in their order.
var checks = []string{"bed", "wrong-passphrase", "right-passphrase", "nothing-twice", "list", "plan-is-empty", "stays-where-it-is", "facts-tell-no-secret",
	"remove", "nobody-of-that-name", "switched-off", "wpa3", "open-network", "gone-without-a-trace"}

// TestWifi boots one guest and makes a subtest of each check. PROVISION_BINARY names a ready program.
func TestWifi(t *testing.T) {
	lab.Need(t, lab.Wifi)
	share := t.TempDir()
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(filepath.Join(share, "provision"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("inside.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(share, "inside.sh"), script, 0o644); err != nil {
		t.Fatal(err)
	}
	made := exec.Command("./initramfs")
	made.Stderr = os.Stderr
	initrd, err := made.Output()
	if err != nil {
		t.Fatalf("cannot make the guest's file system: %v", err)
	}
	image := strings.TrimSpace(string(initrd))
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", lab.CPU, "-smp", "1", "-m", "512M",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", filepath.Join(filepath.Dir(image), "vmlinux"), "-initrd", image,
		"-append", "console=ttyS0 reboot=t panic=-1 mitigations=off no_timer_check net.ifnames=0 quiet", "-serial", "file:"+filepath.Join(share, "console"),
		"-device", "virtio-rng-pci", "-virtfs", "local,path="+share+",mount_tag=lab,security_model=none,multidevs=remap")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	begin := time.Now()
	err = cmd.Run()
	t.Logf("the guest took %.1f s", time.Since(begin).Seconds())
	said, _ := os.ReadFile(filepath.Join(share, "out"))
	if err != nil || len(said) == 0 {
		console, _ := os.ReadFile(filepath.Join(share, "console"))
		t.Fatalf("the guest failed: %v\n%s\n%s", err, said, console)
	}
	for _, name := range checks {
		t.Run(name, func(t *testing.T) {
			_, after, _ := strings.Cut(string(said), "--- "+name+" (")
			text, _, _ := strings.Cut(after, "\n--- ")
			t.Log("\n" + text)
			if !strings.Contains(text, "\nok "+name) || strings.Contains(text, "\nFAIL ") {
				t.Error("failed in the guest")
			}
		})
	}
	if n := strings.Count("\n"+string(said), "\n--- "); n != len(checks) {
		t.Errorf("%d checks ran, want %d", n, len(checks))
	}
}
