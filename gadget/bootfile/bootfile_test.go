package bootfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	zeroW  = "Raspberry Pi Zero W Rev 1.1"
	zero2W = "Raspberry Pi Zero 2 W Rev 1.0"
	pi4    = "Raspberry Pi 4 Model B Rev 1.4"
	cm4    = "Raspberry Pi Compute Module 4 Rev 1.0"
	cm5    = "Raspberry Pi Compute Module 5 Rev 1.0"
)

// stock is how Raspberry Pi OS ends its config.txt.
const stock = "dtparam=audio=on\n\n[cm4]\notg_mode=1\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n\n[all]\n"

func TestReadUSB(t *testing.T) {
	for _, c := range []struct {
		name, board, text string
		device            Answer
		mode              Mode
		by                int
		notes             []string // "LINE ANSWER: part of what it says"
	}{
		{"empty", zeroW, "", No, ModeNone, 0, nil},
		{"stock image", zeroW, stock, No, ModeNone, 0, []string{"4 no: under [cm4], which is not this board", "7 no: under [cm5]"}},
		{"stock image and the official package", zeroW, stock + "dtoverlay=dwc2,dr_mode=peripheral\n", Yes, ModePeripheral, 10, []string{"4 no", "7 no", "10 yes: a device"}},
		{"guides", zeroW, "dtoverlay=dwc2\n", Yes, ModeOTG, 1, []string{"1 yes: ID pin"}},
		{"old syntax", zeroW, "device_tree_overlay=dwc2:dr_mode=peripheral\r\n", Yes, ModePeripheral, 1, []string{"1 yes"}},
		{"appended after a filter", zeroW, "[cm5]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no: under [cm5], which is not this board"}},
		{"pi0 sees a Zero 2", zero2W, "[pi0]\ndtoverlay=dwc2\n[pi0w]\ndtparam=x=1\n", Yes, ModeOTG, 2, []string{"2 yes"}},
		{"pi02 is no Zero W", zeroW, "[pi02]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no: under [pi02]"}},
		{"model filters replace each other", zeroW, "[pi4]\n[pi0]\ndtoverlay=dwc2\n", Yes, ModeOTG, 3, []string{"3 yes"}},
		{"board-type", zero2W, "[board-type=0x12]\ndtoverlay=dwc2\n", Yes, ModeOTG, 2, []string{"2 yes"}},
		{"board-type of another", zero2W, "[board-type=0x11]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no"}},
		{"none", zeroW, "[none]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no: it stands under [none]"}},
		{"none and a filter", zeroW, "[none]\n[pi0]\ndtoverlay=dwc2\n", Unknown, ModeNone, 0, []string{"3 unknown: [none] and other"}},
		{"own serial", zeroW, "[0xF3A2B1C4]\ndtoverlay=dwc2\n", Yes, ModeOTG, 2, []string{"2 yes"}},
		{"another serial", zeroW, "[0x12]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no: another board's serial"}},
		{"gpio", zeroW, "[gpio4=1]\ndtoverlay=dwc2\n", Unknown, ModeNone, 0, []string{"2 unknown: [gpio4=1]"}},
		{"gpio settled later", zeroW, "[gpio4=1]\ndtoverlay=dwc2,dr_mode=host\n[all]\ndtoverlay=dwc2\n", Yes, ModeOTG, 4, []string{"2 unknown", "4 yes"}},
		{"gpio adds nothing", zeroW, "dtoverlay=dwc2\n[gpio4=1]\ndtparam=dr_mode=peripheral\n", Yes, ModeOTG, 1, []string{"1 yes", "3 unknown"}},
		{"combined filters", zeroW, "[gpio4=1]\n[pi4]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"3 no: under [pi4]"}},
		{"host at last", zeroW, "dtoverlay=dwc2\n[all]\ndtoverlay=dwc2,dr_mode=host\n", No, ModeHost, 3, []string{"1 yes", "3 yes: a host"}},
		{"dtparam after the overlay", zeroW, "dtoverlay=dwc2\ndtparam=dr_mode=host\n", No, ModeHost, 2, []string{"1 yes", "2 yes: a host"}},
		{"dtparam of the base", zeroW, "dtoverlay=dwc2,dr_mode=peripheral\ndtoverlay=\ndtparam=dr_mode=host\n", Yes, ModePeripheral, 1, []string{"1 yes"}},
		{"dtparam of another overlay", zeroW, "dtoverlay=dwc2\ndtoverlay=vc4-kms-v3d\ndtparam=dr_mode=host\n", Yes, ModeOTG, 1, []string{"1 yes"}},
		{"dwc-otg", zeroW, "dtoverlay=dwc2\ndtoverlay=dwc-otg\n", No, ModeHost, 2, []string{"1 yes", "2 yes: host's side"}},
		{"otg_mode on a CM4", cm4, stock + "dtoverlay=dwc2\n", No, ModeXHCI, 4, []string{"4 yes: xHCI", "7 no", "10 yes"}},
		{"otg_mode undone", cm4, stock + "dtoverlay=dwc2\notg_mode=0\n", Yes, ModeOTG, 10, []string{"4 yes", "7 no", "10 yes", "11 yes: leaves the port"}},
		{"otg_mode perhaps, before the overlay", pi4, "[gpio4=1]\notg_mode=1\n[all]\ndtoverlay=dwc2\n", Unknown, ModeOTG, 4, []string{"2 unknown", "4 yes"}},
		{"otg_mode on a Zero", zeroW, "otg_mode=1\ndtoverlay=dwc2\n", Yes, ModeOTG, 2, []string{"1 yes: means nothing on this board", "2 yes"}},
		{"stock on a CM5", cm5, stock, No, ModeHost, 7, []string{"4 no", "7 yes: a host"}},
		{"commented out", zeroW, "#dtoverlay=dwc2\n  # dtoverlay=dwc2,dr_mode=peripheral\n", No, ModeNone, 0, []string{"1 no: commented out", "2 no: commented out"}},
		{"blanks", zeroW, "dtoverlay = dwc2\ndtoverlay= dwc2\n", No, ModeNone, 0, []string{"1 no: no blank", "2 no: no blank"}},
		{"cut", zeroW, "dtoverlay=dwc2,g-rx-fifo-size=558,g-np-tx-fifo-size=32," + strings.Repeat("x=1,", 12) + "dr_mode=host\n", Yes, ModeOTG, 1, []string{"1 yes: first 98 characters"}},
		{"byte order mark", zeroW, "\ufeffdtoverlay=dwc2\n", Yes, ModeOTG, 1, []string{"1 yes"}},
		{"include", zeroW, "include usb.txt\n", Yes, ModePeripheral, 1, []string{"1 yes"}},
		{"include under a filter", zeroW, "[cm5]\ninclude usb.txt\n", No, ModeNone, 0, nil},
		{"filter out of an include", zeroW, "include cm5.txt\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no: under [cm5]"}},
		{"include that is not there", zeroW, "include gone.txt\n", No, ModeNone, 0, []string{"1 yes: not there"}},
		{"include of itself", zeroW, "dtoverlay=dwc2\ninclude config.txt\n", Yes, ModeOTG, 1, nil},
		{"unknown board", "Orange Pi Zero", "[pi0]\ndtoverlay=dwc2\n", Unknown, ModeNone, 0, []string{"2 unknown"}},
		{"unknown board, no filter", "", "dtoverlay=dwc2\n", Yes, ModeOTG, 1, []string{"1 yes"}},
		{"unknown board, otg_mode", "", "otg_mode=1\ndtoverlay=dwc2\n", Unknown, ModeOTG, 2, []string{"1 unknown", "2 yes"}},
		{"indented, as the documentation shows it", zeroW, " [pi0]\n dtoverlay=dwc2\n", Yes, ModeOTG, 2, []string{"2 yes"}},
		{"tryboot", zeroW, "[tryboot]\ndtoverlay=dwc2\n", No, ModeNone, 0, []string{"2 no: under [tryboot]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := BoardOf(c.board, "00000000f3a2b1c4")
			u := ReadUSB(map[string]string{"config.txt": c.text, "usb.txt": "dtoverlay=dwc2,dr_mode=peripheral\n", "cm5.txt": "[cm5]\n"}, b)
			by := 0
			if u.By != nil {
				by = u.By.Line
			}
			if u.Device != c.device || u.Mode != c.mode || by != c.by {
				t.Errorf("device %s, mode %s by line %d; want %s, %s by line %d\n%+v", u.Device, u.Mode, by, c.device, c.mode, c.by, u.Notes)
			}
			if c.name == "include of itself" {
				return
			}
			if len(u.Notes) != len(c.notes) {
				t.Fatalf("notes %+v, want %q", u.Notes, c.notes)
			}
			for i, n := range u.Notes {
				head, says, _ := strings.Cut(c.notes[i], ": ")
				if got := fmt.Sprintf("%d %s", n.Line, n.Counts); got != head || !strings.Contains(n.Says, says) {
					t.Errorf("note %q %q, want %q", got, n.Says, c.notes[i])
				}
			}
		})
	}
}

func TestBoards(t *testing.T) {
	for model, want := range map[string]string{
		"Raspberry Pi Zero Rev 1.3": "pi0", zeroW: "pi0 pi0w", zero2W: "pi0 pi0w pi02", pi4: "pi4", "Raspberry Pi 400 Rev 1.0": "pi4 pi400", cm4: "pi4 cm4",
		"Raspberry Pi Compute Module 4S Rev 1.0": "pi4 cm4s", "Raspberry Pi 5 Model B Rev 1.0": "pi5", "Raspberry Pi 500 Rev 1.0": "pi5 pi500",
		"Raspberry Pi Compute Module 5 Lite Rev 1.0": "pi5 cm5", "Raspberry Pi 3 Model B Plus Rev 1.3": "pi3 pi3+", "Raspberry Pi 3 Model B Rev 1.2": "pi3",
		"Raspberry Pi Compute Module 3 Plus Rev 1.0": "pi3", "Raspberry Pi Model B Rev 2": "pi1", "Orange Pi": "",
	} {
		b, ok := BoardOf(model, "")
		if strings.Join(b.Filters, " ") != want || ok != (want != "") {
			t.Errorf("%s: filters %v, known %v; want %q", model, b.Filters, ok, want)
		}
	}
}

func TestEnsureAndRemove(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "# added by provision: lines 2\n[all]\ndtoverlay=dwc2,dr_mode=peripheral\n"},
		{"no line end", "a=1", "a=1\n# added by provision: lines 2 and the line end before\n[all]\ndtoverlay=dwc2,dr_mode=peripheral\n"},
		{"DOS", "a=1\r\nb=2", "a=1\r\nb=2\r\n# added by provision: lines 2 and the line end before\r\n[all]\r\ndtoverlay=dwc2,dr_mode=peripheral\r\n"},
		{"stock", stock, stock + "# added by provision: lines 3\n[all]\ndtoverlay=dwc2,dr_mode=peripheral\notg_mode=0\n"},
		{"it is there", "dtoverlay=dwc2,dr_mode=peripheral\n", ""},
		{"it is there under [all]", "[cm5]\nx=1\n[all]\ndtoverlay=dwc2,dr_mode=peripheral\r\n", ""},
		{"host after it", "dtoverlay=dwc2,dr_mode=peripheral\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n", "+2"},
		{"under a filter", "[pi0]\ndtoverlay=dwc2,dr_mode=peripheral\n", "+2"},
		{"dtparam after it", "dtoverlay=dwc2,dr_mode=peripheral\ndtparam=dr_mode=host\n", "+2"},
		{"an include after it", "dtoverlay=dwc2,dr_mode=peripheral\ninclude x.txt\n", "+2"},
		{"an include before it", "include x.txt\ndtoverlay=dwc2,dr_mode=peripheral\n", ""},
		{"otg", "dtoverlay=dwc2\n", "+2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changed := EnsurePeripheral(c.text)
			switch c.want {
			case "":
				if changed || got != c.text {
					t.Fatalf("changed to %q", got)
				}
			case "+2":
				if want := c.text + "# added by provision: lines 2\n[all]\ndtoverlay=dwc2,dr_mode=peripheral\n"; got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			default:
				if got != c.want || !changed {
					t.Fatalf("got %q, want %q", got, c.want)
				}
			}
			holds(t, c.text)
		})
	}
}

// holds checks what EnsurePeripheral promises for any text.
func holds(t *testing.T, text string) {
	t.Helper()
	got, changed := EnsurePeripheral(text)
	if !changed && got != text {
		t.Errorf("said to be unchanged: %q became %q", text, got)
	}
	if again, more := EnsurePeripheral(got); more || again != got {
		t.Errorf("not idempotent: %q, then %q", got, again)
	}
	bare, had := RemoveAdded(text)
	if _, still := RemoveAdded(bare); had && still && !strings.Contains(bare, mark) {
		t.Errorf("something is left in %q", bare)
	}
	if !had && changed {
		if back, ok := RemoveAdded(got); !ok || back != text {
			t.Errorf("not reversible: %q became %q and went back to %q", text, got, back)
		}
	}
	for _, model := range []string{zeroW, cm4, cm5} {
		b, _ := BoardOf(model, "1")
		// An include that cannot be seen may do anything; a text without can not.
		if u := ReadUSB(map[string]string{"config.txt": got}, b); u.Device != Yes && strings.Count(got, "\n") < maxLines {
			t.Errorf("%s: %q makes it %s by %+v", model, got, u.Mode, u.By)
		}
	}
}

func TestRemoveKeepsWhatCameLater(t *testing.T) {
	text, _ := EnsurePeripheral("[cm5]\nx=1\n")
	text += "dtparam=i2c=on\n"
	got, _ := RemoveAdded(text)
	if want := "[cm5]\nx=1\n[all]\ndtparam=i2c=on\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEnsureOverlay(t *testing.T) {
	got, changed := EnsureOverlay("[cm5]\ndtoverlay=dwc2\n", "gpio-led", "gpio=17")
	if want := "[cm5]\ndtoverlay=dwc2\n# added by provision: lines 2\n[all]\ndtoverlay=gpio-led,gpio=17\n"; got != want || !changed {
		t.Errorf("got %q, want %q", got, want)
	}
	if again, changed := EnsureOverlay(got, "gpio-led", "gpio=17"); changed || again != got {
		t.Errorf("again: %q", again)
	}
}

func TestCmdline(t *testing.T) {
	const good = "console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 rootwait modules-load=dwc2,g_ether quiet"
	for _, c := range []struct{ name, text, codes, modules string }{
		{"good", good + "\n", "", "dwc2 g_ether"},
		{"no line end", good, "", "dwc2 g_ether"},
		{"blank lines after it", good + "\n\n \n", "", "dwc2 g_ether"},
		{"two lines", good + "\nmodules-load=dwc2\n", "lines", "dwc2 g_ether"},
		{"CRLF", good + "\r\n", "crlf", "dwc2 g_ether"},
		{"CRLF and two lines", good + "\r\n\r\nx\r\n", "crlf lines", "dwc2 g_ether"},
		{"CR alone", "console=tty1\rroot=/dev/sda", "crlf", ""},
		{"empty", "", "empty", ""},
		{"begins with an empty line", "\n" + good, "lines empty", ""},
		{"no root", "console=tty1 quiet", "no-root", ""},
		{"NFS", "root=/dev/nfs nfsroot=1.2.3.4:/x", "", ""},
		{"UTF-16", "r\x00o\x00o\x00t\x00", "nul no-root", ""},
		{"byte order mark", "\ufeff" + good, "bom", "dwc2 g_ether"},
		{"quotes", `dyndbg="file a.c +p" root=/dev/x`, "", ""},
		{"open quote", `root=x a="b`, "quote", ""},
		{"no text", "root=/dev/x \xff\xfe", "not-text", ""},
	} {
		var codes []string
		p := ParseCmdline(c.text)
		for _, x := range p.Problems {
			codes = append(codes, x.Code)
		}
		if got := strings.Join(codes, " "); got != c.codes {
			t.Errorf("%s: problems %q, want %q", c.name, got, c.codes)
		}
		if got := strings.Join(p.Modules(), " "); got != c.modules {
			t.Errorf("%s: modules %q, want %q", c.name, got, c.modules)
		}
	}
}

func TestCmdlineEdit(t *testing.T) {
	for _, c := range []struct{ text, ensured, dropped string }{
		{"a root=x\n", "a root=x modules-load=dwc2\n", "a root=x\n"},
		{"a modules-load=g_ether b\r\n", "a modules-load=g_ether,dwc2 b\r\n", "a b\r\n"},
		{"a modules-load=dwc2,g_ether b", "a modules-load=dwc2,g_ether b", "a modules-load=dwc2 b"},
		{"modules-load=g_ether a\nsecond", "modules-load=g_ether,dwc2 a\nsecond", "a\nsecond"},
		{"", "modules-load=dwc2", ""},
		{"\"a b", "modules-load=dwc2 \"a b", "\"a b"},
		{"modules-load= x", "modules-load=dwc2 x", "modules-load= x"},
	} {
		got, _ := EnsureModules(c.text, "dwc2")
		if got != c.ensured {
			t.Errorf("%q with dwc2: %q, want %q", c.text, got, c.ensured)
		}
		if got, _ := DropModules(c.text, "g_ether"); got != c.dropped {
			t.Errorf("%q without g_ether: %q, want %q", c.text, got, c.dropped)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{"", stock, "[none]\n[pi0]\ndtoverlay=dwc2", "include config.txt\r\n", "dtoverlay=dwc2:dr_mode=host,x\n\n[all", "# added by provision: lines 1\n[all]\nx", "a\n# added by provision: lines 2 and the line end before\r\n[all]\r\n", "\ufeff[0xz]\notg_mode=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		for i, l := range ParseConfig(text) {
			if l.Number != i+1 || l.End < l.Start {
				t.Fatalf("line %+v", l)
			}
			b.WriteString(text[l.Start:l.End])
		}
		if b.String() != text {
			t.Fatal("lines are not the text")
		}
		holds(t, text)
	})
}

func FuzzCmdline(f *testing.F) {
	for _, s := range []string{"", "root=x modules-load=dwc2,g_ether\n", "a=\"b c\" \r\nroot", "modules-load modules-load=,,a rd.modules-load=g_ether", "\ufeff\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := ParseCmdline(text)
		for _, p := range c.Params {
			if p.Start < 0 || p.End > len(text) || p.Start >= p.End {
				t.Fatalf("parameter %+v of %q", p, text)
			}
		}
		got, _ := EnsureModules(text, "dwc2")
		if !slices.Contains(ParseCmdline(got).Modules(), "dwc2") {
			t.Fatalf("%q has no dwc2 after %q", got, text)
		}
		if again, changed := EnsureModules(got, "dwc2"); changed || again != got {
			t.Fatalf("not idempotent: %q, %q", got, again)
		}
		if less, _ := DropModules(got, "dwc2"); slices.Contains(ParseCmdline(less).Modules(), "dwc2") {
			t.Fatalf("dwc2 is still in %q", less)
		}
	})
}
