package networkmanager

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// judge is a cached Debian root with NetworkManager; its programs are run by the
// root's own loader, and only such modes of them as read files and print.
type judge struct{ name, root string }

func judges(t *testing.T) []judge {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no cache directory: %v", err)
	}
	bins, _ := filepath.Glob(filepath.Join(cache, "provision/lab/*-nm-*/usr/sbin/NetworkManager"))
	var out []judge
	for _, bin := range bins {
		root := strings.TrimSuffix(bin, "/usr/sbin/NetworkManager")
		if strings.HasSuffix(root, ".tmp") { // being built
			continue
		}
		out = append(out, judge{filepath.Base(root), root})
	}
	if len(out) == 0 {
		t.Skipf("no NetworkManager in %s/provision/lab/*-nm-* (scripts/lab/rootfs bookworm-nm trixie-nm builds them)", cache)
	}
	return out
}

func (j judge) run(t *testing.T, stdin, program string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	loader, _ := filepath.Glob(j.root + "/usr/lib*/ld-linux*.so*")
	libs, _ := filepath.Glob(j.root + "/usr/lib/*-linux-gnu*")
	if len(loader) == 0 || len(libs) == 0 {
		t.Fatalf("%s has no loader or no libraries", j.root)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, loader[0], append([]string{"--library-path", strings.Join(libs, ":"), j.root + program}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"PATH=/nonexistent", "LC_ALL=C"}, strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %v: timeout", program, args)
	}
	return o.String(), e.String(), err == nil
}

// TestJudgeConf: NetworkManager reads our conf.d file as we mean it.
func TestJudgeConf(t *testing.T) {
	d, err := desire(t, backendtest.NM("1.52.1"), func(n *backends.NIC) { n.DemoteDNS = n.Role == facts.RoleNAT })
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range judges(t) {
		t.Run(j.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"conf.d", "system"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for name, text := range map[string]string{"NetworkManager.conf": "[main]\nplugins=keyfile\n", "conf.d/90-provision.conf": d.Wants[1].Attrs[file.AttrContent]} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, msg, ok := j.run(t, "", "/usr/sbin/NetworkManager", "--print-config", "--config", dir+"/NetworkManager.conf", "--config-dir", dir+"/conf.d",
				"--system-config-dir", dir+"/system", "--intern-config", dir+"/intern.conf")
			if !ok {
				t.Fatalf("NetworkManager refuses it: %s%s", out, msg)
			}
			read, err := keyfile.Parse([]byte(out))
			if err != nil {
				t.Fatalf("cannot read what it prints: %v\n%s", err, out)
			}
			for _, c := range [][3]string{
				{"connection-provision-enp0s3", "match-device", "interface-name:=enp0s3"},
				{"connection-provision-enp0s3", "ipv4.route-metric", "1000"}, {"connection-provision-enp0s3", "ipv6.route-metric", "1000"},
				{"connection-provision-enp0s3", "ipv4.dns-priority", "1000"},
				{"connection-provision-enp0s8", "ipv4.route-metric", "10"}, {"connection-provision-enp0s8", "ipv6.route-metric", "10"},
			} {
				if v, _, _ := read.Get(c[0], c[1]); v != c[2] {
					t.Errorf("[%s] %s is %q for NetworkManager, want %q\n%s%s", c[0], c[1], v, c[2], out, msg)
				}
			}
			if strings.Contains(msg, "unknown") || strings.Contains(msg, "WARN") {
				t.Errorf("NetworkManager warns: %s", msg)
			}
		})
	}
}

// TestJudgeProfiles: nmcli reads our own profile and an edited one, and agrees about
// each metric.
func TestJudgeProfiles(t *testing.T) {
	profiles := map[string]string{}
	for name, f := range map[string]*facts.Facts{"own": bare("1.52.1", false), "edited": explicit("1.52.1")} {
		d, err := desire(t, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Wants {
			if w.Kind == file.SecretKind {
				profiles[name] = w.Attrs[file.AttrContent]
			}
		}
	}
	want := map[string]string{"own": "11", "edited": "1000"}
	for _, j := range judges(t) {
		for name, text := range profiles {
			t.Run(j.name+"/"+name, func(t *testing.T) {
				out, msg, ok := j.run(t, text, "/usr/bin/nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes")
				if !ok {
					t.Fatalf("nmcli refuses it: %s%s\n%s", out, msg, text)
				}
				read, err := keyfile.Parse([]byte(out))
				if err != nil {
					t.Fatalf("cannot read what nmcli prints: %v\n%s", err, out)
				}
				for _, section := range []string{"ipv4", "ipv6"} {
					if v, _, _ := read.Get(section, "route-metric"); v != want[name] {
						t.Errorf("[%s] route-metric is %q for nmcli, want %s\n%s", section, v, want[name], out)
					}
				}
				if v, _, _ := read.Get("connection", "interface-name"); !strings.HasPrefix(v, "enp0s") {
					t.Errorf("interface-name %q", v)
				}
			})
		}
	}
}

// TestJudgeKeyfile: what our parser refuses, NetworkManager's library refuses, and the
// other way round.
func TestJudgeKeyfile(t *testing.T) {
	head := "[connection]\nid=x\nuuid=11111111-1111-4111-8111-111111111111\ntype=ethernet\n"
	tail := "\n[ipv4]\nmethod=auto\nroute-metric=7\n"
	for _, j := range judges(t) {
		for _, c := range []struct{ name, text string }{
			{"plain", head + tail}, {"comment", "# c\n" + head + "  # c\n" + tail}, {"semicolon", head + "; c\n" + tail},
			{"key first", "id=x\n" + head + tail}, {"no value", head + "foo\n" + tail}, {"blank key", head + "=x\n" + tail},
			{"text behind a group", head + "[ipv6] x\n" + tail}, {"blanks behind a group", head + "[proxy] \t\n" + tail},
			{"CRLF", strings.ReplaceAll(head+tail, "\n", "\r\n")}, {"twice", head + tail + tail}, {"indented", strings.ReplaceAll(head+tail, "\n", "\n  ")},
			{"blanks around =", head + "\n[ipv4]\nmethod=auto\nroute-metric = 7 \n"},
		} {
			t.Run(j.name+"/"+c.name, func(t *testing.T) {
				k, err := keyfile.Parse([]byte(c.text))
				out, msg, ok := j.run(t, c.text, "/usr/bin/nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes")
				if ok != (err == nil) {
					t.Fatalf("we say %v, nmcli says %v: %s\n%s", err, ok, msg, c.text)
				}
				if !ok {
					return
				}
				p := profile{file: k}
				ours, _, _ := p.metric(4)
				theirs, err := keyfile.Parse([]byte(out))
				if err != nil {
					t.Fatal(err)
				}
				if v, _, _ := theirs.Get("ipv4", "route-metric"); ours != 7 || v != "7" {
					t.Errorf("we read %d, nmcli %q", ours, v)
				}
			})
		}
	}
}
