package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/dhcpprobe"
)

const stanza = "allow-hotplug eth0\niface eth0 inet dhcp\n    metric 10\n"

func TestIfup(t *testing.T) {
	silent := func(context.Context, int) error { return fmt.Errorf("x: %w", dhcpprobe.ErrSilent) }
	for _, c := range []struct {
		name, state, file, saved string
		probe                    func(context.Context, int) error
		fails                    bool
		ran                      string // STATE stands for the state directory
		kept                     bool   // a definition is saved afterwards
		err                      string
	}{
		{name: "new", state: "lo=lo\n", file: stanza, ran: "ifup eth0", kept: true},
		{name: "up already", state: "lo=lo\neth0=eth0\n", file: stanza, saved: stanza, kept: true},
		{name: "up already, not by us", state: "eth0=eth0\n", file: stanza},
		{name: "no server", state: "lo=lo\n", file: stanza, probe: silent},
		{name: "back", state: "eth0=eth0\n", saved: stanza, ran: "ifdown --force -i STATE/ifup/provision-eth0 eth0"},
		{name: "back, already down", state: "lo=lo\n", saved: stanza},
		{name: "back, never ours", state: "eth0=eth0\n"},
		{name: "ifup fails", state: "lo=lo\n", file: stanza, fails: true, ran: "ifup eth0", kept: true, err: "ifup eth0: exit status 1: syntax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.actor.Root = t.TempDir()
			f := host.NewFake(t)
			r.actor.Runner = f
			if c.probe != nil {
				r.actor.Probe = c.probe
			}
			r.put("/run/network/ifstate", c.state)
			if c.file != "" {
				r.put(IfupFile("eth0"), c.file)
			}
			saved := filepath.Join(r.actor.State, "ifup", "provision-eth0")
			if c.saved != "" {
				if err := writeDurable(saved, []byte(c.saved)); err != nil {
					t.Fatal(err)
				}
			}
			want := strings.ReplaceAll(c.ran, "STATE", r.actor.State)
			if want != "" {
				a := host.Answer{}
				if c.fails {
					a.Output = host.Output{Code: 1, Stderr: []byte("syntax")}
				}
				f.Answer(want, a)
			}
			err := r.do(Ifup("eth0"))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if got := strings.Join(f.Ran(), ", "); got != want {
				t.Errorf("ran %q, want %q", got, want)
			}
			if b, err := os.ReadFile(saved); (err == nil) != c.kept || c.kept && string(b) != stanza {
				t.Errorf("saved definition: %q %v", b, err)
			}
		})
	}
	r := newRig(t)
	r.actor.Root = t.TempDir()
	if err := r.do(Ifup("eth0")); err != nil {
		t.Error("without ifupdown: ", err)
	}
}
