package bootfile

import (
	"slices"
	"strings"
)

// Arch is the version of the ARM architecture that the board has: 6, 7 or 8; 0 unknown. Of the Raspberry Pi 2 only the later
// ones have 8: it is 7 here.
func (b Board) Arch() int {
	switch {
	case b.Type < 0:
		return 0
	case slices.Contains(b.Filters, "pi02"):
		return 8
	case b.Filters[0] == "pi0" || b.Filters[0] == "pi1":
		return 6
	case b.Filters[0] == "pi2":
		return 7
	}
	return 8
}

// kernels are the names that the firmware knows, and chooses between by itself.
var (
	kernels32 = []string{"kernel7.img", "kernel7l.img", "kernel.img"}
	kernels64 = []string{"kernel8.img", "kernel_2712.img"}
)

// Bits says how wide the kernel is that the firmware starts on a board, 32 or 64, and why; 0 where that cannot be told. files are
// the texts of ReadUSB, exists is asked for names beside config.txt. See kernel and arm_64bit in the documentation of config.txt
// (raspberrypi.com/documentation/computers/config_txt.html, boot options).
func Bits(files map[string]string, b Board, exists func(name string) bool) (bits int, why string) {
	if b.Arch() == 6 {
		return 32, "a " + b.Name + " has a processor of 32 bits"
	}
	if slices.Contains(b.Filters, "pi5") {
		return 64, "a " + b.Name + " takes no other"
	}
	w := walk{files: files, board: b, section: section{}}
	w.file("config.txt", 0)
	first := func(names []string) string {
		if i := slices.IndexFunc(names, exists); i >= 0 {
			return names[i]
		}
		return ""
	}
	narrow, wide := first(kernels32), first(kernels64)
	switch {
	case w.unsureBits:
		return 0, "config.txt says it under a filter that cannot be judged"
	case slices.Contains(kernels32, w.kernel):
		return 32, "config.txt has kernel=" + w.kernel
	case slices.Contains(kernels64, w.kernel):
		return 64, "config.txt has kernel=" + w.kernel
	case w.wide != "":
		if w.wide == "0" {
			return 32, "config.txt has arm_64bit=0"
		}
		return 64, "config.txt has arm_64bit=" + w.wide
	case w.kernel != "" || narrow == "" && wide == "":
		return 0, ""
	case wide == "":
		return 32, "there is " + narrow + " and no kernel of 64 bits"
	case narrow == "":
		return 64, "there is " + wide + " and no kernel of 32 bits"
	case b.Type < 0:
		return 0, "there are both " + narrow + " and " + wide
	case slices.Contains(b.Filters, "pi4"):
		return 64, "a " + b.Name + " takes " + wide + " where config.txt does not say otherwise"
	}
	return 32, "a " + b.Name + " takes " + narrow + " where config.txt does not say otherwise"
}

// width notes what a setting says of the kernel.
func (w *walk) width(l Line) {
	a, _ := w.section.counts()
	switch {
	case a == No || l.Key != strings.TrimSpace(l.Key) || strings.HasPrefix(l.Value, " "): // there must be no blank beside the =
	case a == Unknown:
		w.unsureBits = true
	case l.Key == "kernel":
		w.kernel, w.unsureBits = strings.TrimSpace(l.Value), false
	default:
		w.wide, w.unsureBits = strings.TrimSpace(l.Value), false
	}
}
