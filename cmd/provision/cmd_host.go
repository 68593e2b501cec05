package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/vagrant/vbox"
)

func newHost(g *globals) *cobra.Command {
	shared := &hostFlags{}
	o := func() *hostOptions { return &hostOptions{hostFlags: shared} }
	c := &cobra.Command{
		Use:   "host",
		Short: "The host's side of a VirtualBox or Multipass VM: NICs and port forwards",
		Long: `List and attach a VM's NICs and forward ports of the host, through VBoxManage: on Linux, macOS and Windows. Each
command that adds a NIC also says what is left to do in the guest, which has to ask for an address.

VMs belong to the account that made them. Multipass' belong to SYSTEM on Windows: with --psexec the commands are
printed, to be pasted into an administrator's prompt. On macOS they belong to root: use sudo.` + "\n" + exitHelp,
		Args: groupArgs,
		RunE: group,
	}
	p := c.PersistentFlags()
	p.StringVar(&shared.vboxmanage, "vboxmanage", "", "VBoxManage's `file`, where it is neither in PATH nor where its installer puts it")
	p.StringVar(&shared.psexec, "psexec", "", "print the commands for PsExec (its `file`), which sees the VMs of SYSTEM; look at nothing and run nothing")
	p.Lookup("psexec").NoOptDefVal = psexec
	c.AddCommand(newHostList(g, o()), newHostBridge(g, o()), newHostOnly(g, o()), newHostNATNet(g, o()), newHostForward(g, o()))
	for _, sub := range c.Commands() {
		fit := sub.Args
		sub.Args = func(c *cobra.Command, args []string) error {
			for _, a := range args { // a flag that may stand alone takes no value after a blank
				if shared.psexec == psexec && strings.HasSuffix(strings.ToLower(a), ".exe") {
					return usageError{fmt.Errorf("%s would be a name here: write --psexec=%[1]s", a)}
				}
			}
			return fit(c, args)
		}
	}
	return c
}

// psexec is its program where none is named.
const psexec = "PsExec64.exe"

// hostFlags are those that all commands under host share, hostOptions has the ones of each.
type hostFlags struct{ vboxmanage, psexec string }

type hostOptions struct {
	*hostFlags
	dryRun bool
	nic    int
}

func (o *hostOptions) add(c *cobra.Command, nic int, help string) {
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the commands and run none that changes anything")
	c.Flags().IntVar(&o.nic, "nic", nic, help)
}

const nicHelp = "`number` of the first NIC to use, from 2 (default: the first free one)"

// runner is VBoxManage.
func (o *hostOptions) runner() (vbox.Runner, error) {
	path, err := vbox.Find(o.vboxmanage)
	if err != nil {
		return nil, err
	}
	return vbox.Program(path), nil
}

// line is a call of VBoxManage as it is typed.
func (o *hostOptions) line(args []string) (string, error) {
	if o.psexec == "" {
		program := o.vboxmanage
		if program == "" {
			program = "VBoxManage"
		}
		return vbox.Line(runtime.GOOS, append([]string{program}, args...))
	}
	program := o.vboxmanage
	if program == "" {
		program = vbox.DefaultVBoxManage
	}
	return vbox.PsExec(o.psexec, append([]string{program}, args...))
}

// hostError gives errors of usage their status.
func hostError(err error) error {
	if errors.Is(err, vbox.ErrUsage) {
		return usageError{err}
	}
	return err
}

// hostOutcome is what the commands that change something print.
type hostOutcome struct {
	VM       string         `json:"vm"`
	DryRun   bool           `json:"dry_run,omitempty"`
	Commands [][]string     `json:"commands"`         // argument lists of VBoxManage
	Script   []string       `json:"script,omitempty"` // the same as it is typed, where they were not run
	Undo     [][]string     `json:"undo,omitempty"`
	Already  []string       `json:"already,omitempty"`
	Notes    []string       `json:"notes,omitempty"`
	NICs     []vbox.NIC     `json:"nics,omitempty"`
	Added    []vbox.Forward `json:"added,omitempty"`
	Removed  []string       `json:"removed,omitempty"`
	Guest    *vbox.Guest    `json:"guest,omitempty"`
}

// change plans on what is, and does it; decide asks the host for more where it needs to.
func (o *hostOptions) change(ctx context.Context, g *globals, name string, decide func(r vbox.Runner, m vbox.Machine) (vbox.Plan, error)) error {
	r, err := o.runner()
	if err != nil {
		return err
	}
	m, err := vbox.Read(ctx, r, name)
	if err != nil {
		return hostError(err)
	}
	plan, err := decide(r, m)
	if err != nil {
		return hostError(err)
	}
	multipass := m.Multipass()
	if !o.dryRun && len(plan.Steps) > 0 {
		if m, err = vbox.Do(ctx, r, m, plan); err != nil {
			return hostError(err)
		}
	}
	out := newHostOutcome(m, plan, multipass)
	if o.dryRun {
		out.DryRun = true
		if err := o.script(&out); err != nil {
			return hostError(err)
		}
	}
	return g.emit(out, func(p *page) { o.draw(p, out) })
}

func newHostOutcome(m vbox.Machine, plan vbox.Plan, multipass bool) hostOutcome {
	out := hostOutcome{VM: m.Name, Already: plan.Already, Notes: plan.Notes, NICs: plan.NICs(m), Guest: vbox.GuestHalf(m, plan, multipass)}
	out.Commands, out.Undo = plan.Commands()
	if out.Commands == nil {
		out.Commands = [][]string{}
	}
	out.Added, out.Removed = plan.Rules()
	return out
}

func (o *hostOptions) script(out *hostOutcome) error {
	for _, c := range out.Commands {
		l, err := o.line(c)
		if err != nil {
			return err
		}
		out.Script = append(out.Script, l)
	}
	return nil
}

// unseen prints what is to be pasted where VMs of SYSTEM are seen.
func (o *hostOptions) unseen(g *globals, m vbox.Machine, plan vbox.Plan, err error) error {
	if err != nil {
		return hostError(err)
	}
	out := newHostOutcome(m, plan, true)
	out.DryRun = true
	if err := o.script(&out); err != nil {
		return hostError(err)
	}
	look, err := o.line([]string{"showvminfo", m.Name})
	if err != nil {
		return hostError(err)
	}
	stop, err := vbox.Line("windows", []string{"multipass", "stop", m.Name})
	if err != nil {
		return hostError(err)
	}
	if out.Guest != nil {
		out.Script = append([]string{stop}, out.Script...)
	}
	out.Script = append(out.Script, look)
	return g.emit(out, func(p *page) { o.draw(p, out) })
}

func (o *hostOptions) draw(p *page, out hostOutcome) {
	for _, a := range out.Already {
		p.line("nothing to change: %s", a)
	}
	switch {
	case o.psexec != "":
		p.line("%s", p.bold("in a command prompt that was started as administrator:"))
	case out.DryRun && len(out.Script) > 0:
		p.line("%s", p.bold("would run:"))
	case len(out.Commands) > 0:
		for _, n := range out.NICs {
			p.line("NIC %d of %s is attached to %s", n.Number, out.VM, n)
		}
		for _, name := range out.Removed {
			p.line("rule %s of %s is gone", name, out.VM)
		}
		for _, f := range out.Added {
			p.line("rule %s of %s: %s", f.Name, out.VM, f)
		}
		for _, c := range out.Undo {
			if l, err := o.line(c); err == nil {
				p.line("%s", p.dim("to take it back: "+l))
			}
		}
	}
	for _, l := range out.Script {
		p.verbatim("  %s", l) // a line that is pasted must not be broken
	}
	for _, n := range out.Notes {
		p.line("%s %s", p.yellow("!"), n)
	}
	if out.Guest == nil {
		return
	}
	p.title("then, so that the guest uses it:")
	for _, c := range out.Guest.Commands {
		p.verbatim("  %s", c)
	}
	rows := [][]string{{"NIC", "in the guest", "MAC", "metric"}}
	for _, n := range out.Guest.NICs {
		name, mac, metric := n.Name, n.MAC, "-"
		if name == "" {
			name = "by its MAC"
		}
		if mac == "" {
			mac = "when attached"
		}
		if n.Metric != 0 {
			metric = strconv.FormatUint(uint64(n.Metric), 10)
		}
		rows = append(rows, []string{strconv.Itoa(n.Number), name, mac, metric})
	}
	p.rows(rows)
}

func newHostBridge(g *globals, o *hostOptions) *cobra.Command {
	c := &cobra.Command{
		Use:   "bridge VM ADAPTER...",
		Short: "Attach a stopped VM's next free NICs to adapters of this host",
		Long: `Attach the free NICs of a VM, from NIC 2 on, to adapters of this host, in this order. An adapter is named as VBoxManage
does ('provision host list'), or by the beginning of that name. The VM has to be stopped; NIC 1 stays as it is. An
adapter that a NIC is bridged to already is left so. Whatever fails midway is taken back.` + "\n" + exitHelp,
		Args: atLeast(2, "a VM and one or more adapters"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.psexec != "" {
				m, given := vbox.Unseen(args[0], false, nil), []vbox.Adapter{}
				for _, a := range args[1:] {
					given = append(given, vbox.Adapter{Name: a})
				}
				plan, err := vbox.PlanBridge(m, given, args[1:], o.nic)
				return o.unseen(g, m, plan, err)
			}
			return o.change(cmd.Context(), g, args[0], func(r vbox.Runner, m vbox.Machine) (vbox.Plan, error) {
				adapters, err := vbox.Adapters(cmd.Context(), r)
				if err != nil {
					return vbox.Plan{}, err
				}
				return vbox.PlanBridge(m, adapters, args[1:], o.nic)
			})
		},
	}
	o.add(c, 0, nicHelp)
	return c
}

func newHostOnly(g *globals, o *hostOptions) *cobra.Command {
	c := &cobra.Command{
		Use:   "hostonly VM [INTERFACE]",
		Short: "Attach a stopped VM's next free NIC to a host-only interface",
		Long: `Attach the next free NIC of a stopped VM to a host-only interface, over which the host and its VMs reach each other and
nobody else. Without a name it is the only one there is. VirtualBox 7 on macOS has host-only networks instead, which
this command does not know.` + "\n" + exitHelp,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{fmt.Errorf("%s takes a VM and perhaps an interface, got %d arguments", c.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 2 {
				name = args[1]
			}
			if o.psexec != "" {
				if name == "" {
					name = "VirtualBox Host-Only Ethernet Adapter" // what its installer makes on Windows
				}
				m := vbox.Unseen(args[0], false, nil)
				plan, err := vbox.PlanHostOnly(m, []vbox.Adapter{{Name: name}}, name, o.nic)
				return o.unseen(g, m, plan, err)
			}
			return o.change(cmd.Context(), g, args[0], func(r vbox.Runner, m vbox.Machine) (vbox.Plan, error) {
				adapters, err := vbox.HostOnlyAdapters(cmd.Context(), r)
				if err != nil {
					return vbox.Plan{}, err
				}
				return vbox.PlanHostOnly(m, adapters, name, o.nic)
			})
		},
	}
	o.add(c, 0, nicHelp)
	return c
}

func newHostNATNet(g *globals, o *hostOptions) *cobra.Command {
	var network string
	c := &cobra.Command{
		Use:   "natnet VM NAME",
		Short: "Attach a stopped VM's next free NIC to a NAT network",
		Long: `Attach the next free NIC of a stopped VM to a NAT network, in which VMs reach each other and, through the host, the
world. A network that is not there is made, with a DHCP server: --network says which addresses it has.` + "\n" + exitHelp,
		Args: atLeast(2, "a VM and the name of a network"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return usageError{fmt.Errorf("%s takes a VM and one network, got %d arguments", cmd.CommandPath(), len(args))}
			}
			var prefix netip.Prefix
			if network != "" {
				var err error
				if prefix, err = netip.ParsePrefix(network); err != nil {
					return usageError{fmt.Errorf("--network %q is not like 192.0.2.0/24", network)}
				}
			}
			if o.psexec != "" {
				m := vbox.Unseen(args[0], false, nil)
				var there []vbox.Network
				if network == "" { // it has to be there
					there = []vbox.Network{{Name: args[1], DHCP: true}}
				}
				plan, err := vbox.PlanNATNetwork(m, there, args[1], prefix, o.nic)
				return o.unseen(g, m, plan, err)
			}
			return o.change(cmd.Context(), g, args[0], func(r vbox.Runner, m vbox.Machine) (vbox.Plan, error) {
				networks, err := vbox.Networks(cmd.Context(), r)
				if err != nil {
					return vbox.Plan{}, err
				}
				return vbox.PlanNATNetwork(m, networks, args[1], prefix, o.nic)
			})
		},
	}
	c.Flags().StringVar(&network, "network", "", "IPv4 `prefix` of a network that is made")
	o.add(c, 0, nicHelp)
	return c
}

func newHostForward(g *globals, o *hostOptions) *cobra.Command {
	var remove []string
	c := &cobra.Command{
		Use:   "forward VM [[NAME=][HOSTIP:]HOSTPORT:GUESTPORT[/tcp|/udp]...]",
		Short: "Forward ports of this host into a VM, or remove such rules",
		Long: `Forward ports of this host into a VM through its NAT NIC, running or stopped, several at once; tcp where nothing else
is said. A rule is called NAME, else by protocol and port, such as tcp-8080. Without HOSTIP the port is open on every
address of this host. --remove takes rules away, before others are added.` + "\n" + exitHelp,
		Args: atLeast(1, "a VM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var add []vbox.Forward
			for _, a := range args[1:] {
				f, err := vbox.ParseForward(a)
				if err != nil {
					return hostError(err)
				}
				add = append(add, f)
			}
			if len(add)+len(remove) == 0 {
				return usageError{errors.New("name ports to forward, or --remove rules; 'provision host list VM' shows those there are")}
			}
			if o.psexec != "" {
				var there []vbox.Forward
				for _, name := range remove {
					there = append(there, vbox.Forward{Name: name})
				}
				m := vbox.Unseen(args[0], true, there)
				plan, err := vbox.PlanForward(m, o.nic, add, remove)
				return o.unseen(g, m, plan, err)
			}
			return o.change(cmd.Context(), g, args[0], func(_ vbox.Runner, m vbox.Machine) (vbox.Plan, error) {
				return vbox.PlanForward(m, o.nic, add, remove)
			})
		},
	}
	c.Flags().StringArrayVar(&remove, "remove", nil, "remove the rule of this `name`; may be given several times")
	o.add(c, 1, "`number` of the NAT NIC")
	return c
}

// atLeast wants so many arguments.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError{fmt.Errorf("%s takes %s, got %d arguments (quotes go around a name with blanks)", c.CommandPath(), what, len(args))}
		}
		return nil
	}
}

// hostList is what host list prints of the host.
type hostList struct {
	Adapters  []vbox.Adapter  `json:"adapters"`
	HostOnly  []vbox.Adapter  `json:"hostonly"`
	Networks  []vbox.Network  `json:"natnets"`
	VMs       []vbox.VM       `json:"vms"`
	Multipass []vbox.Instance `json:"multipass,omitempty"`
	Notes     []string        `json:"notes,omitempty"`
}

func newHostList(g *globals, o *hostOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "list [VM]",
		Short: "List adapters, networks and VMs; or the NICs and port forwards of a VM",
		Long: `List what this host has to attach a VM to, by the names that VBoxManage goes by, and the VMs of this account; Multipass'
instances too where it is installed. With a VM: its NICs, what they are called in a Linux guest, and its port forwards.` + "\n" + exitHelp,
		Args: oneArg("a VM"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if o.psexec != "" {
				return o.unseenList(g, args)
			}
			r, err := o.runner()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				m, err := vbox.Read(ctx, r, args[0])
				if err != nil {
					return hostError(err)
				}
				return g.emit(m, func(p *page) { drawMachine(p, m) })
			}
			list := hostList{}
			if list.Adapters, err = vbox.Adapters(ctx, r); err != nil {
				return err
			}
			if list.HostOnly, err = vbox.HostOnlyAdapters(ctx, r); err != nil {
				list.Notes = append(list.Notes, err.Error()) // macOS has none since VirtualBox 7
			}
			if list.Networks, err = vbox.Networks(ctx, r); err != nil {
				return err
			}
			if list.VMs, err = vbox.VMs(ctx, r); err != nil {
				return err
			}
			list.multipass(ctx)
			return g.emit(list, func(p *page) { drawHostList(p, list) })
		},
	}
}

// unseenList prints how the VMs of SYSTEM are listed.
func (o *hostOptions) unseenList(g *globals, args []string) error {
	out := hostOutcome{DryRun: true, Commands: [][]string{{"list", "bridgedifs"}, {"list", "vms"}}}
	if len(args) == 1 {
		out.VM, out.Commands = args[0], [][]string{{"showvminfo", args[0]}}
	}
	if err := o.script(&out); err != nil {
		return hostError(err)
	}
	return g.emit(out, func(p *page) { o.draw(p, out) })
}

// multipass adds its instances where it is installed.
func (l *hostList) multipass(ctx context.Context) {
	path, err := exec.LookPath("multipass")
	if err != nil {
		return
	}
	text, err := vbox.Program(path).Run(ctx, "list", "--format", "json")
	if err == nil {
		l.Multipass, err = vbox.ParseMultipass(text)
	}
	if err != nil {
		l.Notes = append(l.Notes, err.Error())
	}
}

func drawHostList(p *page, l hostList) {
	adapters := func(title string, all []vbox.Adapter) {
		p.title(title)
		rows := [][]string{{"status", "address", "name"}}
		for _, a := range all {
			name := a.Name
			if a.Wireless {
				name += " (wireless)"
			}
			rows = append(rows, []string{a.Status, a.Address, name})
		}
		p.rowsOr(rows, "none")
	}
	adapters("adapters that can be bridged", l.Adapters)
	adapters("host-only interfaces", l.HostOnly)
	p.title("NAT networks")
	rows := [][]string{{"network", "DHCP", "name"}}
	for _, n := range l.Networks {
		rows = append(rows, []string{n.Prefix.String(), yesNo(n.DHCP), n.Name})
	}
	p.rowsOr(rows, "none")
	p.title("VMs of this account")
	rows = [][]string{{"runs", "name"}}
	for _, v := range l.VMs {
		rows = append(rows, []string{yesNo(v.Running), v.Name})
	}
	p.rowsOr(rows, "none")
	if len(l.Multipass) > 0 {
		p.title("Multipass")
		rows = [][]string{{"state", "address", "name"}}
		for _, i := range l.Multipass {
			rows = append(rows, []string{i.State, joinOr(i.IPv4, ""), i.Name})
		}
		p.rows(rows)
	}
	for _, n := range l.Notes {
		p.line("%s", p.dim(n))
	}
}

// rowsOr is rows, or a word where there are none below the heading.
func (p *page) rowsOr(rows [][]string, none string) {
	if len(rows) == 1 {
		p.line("%s", none)
		return
	}
	p.rows(rows)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func drawMachine(p *page, m vbox.Machine) {
	p.line("%s is %s, chipset %s", p.bold(m.Name), m.State, m.Chipset)
	rows := [][]string{{"NIC", "guest", "MAC", "attached to"}}
	var rules [][]string
	for _, n := range m.NICs {
		to := n.String()
		if n.Unplugged {
			to += " (cable not connected)"
		}
		rows = append(rows, []string{strconv.Itoa(n.Number), n.Guest, n.MAC, to})
		for _, f := range n.Forwards {
			rules = append(rules, []string{strconv.Itoa(n.Number), f.Protocol, f.Host(), f.Target(), f.Name})
		}
	}
	p.rows(rows)
	p.title("port forwards")
	p.rowsOr(append([][]string{{"NIC", "protocol", "host", "guest", "rule"}}, rules...), "none")
}
