package usbgadget

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

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
