package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/provision/host/udc"
)

// GadgetDoctor finds out why a host on the cable has no network. It changes nothing, and says what it
// could not look at.
func (a *Agent) GadgetDoctor(ctx context.Context, socket string) (doctor.Report, error) {
	f, err := a.Facts(ctx)
	if err != nil {
		return doctor.Report{}, err
	}
	in := doctor.Input{Facts: f, Now: time.Now()}
	if !a.offline() {
		in.Kernel = kernelLog()
		in.Server = server(ctx)
		in.History = history(ctx, socket)
	}
	// What is up counts; where nothing is, what would be brought up, as far as that can be planned.
	s, err := a.gadgetState()
	if err != nil {
		return doctor.Report{}, err
	}
	if len(s.Devices) == 0 {
		c, configured := a.gadgetConfig()
		r, err := a.gadgetPlanOf(ctx, f, c, configured)
		if err != nil && !errors.Is(err, ErrConfig) && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrConflict) {
			return doctor.Report{}, err
		}
		s.Devices, s.Links = r.Devices, links(r.Links)
	}
	in.Counts = map[string][]doctor.Count{}
	for _, d := range s.Devices {
		one := doctor.Device{Name: d.Name, UDC: d.UDC}
		for _, fn := range d.Functions {
			one.Functions = append(one.Functions, doctor.Function{Name: fn.Name, Type: fn.Type, Interface: fn.Interface, MAC: fn.MAC})
		}
		in.Devices = append(in.Devices, one)
	}
	for _, l := range s.Links {
		one := doctor.Link{Name: l.Name, MAC: l.MAC, Bridge: l.Bridge, Addresses: l.Addresses, Router: l.Router}
		if l.Bridge {
			one.MAC = ""
		}
		in.Links = append(in.Links, one)
		if c, err := udc.Counters(l.Name); err == nil && len(c) == 1 {
			in.Counts[l.Name] = []doctor.Count{{At: in.Now, RX: c[0].RX, TX: c[0].TX}}
		}
	}
	return doctor.Diagnose(in), nil
}

// server is what the DHCP and DNS server says; nil when it cannot be asked.
func server(ctx context.Context) *doctor.Server {
	client := control.Client{Socket: control.DefaultSocket}
	var s control.Status
	err := client.Get(ctx, control.PathStatus, nil, &s)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		return &doctor.Server{}
	case err != nil:
		return nil
	}
	out := &doctor.Server{Running: true, Leases: map[string]int{}, Heard: map[string]time.Time{}}
	for _, l := range s.Links {
		if l.Up {
			out.Links = append(out.Links, l.Name)
		}
	}
	for _, n := range s.Networks {
		if slices.Contains(out.Links, n.Name) {
			out.Leases[n.Name] = n.Bound
		}
	}
	return out
}

// history is what the running watch has seen of the controllers.
func history(ctx context.Context, socket string) map[string][]doctor.Seen {
	var past map[string][]doctor.Seen
	if err := (control.Client{Socket: socket}).Get(ctx, pathHistory, nil, &past); err != nil {
		return nil
	}
	return past
}

// pathHistory is asked of a running `gadget watch`: the states that controllers came into.
const pathHistory = "history"
