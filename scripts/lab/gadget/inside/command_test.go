//go:build lab && linux

package inside

import (
	"encoding/json"
	"errors"
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

// serve starts the server, which has no configuration but what `gadget up` wrote down.
func serve(t *testing.T) {
	t.Helper()
	cmd := exec.Command("provision", "serve")
	log, err := os.Create(t.TempDir() + "/serve.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the server says:\n%s", text)
		}
	})
}

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
	serve(t)
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
