package bootfile

import (
	"slices"
	"strings"
	"testing"
)

func TestBits(t *testing.T) {
	const pi3 = "Raspberry Pi 3 Model B Plus Rev 1.3"
	for _, c := range []struct {
		name, board, config, files string
		bits                       int
		why                        string
	}{
		{"ARMv6 whatever it says", zeroW, "arm_64bit=1\n", "kernel8.img", 32, "processor of 32 bits"},
		{"no other than 64", cm5, "arm_64bit=0\n", "kernel7.img", 64, "takes no other"},
		{"set", zero2W, "arm_64bit=0\n", "kernel8.img", 32, "arm_64bit=0"},
		{"set for another board", zero2W, "[pi4]\narm_64bit=0\n[all]\narm_64bit=1\n", "", 64, "arm_64bit=1"},
		{"the last one counts", "", "arm_64bit=0\narm_64bit=1\n", "", 64, "arm_64bit=1"},
		{"under a filter that nobody can judge", "", "[pi4]\narm_64bit=0\n", "kernel8.img", 0, "filter"},
		{"settled after it", "", "[pi4]\narm_64bit=0\n[all]\narm_64bit=0\n", "kernel8.img", 32, "arm_64bit=0"},
		{"a blank", pi4, "arm_64bit =0\n", "kernel7l.img kernel8.img", 64, "does not say otherwise"},
		{"a known kernel", pi3, "arm_64bit=0\nkernel=kernel8.img\n", "", 64, "kernel=kernel8.img"},
		{"another known kernel", pi4, "kernel=kernel7l.img\n", "kernel8.img", 32, "kernel=kernel7l.img"},
		{"a kernel of its own", pi4, "kernel=vmlinuz\n", "kernel8.img", 0, ""},
		{"and it is said", pi4, "kernel=vmlinuz\narm_64bit=1\n", "", 64, "arm_64bit=1"},
		{"no kernel at all", pi4, "", "", 0, ""},
		{"narrow ones", "", "", "kernel.img", 32, "there is kernel.img"},
		{"wide ones", "", "", "kernel_2712.img", 64, "there is kernel_2712.img"},
		{"both", "", "", "kernel.img kernel8.img", 0, "both"},
		{"both on a Pi 4", pi4, "", "kernel7l.img kernel8.img", 64, "does not say otherwise"},
		{"both on a Pi 3", pi3, "", "kernel7.img kernel8.img", 32, "does not say otherwise"},
	} {
		b, _ := BoardOf(c.board, "")
		bits, why := Bits(map[string]string{"config.txt": c.config}, b, func(n string) bool { return slices.Contains(strings.Fields(c.files), n) })
		if bits != c.bits || !strings.Contains(why, c.why) || c.why == "" && why != "" {
			t.Errorf("%s: %d %q, want %d %q", c.name, bits, why, c.bits, c.why)
		}
	}
	for model, want := range map[string]int{zeroW: 6, "Raspberry Pi Model B Rev 2": 6, "Raspberry Pi 2 Model B Rev 1.1": 7, zero2W: 8, pi4: 8, cm5: 8, "Toaster": 0} {
		if b, _ := BoardOf(model, ""); b.Arch() != want {
			t.Errorf("%s: ARMv%d", model, b.Arch())
		}
	}
}
