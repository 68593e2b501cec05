package client

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
)

// TestJudge: NetworkManager reads the profile and the configuration as they are meant.
func TestJudge(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("skipped: no cache directory: %v", err)
	}
	d, err := Plan(backendtest.NM("1.52.1"), []Link{{Name: "usb0"}})
	if err != nil {
		t.Fatal(err)
	}
	conf, profile := d.Wants[0].Attrs["content"], d.Wants[1].Attrs["content"]
	bins, _ := filepath.Glob(filepath.Join(cache, "provision/lab/*-nm-*/usr/bin/nmcli"))
	judged := 0
	for _, bin := range bins {
		root := strings.TrimSuffix(bin, "/usr/bin/nmcli")
		if strings.HasSuffix(root, ".tmp") { // being built
			continue
		}
		judged++
		run := func(stdin, program string, args ...string) []byte {
			loader, _ := filepath.Glob(root + "/usr/lib*/ld-linux*.so*")
			libs, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu*")
			if len(loader) == 0 {
				t.Fatalf("%s has no loader", root)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, loader[0], append([]string{"--library-path", strings.Join(libs, ":"), root + program}, args...)...)
			cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"PATH=/nonexistent", "LC_ALL=C"}, strings.NewReader(stdin)
			var msg bytes.Buffer
			cmd.Stderr = &msg
			out, err := cmd.Output()
			if err != nil || strings.Contains(msg.String(), "unknown") {
				t.Fatalf("%s %s: %v\n%s", filepath.Base(root), program, err, msg.String())
			}
			return out
		}
		get := func(text []byte, group, key string) string {
			k, err := keyfile.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			v, _, _ := k.Get(group, key)
			return v
		}
		out := run(profile, "/usr/bin/nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes")
		for _, group := range []string{"ipv4", "ipv6"} {
			if got := get(out, group, "route-metric"); got != "700" {
				t.Errorf("%s: [%s] route-metric is %q\n%s", filepath.Base(root), group, got, out)
			}
		}
		dir := t.TempDir()
		for name, text := range map[string]string{"NetworkManager.conf": "[main]\nplugins=keyfile\n", "conf.d/90-provision-client.conf": conf, "system/x": ""} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out = run("", "/usr/sbin/NetworkManager", "--print-config", "--config", dir+"/NetworkManager.conf", "--config-dir", dir+"/conf.d",
			"--system-config-dir", dir+"/system", "--intern-config", dir+"/intern.conf")
		if got := get(out, "device-provision-client-usb0", "managed"); got != "1" {
			t.Errorf("%s: managed is %q\n%s", filepath.Base(root), got, out)
		}
	}
	if judged == 0 {
		t.Skip("skipped: no NetworkManager in the lab's roots (scripts/lab/rootfs bookworm-nm trixie-nm builds them)")
	}
}
