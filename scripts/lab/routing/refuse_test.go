//go:build lab && linux

package routing

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

const zones = "  zones: {inside: {interfaces: [usb0]}, outside: {interfaces: [wlan0]}}\n"

// What is wrong is told with its place, the status is 64, and nothing is changed.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	w.plug()
	kernel, files := w.kernel(), w.files()
	for _, c := range []struct{ name, config, says string }{
		{"overlapping zones", "  zones: {a: {interfaces: [usb0]}, b: {interfaces: [\"usb*\"]}}\n", "routing.zones.b.interfaces[0]"},
		{"unknown zone", zones + "  firewall: {rules: [{source-interface: wan, action: allow}]}\n", "routing.firewall.rules[0].source-interface"},
		{"contradiction", zones + "  firewall: {rules: [{source-interface: inside, port: [tcp/80-90], action: deny}, {source-interface: inside, port: [tcp/85], action: allow}]}\n", "contradicts rules[0]"},
		{"unknown key", zones + "  firewal: {}\n", "firewal"},
		{"unknown group", zones + "  firewall: {rules: [{source: [friends], action: allow}]}\n", "routing.firewall.rules[0].source[0]"},
		{"tunnel without endpoint", zones + "  kill-switch: {tunnel: wg0}\n", "routing.kill-switch.endpoints"},
		{"policy rule without a table", "  policy: {rules: [{from: 10.55.0.0/24}]}\n", "routing.policy.rules[0]"},
		{"uplink without a name", "  uplinks: [{interface: \"\"}]\n", "routing.uplinks[0]"},
		{"unknown preset", "  watch: {preset: moon}\n", "routing.watch.preset"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			w.config(c.config)
			commands := []string{"validate", "plan", "apply", "watch"}
			if c.name == "tunnel without endpoint" {
				// Files beside the configuration may tell it, which only those read that look at the machine.
				commands = []string{"plan", "apply"}
			}
			for _, command := range commands {
				out, msg, code := w.run(nil, "timeout", "10", program, command)
				if code != 64 || !strings.Contains(out+msg, c.says) {
					t.Errorf("%s: status %d, and it does not say %q:\n%s%s", command, code, c.says, out, msg)
				}
			}
		})
	}
	if got := w.kernel(); got != kernel {
		t.Errorf("the kernel was changed:\n%s", difference(kernel, got))
	}
	if got := w.files(); got != files {
		t.Errorf("files were changed:\n%s", difference(files, got))
	}
	for _, args := range [][]string{{"firewall", "open", "--for", "1h"}, {"firewall", "close"}} {
		if out, msg, code := w.run(nil, append([]string{program}, args...)...); code != 69 {
			t.Errorf("%v without a watch: status %d, %s%s", args, code, out, msg)
		}
	}
}

// session connects to port 22 of the box from the network outside: to the kernel, that is an SSH session.
func (w *world) session() (client, server net.Conn) {
	w.t.Helper()
	var l net.Listener
	if err := w.Do(func() (err error) { l, err = net.Listen("tcp4", "198.51.100.2:22"); return err }); err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	if err := w.net.Do(func() (err error) {
		client, err = net.DialTimeout("tcp4", "198.51.100.2:22", 5*time.Second)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// talks sends a line each way.
func talks(client, server net.Conn) error {
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		_ = way[0].SetDeadline(time.Now().Add(5 * time.Second))
		_ = way[1].SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := way[0].Write([]byte("line\n")); err != nil {
			return err
		}
		buf := make([]byte, 5)
		if _, err := way[1].Read(buf); err != nil {
			return err
		}
	}
	return nil
}

// A policy that an SSH session would not come back through is refused, unless it is forced.
func TestSessionIsNotCut(t *testing.T) {
	w := newWorld(t)
	w.plug()
	client, server := w.session()
	remote := server.RemoteAddr().(*net.TCPAddr)
	env := []string{fmt.Sprintf("SSH_CONNECTION=%v %d 198.51.100.2 22", remote.IP, remote.Port)}
	kernel, files := w.kernel(), w.files()
	w.config(router)
	out, msg, code := w.run(env, program, "apply")
	if code == 0 || !strings.Contains(msg, "refused, nothing was changed") || !strings.Contains(msg, "198.51.100.1") || !strings.Contains(msg, "--force") {
		t.Errorf("apply: status %d, %s%s", code, out, msg)
	}
	t.Logf("status %d: %s", code, msg)
	if got := w.kernel(); got != kernel {
		t.Errorf("the kernel was changed:\n%s", difference(kernel, got))
	}
	if got := w.files(); got != files {
		t.Errorf("files were changed:\n%s", difference(files, got))
	}
	if err := talks(client, server); err != nil {
		t.Fatalf("the session is lost: %v", err)
	}
	if out, msg, code := w.run(env, program, "firewall", "check"); code != 2 || !strings.Contains(out, "198.51.100.1") {
		t.Errorf("firewall check: status %d, %s%s", code, out, msg)
	}
	// With management from there the session lives on.
	w.config(strings.Replace(router, "masquerade: true", "masquerade: true, management: true", 1))
	if out, msg, code := w.run(env, program, "apply"); code != 0 {
		t.Errorf("with management from there: status %d, %s%s", code, out, msg)
	}
	if err := talks(client, server); err != nil {
		t.Errorf("allowed, the session is lost: %v", err)
	}
	w.must(0, "revert")
	w.config(router)
	out, msg, code = w.run(env, program, "apply", "--force")
	t.Logf("forced: status %d, %s%s", code, out, msg)
	if code != 0 || w.table() == "" {
		t.Errorf("forced: status %d, %s%s", code, out, msg)
	}
}
