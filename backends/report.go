package backends

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// ReportSchema is the version of Report's JSON form.
const ReportSchema = 1

// Report is what detect and plan tell about the network.
type Report struct {
	Schema  int           `json:"schema"`
	Machine facts.Machine `json:"machine"`
	NICs    []NICReport   `json:"nics"`
	// Winners now, after an apply and after the next boot, for one address of each family.
	Winners   []Winner  `json:"winners"`
	After     []Winner  `json:"winners_after,omitempty"`
	AfterBoot []Winner  `json:"winners_after_boot,omitempty"`
	DNS       facts.DNS `json:"dns"`
	Conflicts []string  `json:"conflicts,omitempty"`
	// USB are the controllers that make the machine a device of another one.
	USB []USBReport `json:"usb_device,omitempty"`
	// PlanOnly says why nothing may be changed from here; empty when apply may.
	PlanOnly string `json:"plan_only,omitempty"`
	// Changes and Triggers are what apply would do, judged by the facts alone.
	Changes    []Proposed          `json:"changes,omitempty"`
	Triggers   []provision.Trigger `json:"triggers,omitempty"`
	Notes      []provision.Note    `json:"notes,omitempty"`
	Problems   []string            `json:"problems,omitempty"` // why no plan could be made
	Unreadable []facts.Problem     `json:"unreadable,omitempty"`
}

// NICReport is one NIC.
type NICReport struct {
	Name      string        `json:"name"`
	Alt       []string      `json:"altnames,omitempty"`
	MAC       string        `json:"mac,omitempty"`
	Driver    string        `json:"driver,omitempty"`
	Kind      string        `json:"kind,omitempty"`
	Up        bool          `json:"up"`
	Carrier   bool          `json:"carrier"`
	Owner     Ownership     `json:"owner"`
	Role      RoleVerdict   `json:"role"`
	Addresses []string      `json:"addresses,omitempty"`
	Defaults  []facts.Route `json:"defaults,omitempty"`
	DNS       []string      `json:"dns,omitempty"`
	Metric4   *uint32       `json:"want_metric4,omitempty"`
	Metric6   *uint32       `json:"want_metric6,omitempty"`
	BringUp   bool          `json:"bring_up,omitempty"`
	Why       string        `json:"why,omitempty"`  // for what is wanted
	Left      string        `json:"left,omitempty"` // why it is left alone
}

// USBReport is one USB device controller and who holds it.
type USBReport struct {
	facts.UDC
	// Legacy: what holds it is a module that makes a gadget by itself.
	Legacy    bool     `json:"legacy,omitempty"`
	Functions []string `json:"functions,omitempty"` // of the gadget that holds it
	NICs      []string `json:"nics,omitempty"`      // this side's NICs of these functions
}

// Proposed is one change that apply would make.
type Proposed struct {
	Ref provision.Ref `json:"ref"`
	Why string        `json:"why"`
}

// Detect reports what is, without asking any backend what should be.
func Detect(f *facts.Facts, owners []Ownership, roles map[int]RoleVerdict) Report {
	r := Report{Schema: ReportSchema, Machine: f.Machine, NICs: []NICReport{}, Winners: Winners(f, f.Routes), DNS: f.DNS, PlanOnly: PlanOnly(f), Unreadable: f.Unreadable}
	for i, l := range f.Links {
		n := NICReport{Name: l.Name, Alt: l.Alt, MAC: l.PermMAC, Driver: l.Driver, Kind: l.Kind, Up: l.Up, Carrier: l.Carrier, Role: roles[l.Index]}
		if i < len(owners) {
			n.Owner = owners[i]
		}
		if n.MAC == "" {
			n.MAC = l.MAC
		}
		for _, a := range f.Addrs {
			if a.Link == l.Index {
				n.Addresses = append(n.Addresses, a.Prefix.String())
			}
		}
		n.Defaults = append(f.Defaults(l.Index, 4), f.Defaults(l.Index, 6)...)
		n.DNS = slices.Clone(f.DNS.ByLink[l.Name])
		if len(n.DNS) == 0 {
			n.DNS = slices.Clone(f.Networkd.Links[l.Index].DNS)
		}
		if n.Owner.Conflict() {
			r.Conflicts = append(r.Conflicts, fmt.Sprintf("%s: %s and %v both configure it", l.Name, n.Owner.Owner, n.Owner.Rivals))
		}
		r.NICs = append(r.NICs, n)
	}
	r.USB = usb(f, roles)
	r.doctor(f)
	return r
}

// usb reports the device side of USB.
func usb(f *facts.Facts, roles map[int]RoleVerdict) []USBReport {
	var out []USBReport
	for _, c := range f.USB.Controllers {
		u := USBReport{UDC: c, Legacy: slices.Contains(facts.Legacy(), c.Function)}
		macs := map[string]bool{}
		for _, g := range f.USB.Gadgets {
			if g.UDC != c.Name && (g.Name != c.Function || c.Function == "") {
				continue
			}
			for _, fn := range g.Functions {
				u.Functions = append(u.Functions, fn.Name)
				macs[fn.Dev] = fn.Dev != ""
			}
		}
		for _, l := range f.Links {
			// A legacy module does not say which NIC is its; the device's place does.
			if macs[l.MAC] || u.Legacy && roles[l.Index].Role == facts.RoleGadget && strings.Contains(l.DevPath+"/", "/"+c.Name+"/") {
				u.NICs = append(u.NICs, l.Name)
			}
		}
		out = append(out, u)
	}
	return out
}

// doctor adds what is wrong with the machine as a whole.
func (r *Report) doctor(f *facts.Facts) {
	warn := func(subject, format string, args ...any) {
		r.Notes = append(r.Notes, provision.Note{Level: "warning", Subject: subject, Text: fmt.Sprintf(format, args...)})
	}
	if len(f.Machine.WaitOnline) > 1 {
		warn("boot", "%d units keep the boot waiting for the network: %v; one is enough", len(f.Machine.WaitOnline), f.Machine.WaitOnline)
	}
	for _, m := range f.Machine.Others {
		warn("managers", "%s runs, which this program does not know how to ask", m)
	}
	for _, l := range f.Links {
		for _, family := range []int{4, 6} {
			d := f.Defaults(l.Index, family)
			for _, x := range d[min(1, len(d)):] {
				if x.Metric != d[0].Metric && x.Gateway == d[0].Gateway && x.Gateway.IsValid() {
					warn(l.Name, "two IPv%d default routes by the same gateway %s with the metrics %d and %d: one of them is stale", family, x.Gateway, d[0].Metric, x.Metric)
				}
			}
		}
	}
}

// add puts what was decided and planned into the report.
func (r *Report) add(f *facts.Facts, d Decision, want provision.Desired) {
	for i := range r.NICs {
		l := f.Links[i]
		r.NICs[i].Left = d.Left[l.Index]
		for _, n := range d.NICs {
			if n.Link.Index == l.Index {
				r.NICs[i].Metric4, r.NICs[i].Metric6, r.NICs[i].BringUp, r.NICs[i].Why = n.Metric4, n.Metric6, n.BringUp, n.Why
				r.NICs[i].Role.Role = n.Role
			}
		}
	}
	changed := map[provision.Ref]bool{}
	for _, w := range Differ(f, want) {
		r.Changes = append(r.Changes, Proposed{w.Ref, w.Why})
		changed[w.Ref] = true
	}
	for _, t := range want.Triggers {
		if slices.ContainsFunc(t.On, func(ref provision.Ref) bool { return changed[ref] }) {
			r.Triggers = append(r.Triggers, t)
		}
	}
	r.Notes = append(r.Notes, want.Notes...)
	_, after, boot := Predict(f, d.NICs, want)
	r.After, r.AfterBoot = Winners(f, after), Winners(f, boot)
}

// problem records why no plan could be made.
func (r *Report) problem(err error) {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			r.problem(e)
		}
		return
	}
	r.Problems = append(r.Problems, err.Error())
}
