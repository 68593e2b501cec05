//go:build lab && linux

package inside

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// outcome is what of `gadget up -o json` is looked at.
type outcome struct {
	Result struct {
		Writes  int
		Effects []struct{ Ref struct{ Kind, Name string } }
	}
	Links []struct {
		Name      string
		Addresses []string
	}
	Took      time.Duration `json:"took_ns"`
	Processes int
}

func gadgetCommand(t *testing.T, args string) outcome {
	t.Helper()
	began := time.Now()
	text := bed.Sh(t, "provision gadget "+args+" -o json")
	t.Logf("provision gadget %s: %.0f ms", args, float64(time.Since(began).Microseconds())/1000)
	var o outcome
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return o
}

// TestCommandUp is what somebody does first: no configuration, one command, a host that gets an address.
func TestCommandUp(t *testing.T) {
	bed.Controllers(t, 1)
	t.Log("\n" + bed.Sh(t, "provision gadget up --dry-run"))
	if got := bed.Gadgets(); len(got) != 0 {
		t.Fatalf("a dry run has made %v", got)
	}
	first := gadgetCommand(t, "up")
	d := bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	if first.Result.Writes == 0 || len(first.Links) != 1 || first.Links[0].Name != "usb0" {
		t.Fatalf("%+v", first)
	}
	tree, number := bed.Tree(t, "provision"), d.Attr("devnum")
	second := gadgetCommand(t, "up")
	if second.Result.Writes != 0 || second.Processes != 0 {
		t.Errorf("the second time: %+v", second)
	}
	if bed.Tree(t, "provision") != tree || d.Attr("devnum") != number {
		t.Errorf("the second time the host saw something: %s", bed.Tree(t, "provision"))
	}
	started(t, "serve", "serve")
	h := bed.NewHost(t)
	h.Uplink(100)
	h.Plug(0, 0, 1, "usb0")
	began := time.Now()
	addr := h.Client(t, "udhcpc", "usb0").Settled(limit)
	t.Logf("leased %s after %.0f ms", addr, float64(time.Since(began).Microseconds())/1000)
	if !slices.ContainsFunc(first.Links[0].Addresses, func(a string) bool { return strings.HasPrefix(a, "1") && addr.Contains(mustPrefix(t, a).Addr()) }) {
		t.Errorf("leased %s from %v", addr, first.Links[0].Addresses)
	}
	if all := h.Defaults(4, "usb0"); len(all) != 0 {
		t.Errorf("default routes %v", all)
	}
	if ns := h.NameServers(); len(ns) != 0 {
		t.Errorf("name servers %v", ns)
	}
	third := gadgetCommand(t, "up")
	if third.Result.Writes != 0 {
		t.Errorf("with a host: %+v", third)
	}
	gadgetCommand(t, "down")
	lab.Await(t, 5*time.Second, func() error { return gone(h) })
	if got := bed.Gadgets(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	for _, name := range []string{"/var/lib/provision/gadget.json", "/sys/class/net/usb0"} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if o := gadgetCommand(t, "down"); o.Result.Writes != 0 {
		t.Errorf("down again: %+v", o)
	}
	gadgetCommand(t, "up")
	bed.Plugged(t, 0, "cdc_ncm", "cdc_ncm", "cdc_acm", "cdc_acm")
	gadgetCommand(t, "down")
}

func mustPrefix(t *testing.T, s string) netip.Prefix {
	t.Helper()
	p, err := netip.ParsePrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func gone(h *bed.Host) error {
	if h.Has("usb0") {
		return errors.New("the host still has its NIC")
	}
	return nil
}

// started runs a program of ours in the background.
func started(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("provision", args...)
	log, err := os.Create(t.TempDir() + "/" + name + ".log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Logf("%s ends with: %v", name, err)
		}
		text, _ := os.ReadFile(log.Name())
		t.Logf("%s says:\n%s", name, text)
	})
	return cmd
}

// fares is what of `gadget status -o json` is looked at.
type fares struct {
	Gadgets []struct {
		State string
		Life  *struct {
			State   string
			Spoke   bool     `json:"host_spoke"`
			Leased  bool     `json:"leased"`
			Carrier []string `json:"carrier"`
			Host    string   `json:"host"`
		}
	}
	Links []struct {
		Name    string
		There   bool
		Up      bool
		Carrier bool
		Leases  []struct{ Address string }
	}
	Watched bool
	Served  bool `json:"server_running"`
}

func fare(t *testing.T) (f fares) {
	t.Helper()
	text := bed.Sh(t, "provision gadget status -o json || [ $? = 2 ]")
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return f
}

// TestCommandWatch: what the boot starts brings a gadget up and knows its host; it follows what
// others bring up and take down.
func TestCommandWatch(t *testing.T) {
	bed.Controllers(t, 1)
	watch := started(t, "watch", "gadget", "watch", "-v")
	lab.Await(t, limit, func() error {
		if f := fare(t); !f.Watched || len(f.Gadgets) != 1 || f.Gadgets[0].Life == nil {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	started(t, "serve", "serve")
	h := bed.NewHost(t)
	h.Plug(0, 0, 1, "usb0")
	addr := h.Client(t, "udhcpc", "usb0").Settled(limit)
	lab.Await(t, limit, func() error {
		f := fare(t)
		l := f.Gadgets[0].Life
		if l == nil || !l.Spoke || !l.Leased || l.Host == "" || len(l.Carrier) != 1 || l.State != "configured" || !f.Links[0].Carrier || len(f.Links[0].Leases) != 1 ||
			f.Links[0].Leases[0].Address != addr.Addr().String() {
			return fmt.Errorf("%+v %+v", f, l)
		}
		return nil
	})
	t.Log("\n" + bed.Sh(t, "provision gadget status"))
	out, code := bed.Try("provision gadget doctor")
	t.Logf("status %d\n%s", code, out)
	gadgetCommand(t, "down")
	lab.Await(t, limit, func() error {
		if f := fare(t); len(f.Gadgets) != 0 || !f.Watched {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	gadgetCommand(t, "up")
	lab.Await(t, limit, func() error {
		if f := fare(t); len(f.Gadgets) != 1 || f.Gadgets[0].Life == nil {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	if err := watch.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	lab.Await(t, limit, func() error {
		if said, _ := os.ReadFile(watch.Stderr.(*os.File).Name()); !strings.Contains(string(said), "the configuration was read again") {
			return errors.New("not read again")
		}
		return nil
	})
	lab.Await(t, limit, func() error {
		if f := fare(t); len(f.Gadgets) != 1 || f.Gadgets[0].Life == nil || f.Gadgets[0].Life.State == "" {
			return fmt.Errorf("%+v", f)
		}
		return nil
	})
	gadgetCommand(t, "down")
}

// TestCommandApply: the slice of a configuration goes with everything else, and comes off with it.
func TestCommandApply(t *testing.T) {
	bed.Controllers(t, 1)
	const name = "/etc/provision/provision.yaml"
	if err := os.WriteFile(name, []byte("version: 1\ngadget:\n  profile: windows\n  router: full\n  login: false\nrouting:\n  forwarding: yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(name) })
	apply := func(args string) outcome {
		t.Helper()
		var o outcome
		text := bed.Sh(t, "provision "+args+" -o json")
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return o
	}
	bed.Sh(t, "provision plan")
	if o := apply("apply"); o.Result.Writes == 0 {
		t.Fatalf("%+v", o)
	}
	d := bed.Plugged(t, 0, "rndis_host", "rndis_host", "cdc_acm", "cdc_acm")
	number := d.Attr("devnum")
	if o := apply("apply"); o.Result.Writes != 0 {
		t.Errorf("the second time: %+v", o)
	}
	if o := gadgetCommand(t, "up"); o.Result.Writes != 0 || d.Attr("devnum") != number {
		t.Errorf("after apply: %+v", o)
	}
	started(t, "serve", "serve")
	h := bed.NewHost(t)
	h.Plug(0, 0, 1, "usb0")
	addr := h.Client(t, "udhcpc", "usb0").Settled(limit)
	if all := h.Defaults(4, "usb0"); len(all) != 1 {
		t.Errorf("default routes %v with %s", all, addr)
	}
	bed.Sh(t, "provision verify")
	bed.Sh(t, "provision revert")
	if got := bed.Gadgets(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	if _, err := os.Stat("/var/lib/provision/gadget.json"); err == nil {
		t.Error("gadget.json is left")
	}
	// A slice that is taken out takes its gadget with it.
	apply("apply")
	bed.Plugged(t, 0, "rndis_host", "rndis_host", "cdc_acm", "cdc_acm")
	if err := os.WriteFile(name, []byte("version: 1\nrouting:\n  forwarding: yes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	apply("apply")
	if got := bed.Gadgets(); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	bed.Sh(t, "provision revert")
}
