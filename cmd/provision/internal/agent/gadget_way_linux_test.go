package agent

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"testing"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/routing/forward"
)

// told is state in memory, by its name.
type told map[string]provision.Attrs

func (m told) Get(_ context.Context, name string) (provision.Attrs, error) { return m[name], nil }

func (m told) Set(_ context.Context, name string, _, want provision.Attrs) error {
	m[name] = want
	return nil
}

// `gadget up` says of a way out that apply has yet to make, and of one that is there nothing.
func TestWayMissing(t *testing.T) {
	c := gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Modern, Router: gadget.RouterFull}}
	a := &Agent{Options: Options{Root: t.TempDir(), Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1, Gadget: c}, Source: Source{Path: "/tmp/x.yaml"}}}
	f := usbMachine()
	a.gather = func(context.Context) (*facts.Facts, error) { return f, nil }
	r, err := a.gadgetPlan(t.Context(), f, c)
	if err != nil {
		t.Fatal(err)
	}
	f.Sysctl = map[string]string{forward.Forward4: "0", forward.Forward6: "0"}
	state := told{}
	e := &provision.Engine{Resources: map[string]provision.Resource{nft.Kind: state, sysctl.Kind: state}}
	notes := a.wayMissing(t.Context(), e, r)
	if len(notes) != 1 || notes[0].Level != "warning" || !strings.Contains(notes[0].Text, "a host on usb0 has no way out") || !strings.Contains(notes[0].Text, "`provision apply -c /tmp/x.yaml`") {
		t.Fatalf("nothing is in place: %+v", notes)
	}
	way, err := a.routing(t.Context(), f, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range way.Desired.Wants {
		if w.Kind == nft.Kind || w.Kind == sysctl.Kind {
			state[w.Name] = w.Attrs
		}
	}
	if notes := a.wayMissing(t.Context(), e, r); len(notes) != 0 {
		t.Errorf("all is in place: %+v", notes)
	}
	off := sysctl.Global(forward.Forward4, "0", "")
	if state[off.Name] == nil {
		t.Fatalf("%s is not wanted: %v", off.Ref, state)
	}
	state[off.Name] = off.Attrs
	if notes := a.wayMissing(t.Context(), e, r); len(notes) != 1 {
		t.Errorf("forwarding is off: %+v", notes)
	}
	c.Router = gadget.RouterNone
	if r, err = a.gadgetPlan(t.Context(), f, c); err != nil || a.wayMissing(t.Context(), e, r) != nil {
		t.Errorf("router none: %v", err)
	}
}

func TestModprobe(t *testing.T) {
	for name, c := range map[string]struct {
		answer host.Answer
		want   string
	}{
		"not there": {host.Answer{Output: host.Output{Code: 1, Stderr: []byte("modprobe: FATAL: Module libcomposite not found in directory /lib/modules/6.1.0\n")}},
			"missing on this machine: this kernel cannot be a USB device: `modprobe libcomposite` says: modprobe: FATAL: Module libcomposite not found in directory /lib/modules/6.1.0. Install a kernel with CONFIG_USB_LIBCOMPOSITE, or its full set of modules"},
		"silent": {host.Answer{Output: host.Output{Code: 1}},
			"missing on this machine: this kernel cannot be a USB device: `modprobe libcomposite` ended with status 1. Install a kernel with CONFIG_USB_LIBCOMPOSITE, or its full set of modules"},
		"no modprobe": {host.Answer{Err: exec.ErrNotFound},
			"missing on this machine: this kernel cannot be a USB device: `modprobe libcomposite` cannot be run: executable file not found in $PATH. Install a kernel with CONFIG_USB_LIBCOMPOSITE, or its full set of modules"},
		"loaded": {},
	} {
		t.Run(name, func(t *testing.T) {
			fake := host.NewFake(t)
			fake.Answer("modprobe libcomposite", c.answer)
			a := &Agent{runner: fake}
			err := a.modprobe(t.Context(), "libcomposite")
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !errors.Is(err, ErrMissing)) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
