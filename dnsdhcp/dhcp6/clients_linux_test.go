//go:build lab

package dhcp6_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDhclient: what ISC's client makes of the reply. It runs its own script in place of the system's.
func TestDhclient(t *testing.T) {
	path, err := exec.LookPath("dhclient")
	if err != nil {
		t.Skip("skipped: no dhclient; install isc-dhcp-client")
	}
	client := serve(t)
	dir := t.TempDir()
	script, result := filepath.Join(dir, "script"), filepath.Join(dir, "result")
	text := "#!/bin/sh\n[ \"$new_dhcp6_name_servers\" ] && set | grep '^new_dhcp6\\|^reason' >>" + result + "\nexit 0\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out []byte
	client.Do(func() {
		out, err = exec.CommandContext(ctx, path, "-6", "-S", "-1", "-v", "-sf", script, "-lf", filepath.Join(dir, "leases"),
			"-pf", filepath.Join(dir, "pid"), "-cf", "/dev/null", "eth0").CombinedOutput()
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	client.Do(func() {
		_ = exec.Command(path, "-6", "-S", "-x", "-sf", script, "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "-cf", "/dev/null", "eth0").Run()
	})
	got, err := os.ReadFile(result)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"new_dhcp6_name_servers='fd00::1 2001:db8::53'", "new_dhcp6_domain_search='lab.example. home.arpa.'", "new_dhcp6_server_id='0:3:0:1:2:0:0:0:0:1'"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in\n%s\n%s", want, got, out)
		}
	}
}

// TestDhcpcd: what dhcpcd makes of it, without touching the machine.
func TestDhcpcd(t *testing.T) {
	path, err := exec.LookPath("dhcpcd")
	if err != nil {
		t.Skip("skipped: no dhcpcd; install dhcpcd-base")
	}
	client := serve(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out []byte
	client.Do(func() {
		out, err = exec.CommandContext(ctx, path, "-T", "-6", "--noipv6rs", "--inform6", "-f", "/dev/null", "-t", "10",
			"-o", "dhcp6_name_servers,dhcp6_domain_search", "eth0").CombinedOutput()
	})
	for _, want := range []string{"fd00::1 2001:db8::53", "lab.example home.arpa"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s%v", want, out, err)
		}
	}
}
