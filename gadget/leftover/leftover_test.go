package leftover

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "write the goldens in testdata anew")

func load(t *testing.T, name string) *facts.Facts {
	t.Helper()
	r, err := os.Open("../../provision/facts/testdata/" + name + "/facts.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := facts.Load(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// edited is a machine of the captured ones, changed.
func edited(t *testing.T, name string, edit func(*facts.Facts)) *facts.Facts {
	f := load(t, name)
	edit(f)
	return f
}

func TestFind(t *testing.T) {
	file := func(f *facts.Facts, name, text string) { f.Files[name] = facts.File{Mode: 0o644, Text: text} }
	for name, f := range map[string]*facts.Facts{
		"unbound-tree-of-somebody": load(t, "pizerow-bookworm-composite"),
		"g-ether-and-isticktoit":   load(t, "pizero2w-trixie-g-ether"),
		"hardill-guide":            load(t, "vm-dummy-udc"),
		"image-that-will":          load(t, "offline-bullseye-image"),
		"official-package-and-cloud-init": edited(t, "pizero2w-trixie-g-ether", func(f *facts.Facts) {
			f.USB.Traces = append(f.USB.Traces, "cloud-init:/boot/firmware/user-data")
			file(f, "/boot/firmware/cmdline.txt", "root=x rootwait\n")
			file(f, "/etc/rc.local", "exit 0\n")
			f.USB.Gadgets = nil
		}),
		"P4wnP1": edited(t, "pizerow-bookworm-composite", func(f *facts.Facts) {
			f.USB.Gadgets = []facts.Gadget{{Name: "mame82_gadget", UDC: "20980000.usb", Manufacturer: "MaMe82", ProductName: "P4wnP1 by MaMe82"}}
			f.USB.Controllers[0].Function = "mame82_gadget"
			f.USB.Traces = []string{"/usr/local/bin/P4wnP1_service", "unit:P4wnP1.service"}
		}),
		"etc-modules": edited(t, "pizerow-bookworm-composite", func(f *facts.Facts) {
			f.USB.Gadgets = nil
			f.USB.Controllers[0].Function = "g_serial"
			f.USB.Modules = append(f.USB.Modules, "g_serial")
			file(f, "/etc/modules", "# modules\ndwc2\n  g_serial  use_acm=1\n")
			file(f, "/etc/modules-load.d/mine.conf", "; g_serial\ng_zero\n")
		}),
		"unit-that-will": edited(t, "pizerow-bookworm-composite", func(f *facts.Facts) {
			f.USB.Gadgets = f.USB.Gadgets[1:]
			f.USB.Traces = []string{"unit:kvmd-otg.service", "unit:mine.service", "unit:provision-gadget.service"}
		}),
		"built-in": edited(t, "pizerow-bookworm-composite", func(f *facts.Facts) { f.USB.Gadgets = nil; f.USB.Controllers[0].Function = "g_cdc" }),
		"tree-that-is-not-seen": edited(t, "pizerow-bookworm-composite", func(f *facts.Facts) {
			f.USB.Gadgets = nil
			f.USB.Controllers[0].Function = "hidden"
		}),
		"package-that-is-off": edited(t, "pizerow-bookworm-composite", func(f *facts.Facts) {
			f.USB.Gadgets = f.USB.Gadgets[1:]
			f.USB.Traces = []string{"/usr/bin/rpi-usb-gadget", "package:rpi-usb-gadget"}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			found := Find(f)
			if err := e.Encode(found); err != nil {
				t.Fatal(err)
			}
			for _, x := range found {
				if x.Name() == "" || len(x.Evidence) == 0 || len(x.Stop) == 0 && (len(x.Holds) > 0 || x.Boot) {
					t.Errorf("no name, no evidence or no way to stop it: %+v", x)
				}
			}
			golden := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", b.Bytes(), want)
			}
		})
	}
}

func TestHolder(t *testing.T) {
	if x, ok := Holder(load(t, "pizero2w-trixie-g-ether"), "3f980000.usb"); !ok || x.Name() != "g_ether (of rpi-usb-gadget)" {
		t.Errorf("holder %q, %v", x.Name(), ok)
	}
	f := load(t, "pizerow-bookworm-composite")
	if x, ok := Holder(f, "20980000.usb"); ok {
		t.Errorf("our own gadget is said to be %q", x.Name())
	}
	if x, ok := Holder(f, "20980000.usb", "another"); !ok || x.Name() != "gadget provision" {
		t.Errorf("holder %q, %v", x.Name(), ok)
	}
}

func TestNothing(t *testing.T) {
	if got := Find(&facts.Facts{}); len(got) != 0 {
		t.Errorf("found %+v on a machine without a device side", got)
	}
	f := load(t, "pizerow-bookworm-composite")
	f.USB.Gadgets = slices.DeleteFunc(f.USB.Gadgets, func(g facts.Gadget) bool { return g.Name != Own })
	if got := Find(f); len(got) != 0 {
		t.Errorf("found %+v beside our own", got)
	}
}
