package usbgadget

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
)

// kernel is the door to a real configfs, in a virtual machine with libcomposite and
// dummy_hcd loaded: it is given by PROVISION_CONFIGFS=1, because these tests take
// what they find there for their own.
func kernel(t *testing.T) *host.Root {
	t.Helper()
	if os.Getenv("PROVISION_CONFIGFS") == "" {
		t.Skip("skipped: PROVISION_CONFIGFS is not set, which says that this machine's USB gadgets are the test's")
	}
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if err := os.MkdirAll("/images", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile("/images/"+name+".img", make([]byte, 1<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestKernelRules(t *testing.T) { askRules(t, kernel(t)) }

// The same contract as over the fake. What a case leaves is taken down before the next.
func TestKernelConformance(t *testing.T) {
	root := kernel(t)
	for _, c := range conformance() {
		t.Run(c.name, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				t.Cleanup(func() { clear(t, root) })
				return c.open(t, root)
			})
		})
	}
}

// clear removes every gadget.
func clear(t *testing.T, f Files) {
	t.Helper()
	gadgets, err := dir{f, Mount + "/usb_gadget"}.entries(fs.ModeDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gadgets {
		if err := takeDown(context.Background(), f, g); err != nil {
			t.Fatal(err)
		}
	}
}

func takeDown(ctx context.Context, f Files, gadget string) error {
	all := Resources(f, "")
	down := func(r provision.Ref) error {
		have, err := all[r.Kind].Get(ctx, r.Name)
		if err == nil && have != nil {
			if err = all[r.Kind].Set(ctx, r.Name, have, nil); errors.Is(err, provision.ErrPending) {
				err = nil
			}
		}
		return err
	}
	errs := []error{down(UDCRef(gadget)), down(OSDescRef(gadget))}
	d := dir{f, Mount + "/usb_gadget/" + gadget}
	configs, _ := d.sub("configs").entries(fs.ModeDir)
	for _, c := range configs {
		errs = append(errs, down(ConfigRef(gadget, c)))
	}
	functions, _ := d.sub("functions").entries(fs.ModeDir)
	for _, n := range functions {
		errs = append(errs, down(FunctionRef(gadget, n)))
	}
	return errors.Join(append(errs, down(GadgetRef(gadget)))...)
}

func TestKernelOrderOfStrangers(t *testing.T) {
	root := kernel(t)
	defer clear(t, root)
	orderOfStrangers(t, root)
}

// Drawn gadgets through the engine, one after the other, as over the fake; and the
// host, which is the same kernel, has to see the functions in the order that was asked
// for.
func TestKernelTrees(t *testing.T) {
	root := kernel(t)
	defer clear(t, root)
	store := enginetest.NewMemFiles()
	engine := func() *provision.Engine {
		return &provision.Engine{Resources: Resources(root, ""), Store: store.Store()}
	}
	for n := range 12 {
		d := drawn(rand.New(rand.NewPCG(13, uint64(n))), "t", []string{"dummy_udc.0", "dummy_udc.1"})
		if _, err := engine().Apply(t.Context(), d, provision.ApplyOptions{}); err != nil {
			t.Fatalf("%d: %v\n%v", n, err, d.Wants)
		}
		if p, err := engine().Plan(t.Context(), d); err != nil || !p.Empty() {
			t.Fatalf("%d: the second plan is %+v, %v", n, p, err)
		}
		// The host takes one configuration or the other; by its number it is known.
		udc := d.Wants[len(d.Wants)-1].Attrs[AttrUDC]
		bus := "/sys/bus/usb/devices/" + string('1'+udc[len(udc)-1]-'0') + "-1"
		deadline := time.Now().Add(5 * time.Second)
		var got, want string
		for ; time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			got, want = interfaces(bus), ""
			number, _ := os.ReadFile(bus + "/bConfigurationValue")
			for _, w := range d.Wants {
				if w.Kind == KindConfig && strings.HasSuffix(w.Name, "."+strings.TrimSpace(string(number))) {
					want = classes(w.Attrs[AttrFunctions])
				}
			}
			if want != "" && got == want {
				break
			}
		}
		if want == "" || got != want {
			t.Errorf("%d: the host sees interfaces %q, want %q", n, got, want)
		}
	}
	if _, err := engine().Revert(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(Mount + "/usb_gadget"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// interfaces lists the class of each first interface that the host sees of a function.
func interfaces(bus string) string {
	var out []string
	list, _ := filepath.Glob(bus + ":*")
	sort.Slice(list, func(i, j int) bool {
		return len(list[i]) < len(list[j]) || len(list[i]) == len(list[j]) && list[i] < list[j]
	})
	for _, i := range list {
		class, _ := os.ReadFile(i + "/bInterfaceClass")
		sub, _ := os.ReadFile(i + "/bInterfaceSubClass")
		if c := strings.TrimSpace(string(class)) + strings.TrimSpace(string(sub)); c != "0a00" {
			out = append(out, c)
		}
	}
	return strings.Join(out, " ")
}

func classes(functions string) string {
	var out []string
	for _, f := range strings.Fields(functions) {
		kind, _, _ := strings.Cut(f, ".")
		out = append(out, map[string]string{"ecm": "0206", "ncm": "020d", "acm": "0202", "rndis": "0202", "mass_storage": "0806", "hid": "0300"}[kind])
	}
	return strings.Join(out, " ")
}

// crashing is a door that dies before a change.
type crashing struct {
	Files
	left *int
}

func (c crashing) die() {
	if *c.left--; *c.left < 0 {
		panic(died{})
	}
}

func (c crashing) WriteValue(path, value string) error {
	c.die()
	return c.Files.WriteValue(path, value)
}
func (c crashing) Mkdir(path string) error         { c.die(); return c.Files.Mkdir(path) }
func (c crashing) Rmdir(path string) error         { c.die(); return c.Files.Rmdir(path) }
func (c crashing) Symlink(target, at string) error { c.die(); return c.Files.Symlink(target, at) }
func (c crashing) Unlink(path string) error        { c.die(); return c.Files.Unlink(path) }

// A crash before each single change of a first apply, of a change to another gadget and
// of taking it down: the next run goes back, and the one after goes on.
func TestKernelCrashes(t *testing.T) {
	root := kernel(t)
	defer clear(t, root)
	ctx := t.Context()
	store := enginetest.NewMemFiles()
	engine := func(f Files) *provision.Engine {
		return &provision.Engine{Resources: Resources(f, ""), Store: store.Store()}
	}
	apply := func(f Files, d provision.Desired) (err error, dead bool) {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(died); !ok {
					panic(p)
				}
				dead = true
			}
		}()
		_, err = engine(f).Apply(ctx, d, provision.ApplyOptions{})
		return err, false
	}
	gadget := func(qmult string, functions ...string) provision.Desired {
		d := provision.Desired{Wants: []provision.Want{
			Gadget("t", Device{IDVendor: 0x1d6b, IDProduct: 0x104, BCDUSB: 0x200, Class: 0xef, SubClass: 2, Protocol: 1, Product: "x"}, ""),
			Function("t", "ncm.usb0", provision.Attrs{"host_addr": "02:00:00:00:00:01", "dev_addr": "02:00:00:00:00:02", "qmult": qmult,
				"os_desc/interface.ncm/compatible_id": "WINNCM"}, ""),
			Function("t", "acm.GS0", nil, ""),
			Config("t", "c.1", Configuration{MaxPower: 250, Attributes: 0x80, Name: "c", Functions: functions}, ""),
			OSDesc("t", OS{Use: true, VendorCode: 0xcd, Signature: "MSFT100", Config: "c.1"}, ""),
			UDC("t", "dummy_udc.0", ""),
		}}
		d.Holds = Holds(d.Wants)
		return d
	}
	first, second := gadget("5", "ncm.usb0", "acm.GS0"), gadget("10", "acm.GS0", "ncm.usb0")
	crashes := 0
	for n, d := range []provision.Desired{first, second, {}} {
		start := seen(t, root)
		for at := 0; ; at++ {
			left := at
			err, dead := apply(crashing{root, &left}, d)
			if !dead {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			crashes++
			if _, err := engine(root).Recover(ctx); err != nil {
				t.Fatalf("%d: recovery from a crash before write %d: %v", n, at, err)
			}
			if diff := seen(t, root).Diff(start); diff != "" {
				t.Fatalf("%d: a crash before write %d (is / should be):\n%s", n, at, diff)
			}
		}
	}
	if left, _ := os.ReadDir(Mount + "/usb_gadget"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Logf("%d crashes", crashes)
}
