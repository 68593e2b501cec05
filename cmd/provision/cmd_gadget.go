package main

import (
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
)

func newGadget(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "gadget",
		Short: "What this machine is to the host that its USB device port is plugged into",
		Args:  groupArgs,
		RunE:  group,
	}
	c.AddCommand(newGadgetUp(g), newGadgetDown(g), newGadgetStatus(g), newGadgetDoctor(g), newGadgetWatch(g))
	return c
}

func newGadgetUp(g *globals) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring the gadgets up, and nothing else",
		Long: `Make the USB gadgets that the configuration names under "gadget", bind them to their controllers, and give their links
names and addresses. Without any configuration it is a network card (NCM) and a serial port. Nothing else of the
machine is touched: 'provision apply' does all, the firewall and the way out of router: full included.

A gadget that is up as it should be is left alone, so that the host sees no unplug. 'provision serve' serves the links
from the moment they are there.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !dryRun {
				if err := g.needRoot("gadget up"); err != nil {
					return err
				}
			}
			a, err := g.agent()
			if err != nil {
				return err
			}
			if dryRun {
				out, plan, err := a.GadgetPlan(cmd.Context())
				if err != nil {
					return err
				}
				v := gadgetPreview{out.Config, out.Devices, out.Links, plan}
				return g.emit(v, func(p *page) { drawGadgetPlan(p, v) })
			}
			out, err := a.GadgetUp(cmd.Context())
			if err != nil {
				return err
			}
			return g.emit(out, func(p *page) { drawGadget(p, out) })
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would be done, and what the host would see")
	return c
}

func newGadgetDown(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take away what 'gadget up' made",
		Long: `Unbind the gadgets, which the host sees as an unplug, and take away everything that was made for them. What is
configured comes back with 'provision apply', and at the next boot where its unit is installed.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := g.needRoot("gadget down"); err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			out, err := a.GadgetDown(cmd.Context())
			if err != nil {
				return err
			}
			if err := g.emit(out, func(p *page) { drawGadgetDown(p, out) }); err != nil {
				return err
			}
			if len(out.Result.Foreign) > 0 {
				return errDifferences
			}
			return nil
		},
	}
}

// gadgetPreview is what `gadget up --dry-run` prints.
type gadgetPreview struct {
	Config  string             `json:"config"`
	Devices []gadget.Device    `json:"devices"`
	Links   []agent.GadgetLink `json:"links"`
	Plan    provision.Plan     `json:"plan"`
}

func drawGadgetPlan(p *page, v gadgetPreview) {
	for _, d := range v.Devices {
		drawDevice(p, d)
	}
	for _, l := range v.Links {
		drawGadgetLink(p, l)
	}
	if v.Plan.Empty() {
		p.line("%s", p.green("nothing to do: it is up, and the host would see nothing"))
		drawNotes(p, warnings(v.Plan.Notes))
		return
	}
	p.title("changes")
	unplug := false
	for _, c := range v.Plan.Changes {
		drawChange(p, c)
		unplug = unplug || strings.HasPrefix(c.Ref.Kind, "usb-") && c.Op != provision.Create
	}
	if unplug {
		p.line("%s", p.yellow("a host that is plugged in sees an unplug and then the gadget again"))
	}
	drawNotes(p, v.Plan.Notes)
}

func drawDevice(p *page, d gadget.Device) {
	what := d.Profile
	if d.Asked != d.Profile && d.Asked != "" {
		what = d.Asked + ", now " + d.Profile
	}
	var names []string
	for _, f := range d.Functions {
		names = append(names, f.Name)
	}
	p.line("%s on %s: %s (%s)", p.bold(d.Name), d.UDC, what, strings.Join(names, " "))
}

func drawGadgetLink(p *page, l agent.GadgetLink) {
	p.line("%s %s, for the host: %s", p.bold(l.Name), prefixes(l.Addresses), routerWords(l.Router))
}

func prefixes(list []netip.Prefix) string {
	var out []string
	for _, a := range list {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// routerWords are for people who have not read the reference.
func routerWords(router string) string {
	switch router {
	case gadget.RouterSplit:
		return "an address, and the configured routes through this machine"
	case gadget.RouterFull:
		return "an address, and its way out through this machine"
	case gadget.RouterClient:
		return "nothing: it shares its connection with this machine"
	}
	return "an address; its own way out stays as it is"
}

func drawGadget(p *page, o agent.GadgetOutcome) {
	for _, d := range o.Devices {
		drawDevice(p, d)
	}
	for _, l := range o.Links {
		drawGadgetLink(p, l)
	}
	if o.Result.Writes == 0 {
		p.line("%s (%s)", p.green("nothing to do: it is up, and the host has seen nothing"), o.Took.Round(time.Millisecond))
	} else {
		p.line("%s (%s, %s)", p.green("up"), count(o.Result.Writes, "write"), o.Took.Round(time.Millisecond))
	}
	if len(o.Links) > 0 && !o.Served {
		p.line("%s no server runs, so the host gets no address: start `provision serve`", p.yellow("!"))
	}
	drawUnmet(p, "not there yet, and not counted as failure", o.Result.Unmet)
	notes := o.Result.Notes
	if o.Result.Writes == 0 {
		notes = warnings(notes)
	}
	drawNotes(p, notes)
}

func drawGadgetDown(p *page, o agent.GadgetOutcome) {
	if o.Result.Writes == 0 {
		p.line("%s", p.green("nothing to do: no gadget is up"))
	} else {
		p.line("%s (%s, %s)", p.green("down"), count(o.Result.Writes, "write"), o.Took.Round(time.Millisecond))
	}
	for _, r := range o.Result.Foreign {
		p.line("%s %s was changed by somebody else, and is left", p.yellow("!"), r)
	}
	drawNotes(p, o.Result.Notes)
}
