package lab

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Tier names what a test needs from the host; it is an argument of the script setup.
type Tier string

// The tiers with tools of their own.
const (
	Tier2 Tier = "tier2" // namespaces, systemd-nspawn, DHCP and RA servers
	Tier3 Tier = "tier3" // QEMU
	ARM   Tier = "arm"   // qemu-user for ARMv6 binaries
	Serve Tier = "serve" // tier2, DHCP and DNS clients, and the peers of our own server

	Gadget Tier = "gadget" // QEMU, and the programs of a USB host in its guest
	Raspi0 Tier = "raspi0" // QEMU's Pi Zero
	Wifi   Tier = "wifi"   // QEMU, an access point and a station in its guest

	Packages Tier = "packages" // tier2, and what judges packages and manual pages
	Vagrant  Tier = "vagrant"  // the real Vagrant, and containers as its machines
)

var setups sync.Map // Tier -> func() error

// Need installs what the tier needs, or skips the test and prints why: PROVISION_LAB=off, no root, or a failed setup.
// With PROVISION_LAB=must a missing tier fails the test: for continuous integration, where a skip would hide a hole.
// With PROVISION_LAB=here nothing is installed: a guest was given what its tests need, and has none of the scripts.
func Need(t testing.TB, tier Tier) {
	t.Helper()
	mode := os.Getenv("PROVISION_LAB")
	give := t.Skipf
	if mode == "must" {
		give = t.Fatalf
	}
	switch mode {
	case "off":
		t.Skip("lab: PROVISION_LAB=off")
	case "here":
		return
	}
	if os.Geteuid() != 0 {
		give("lab: %s needs root (namespaces, mounts)", tier)
		return
	}
	run, _ := setups.LoadOrStore(tier, sync.OnceValue(func() error {
		_, err := script("setup", string(tier))
		return err
	}))
	if err := run.(func() error)(); err != nil {
		give("lab: %v", err)
	}
}

// Root returns the directory of the Debian root called name (see the script rootfs for the names), and builds it if it is
// not cached. It is shared: never write to it.
func Root(t testing.TB, name string) string {
	t.Helper()
	dir, err := script("rootfs", name)
	if err != nil {
		t.Fatalf("lab: cannot get root %s: %v", name, err)
	}
	return dir
}

// RootName says which name Root was given for dir.
func RootName(dir string) string {
	base := filepath.Base(dir)
	if i := strings.LastIndexByte(base, '-'); i > 0 {
		return base[:i]
	}
	return base
}

// script runs one of the lab's own scripts and returns the last line of its output.
func script(name string, args ...string) (string, error) {
	dir, err := scriptDir()
	if err != nil {
		return "", err
	}
	var out, msg bytes.Buffer
	cmd := exec.Command(filepath.Join(dir, name), args...)
	cmd.Stdout, cmd.Stderr = &out, &msg
	if err := cmd.Run(); err != nil {
		return "", errors.New(name + " " + strings.Join(args, " ") + ": " + strings.TrimSpace(msg.String()))
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[len(lines)-1], nil
}

// scriptDir finds scripts/lab from the working directory, which go test sets to the package's own.
func scriptDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "scripts", "lab"), nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("cannot find the module's scripts/lab above the working directory")
		}
		dir = up
	}
}
