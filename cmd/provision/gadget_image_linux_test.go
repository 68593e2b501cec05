package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A card that is prepared for a board: its managers are told to leave the gadget's links alone, its
// units start with it, and revert takes all of that away again.
func TestGadgetInAnImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	im := images()[2]
	im.files = maps.Clone(im.files)
	im.files["/usr/local/bin/provision"] = ""
	root := im.unpack(t)
	if err := os.WriteFile(filepath.Join(root, "etc/provision/provision.yaml"), []byte("version: 1\ngadget:\n  profile: modern\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, root)
	if code, out, errs := call(t, "--root", root, "apply"); code != 0 {
		t.Fatalf("apply: status %d, %s%s", code, out, errs)
	}
	for name, want := range map[string]string{
		"/etc/NetworkManager/conf.d/90-provision-gadget.conf":                     "unmanaged-devices+=driver:g_ether",
		"/etc/systemd/system/provision-gadget.service":                            "ExecStart=/usr/local/bin/provision gadget watch",
		"/etc/systemd/system/usb-gadget.target.wants/provision-gadget.service":    "gadget watch",
		"/etc/systemd/system/provision-serve.service":                             "ExecStart=/usr/local/bin/provision serve",
		"/etc/systemd/system/multi-user.target.wants/provision-serve.service":     "provision serve",
		"/etc/systemd/system/dev-ttyGS0.device.wants/provision-login-gs0.service": "/dev/ttyGS0",
	} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, want %q in\n%s", name, err, want, text)
		}
	}
	if code, out, errs := call(t, "--root", root, "apply"); code != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("the second time: status %d, %s%s", code, out, errs)
	}
	if code, _, errs := call(t, "--root", root, "revert"); code != 0 {
		t.Fatalf("revert: status %d, %s", code, errs)
	}
	left := slices.DeleteFunc(differences(before, snapshot(t, root)), func(name string) bool { return strings.HasPrefix(name, "/var/lib/provision") })
	if len(left) > 0 {
		t.Errorf("not as they were: %q", left)
	}
}
