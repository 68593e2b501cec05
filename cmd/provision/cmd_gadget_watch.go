package main

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/gadget/life"
)

func newGadgetWatch(g *globals) *cobra.Command {
	o := agent.GadgetWatchOptions{}
	c := &cobra.Command{
		Use:   "watch",
		Short: "Bring the gadgets up and follow them",
		Long: `Bring the gadgets up, as 'gadget up' does, and follow them until it is told to stop: which profile the host takes
(profile: auto), whether the link is alive, whether its network clashes with another one, what the light shows. It is
driven by the kernel's events. Nobody on the cable is normal, and nothing is done about it; a link is revived only where
its counters, the controller and the kernel's log agree that it is dead.

SIGHUP reads the configuration again; one that is wrong changes nothing. 'provision gadget status' asks it.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runtime.GOOS != "linux" {
				return fmt.Errorf("%w: USB gadgets are made on Linux only", agent.ErrMissing)
			}
			if err := g.needRoot("gadget watch"); err != nil {
				return err
			}
			log := g.loggerFrom(slog.LevelInfo)
			load := func() (*agent.Agent, error) {
				config, source, err := agent.Load(g.root, g.config)
				if err != nil {
					return nil, err
				}
				return g.wire(agent.Options{Config: config, Source: source, Log: log})
			}
			a, err := load()
			if err != nil {
				return err
			}
			o.Notify = func(state string) { _, _ = daemon.SdNotify(false, state) }
			again := make(chan func() (*agent.Agent, error), 1)
			o.Reload = again
			g.signals.onHangup(func() { again <- load })
			beFrugal(cmd.Context())
			return a.GadgetWatch(cmd.Context(), o)
		},
	}
	c.Flags().StringVar(&o.Socket, "socket", agent.GadgetSocket, "`path` of the socket where it answers")
	return c
}

func newGadgetStatus(g *globals) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the gadgets, their links and the host on the cable",
		Long: `Show what is up: the controller and its state, the profile and what it consists of, the links with their carrier and
addresses, the lease of the host, and what a running 'gadget watch' knows. Exit status 2 when something that was
brought up is not there.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			s, err := a.GadgetStatus(cmd.Context(), socket)
			if err != nil {
				return err
			}
			if err := g.emit(s, func(p *page) { drawGadgetStatus(p, s) }); err != nil {
				return err
			}
			if !s.Well() {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().StringVar(&socket, "socket", agent.GadgetSocket, "`path` of the watch's socket")
	return c
}

func drawGadgetStatus(p *page, s agent.GadgetStatus) {
	if len(s.Gadgets) == 0 {
		p.line("no gadget is up: `provision gadget up` makes one")
		for _, c := range s.Controllers {
			p.line("controller %s: %s", p.bold(c.Name), c.State)
		}
		if len(s.Controllers) == 0 {
			p.line("%s this machine has no USB device controller; `provision gadget doctor` says more", p.yellow("!"))
		}
		return
	}
	for _, g := range s.Gadgets {
		drawDevice(p, g.Device)
		switch {
		case len(s.Controllers) == 0:
			p.line("    %s", p.red("there is no controller: `provision gadget doctor` says more"))
		case g.Bound == "":
			p.line("    %s", p.red("not bound to a controller"))
		case g.Bound != g.UDC:
			p.line("    %s", p.red("bound to "+g.Bound))
		default:
			p.line("    %s", g.State)
		}
		if l := g.Life; l != nil {
			drawLife(p, *l)
		}
	}
	for _, l := range s.Links {
		state := p.red("is not there")
		switch {
		case l.There && !l.Up:
			state = p.red("down")
		case l.Carrier:
			state = p.green("carrier")
		case l.There:
			state = p.dim("no carrier: no host has it in use")
		}
		p.line("%s %s  %s  rx %d tx %d", p.bold(l.Name), state, strings.Join(l.Live, " "), l.RX, l.TX)
		for _, lease := range l.Leases {
			p.line("    %s %s %s, until %s", lease.Address, lease.MAC, lease.Name, lease.Expires)
		}
	}
	if !s.Watched {
		p.line("%s", p.dim("nobody follows it: `provision gadget watch` does"))
	}
	if len(s.Links) > 0 && !s.Served {
		p.line("%s no server runs, so a host gets no address: start `provision serve`", p.yellow("!"))
	}
}

func drawLife(p *page, l life.Status) {
	if !l.Plugged.IsZero() {
		who := "nobody has spoken yet"
		if l.Spoke {
			who = "the host has spoken"
			if l.Host != "" {
				who += " (" + l.Host + ")"
			}
		}
		p.line("    plugged in %s, %s", l.Plugged.Format(time.TimeOnly), who)
	}
	if l.Verdict != "" {
		p.line("    next plug: %s", l.Verdict)
	}
	if l.Last != "" {
		p.line("    last: %s at %s, because %s (%s in the last hour)", l.Last, l.LastAt.Format(time.TimeOnly), l.LastWhy, count(l.Steps, "step"))
	}
	if l.Overlap != "" {
		p.line("    %s", p.yellow(l.Overlap))
	}
	if l.Fault != "" {
		p.line("    %s", p.red(l.Fault))
	}
}

func newGadgetDoctor(g *globals) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why a host on the cable has no network",
		Long: `Look at the boot files, the controller, who holds it, what the host has done, and the network on the link; name the
culprit with its evidence and its cure, and what could not be looked at. Nothing is changed. Exit status 2 when
something was found.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agent()
			if err != nil {
				return err
			}
			r, err := a.GadgetDoctor(cmd.Context(), socket)
			if err != nil {
				return err
			}
			if err := g.emit(r, func(p *page) { drawDoctor(p, r) }); err != nil {
				return err
			}
			if w := r.Worst(); w == doctor.Error || w == doctor.Warning {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().StringVar(&socket, "socket", agent.GadgetSocket, "`path` of the watch's socket")
	return c
}

func drawDoctor(p *page, r doctor.Report) {
	for _, f := range r.Findings {
		sign := p.dim(string(f.Severity))
		switch f.Severity {
		case doctor.Error:
			sign = p.red(string(f.Severity))
		case doctor.Warning:
			sign = p.yellow(string(f.Severity))
		}
		p.line("%s %s", sign, f.Culprit)
		for _, e := range f.Evidence {
			p.line("    seen: %s", e)
		}
		for _, e := range f.CannotTell {
			p.line("    open: %s", e)
		}
		for _, c := range f.Cure {
			p.line("    cure: %s", c)
		}
	}
	if len(r.Findings) == 0 {
		p.line("%s", p.green("nothing wrong was found"))
	}
	for _, l := range r.Looked {
		p.line("%s %s: %s", p.dim("well"), l.What, l.Says)
	}
	for _, b := range r.Blind {
		p.line("%s %s", p.dim("not looked at"), b)
	}
}
