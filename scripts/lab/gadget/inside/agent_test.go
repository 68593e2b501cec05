//go:build lab && linux

package inside

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

const configFile = "/etc/provision/provision.yaml"

// pi is this machine as `provision` runs it, with its server.
type pi struct {
	t     *testing.T
	serve *exec.Cmd
	log   *os.File
}

// status is what the tests want of `gadget up -o json`.
type status struct {
	Result struct {
		Writes int `json:"writes"`
	} `json:"result"`
	Links []struct {
		Name      string         `json:"name"`
		MAC       string         `json:"mac"`
		Addresses []netip.Prefix `json:"addresses"`
	} `json:"links"`
}

// newPi has a server and no gadget. What a test leaves is taken away.
func newPi(t *testing.T, config string) *pi {
	t.Helper()
	p := &pi{t: t}
	p.configure(config)
	if err := os.MkdirAll("/run/openrc", 0o755); err != nil { // which init it is: none of those that would be asked to do something
		t.Fatal(err)
	}
	p.start()
	t.Cleanup(func() {
		if out, code := p.run("gadget", "down"); code != 0 {
			t.Errorf("gadget down: status %d\n%s", code, out)
		}
		if left := bed.Gadgets(); len(left) > 0 {
			t.Errorf("gadgets are left: %v", left)
		}
		p.stop(syscall.SIGTERM)
		if t.Failed() {
			said, _ := os.ReadFile(p.log.Name())
			t.Logf("the server says:\n%s", said)
		}
		bed.Wipe(t)
		bed.Sh(t, "provision revert --force > /dev/null 2>&1; nft flush ruleset; rm -rf /var/lib/provision "+configFile)
	})
	return p
}

func (p *pi) configure(gadget string) {
	p.t.Helper()
	if err := os.WriteFile(configFile, []byte("version: 1\n"+gadget), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pi) start() {
	p.t.Helper()
	var err error
	if p.log, err = os.CreateTemp(p.t.TempDir(), "serve"); err != nil {
		p.t.Fatal(err)
	}
	p.serve = exec.Command("provision", "serve")
	p.serve.Stdout, p.serve.Stderr = p.log, p.log
	if err := p.serve.Start(); err != nil {
		p.t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; {
		c, err := net.Dial("unix", control.DefaultSocket)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(p.log.Name())
			p.stop(syscall.SIGKILL)
			p.t.Fatalf("the server does not answer: %v\n%s", err, said)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *pi) stop(sig syscall.Signal) {
	_ = p.serve.Process.Signal(sig)
	_ = p.serve.Wait()
}

func (p *pi) run(args ...string) (string, int) { return command(nil, args...) }

func command(env []string, args ...string) (string, int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "provision", args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// up brings the gadget up.
func (p *pi) up() status {
	p.t.Helper()
	out, code := p.run("gadget", "up", "-o", "json")
	if code != 0 {
		p.t.Fatalf("gadget up: status %d\n%s", code, out)
	}
	var s status
	if err := json.NewDecoder(strings.NewReader(out[strings.IndexByte(out, '{'):])).Decode(&s); err != nil {
		p.t.Fatalf("%v:\n%s", err, out)
	}
	return s
}

// inside says whether the laptop's address is one of the link's network.
func (s status) inside(link int, a netip.Prefix) bool {
	for _, own := range s.Links[link].Addresses {
		if own.Masked().Contains(a.Addr()) && own.Addr() != a.Addr() {
			return true
		}
	}
	return false
}

// own is the link's own address of the family.
func (s status) own(link, family int) string {
	for _, a := range s.Links[link].Addresses {
		if a.Addr().Is4() == (family == 4) {
			return a.Addr().String()
		}
	}
	return ""
}

// leased plugs the gadget's only NIC into a laptop and lets a client ask.
func leased(t *testing.T, s status, h *bed.Host, client string) *bed.Client {
	t.Helper()
	h.Plug(0, 0, 1, "usb0")
	c := h.Client(t, client, "usb0")
	if a := c.Settled(limit); !s.inside(0, a) {
		t.Errorf("%s leased %v of the link %v", client, a, s.Links)
	}
	return c
}
