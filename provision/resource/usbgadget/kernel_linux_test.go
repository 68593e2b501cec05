package usbgadget

import (
	"os"
	"testing"

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
