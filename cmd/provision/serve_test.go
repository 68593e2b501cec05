package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestServerCommandsWithoutServer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sock")
	for _, args := range [][]string{
		{"leases"}, {"leases", "laptop", "--history"}, {"leases", "10.0.0.7", "--at", "14:05"}, {"status"}, {"status", "--metrics"}, {"status", "--queries"},
		{"why", "laptop"}, {"why", "52:54:00:12:34:56", "--reply"},
	} {
		code, out, errs := call(t, append(args, "--socket", socket)...)
		if code != exitMissing || out != "" || !strings.Contains(errs, "the server is not running") || !strings.Contains(errs, "provision serve") {
			t.Errorf("%v: status %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestServerUsage(t *testing.T) {
	for _, tt := range []struct {
		args, want string
	}{
		{"why", "takes a MAC address"},
		{"why a b", "takes a MAC address"},
		{"leases a b", "takes an address"},
		{"leases --at 14:05", "--at needs"},
		{"leases x --at teatime", `"teatime" is no time`},
		{"status now", "takes no argument"},
		{"serve now", "takes no argument"},
		{"serve -c ../../docs/minimal.yaml", "names no links"},
		{"serve --root /tmp", "--root has no meaning"},
		{"hook systemd reboot", `no unit "reboot"`},
	} {
		code, _, errs := call(t, strings.Fields(tt.args)...)
		if code != exitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("provision %s: status %d, %q; want 64 and %q", tt.args, code, errs, tt.want)
		}
	}
	if code, out, _ := call(t, "hook", "systemd", "serve"); code != 0 || !strings.Contains(out, "Type=notify") || !strings.Contains(out, " serve\n") {
		t.Errorf("hook systemd serve: status %d, %s", code, out)
	}
}
