package vbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Runner runs VBoxManage with these arguments and returns its standard output.
type Runner interface {
	Run(ctx context.Context, args ...string) (string, error)
}

// Program is a Runner for a program of this host. Each call ends within a minute.
type Program string

// callTime is more than VBoxManage takes when it has to start its service first.
const callTime = time.Minute

// Run starts the program without a shell and without standard input.
func (p Program) Run(ctx context.Context, args ...string) (string, error) {
	timed, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	cmd := exec.CommandContext(timed, string(p), args...)
	cmd.WaitDelay = time.Second // a service that it started may keep the pipes open
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case timed.Err() != nil:
		return "", fmt.Errorf("%s %s gave no answer within %s", filepath.Base(string(p)), strings.Join(args, " "), callTime)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %s", filepath.Base(string(p)), strings.Join(args, " "), complaint(errs.String(), err))
	}
	return out.String(), nil
}

// complaint is the first sentence after "VBoxManage: error: ", which says what is wrong; details and context are of
// its own source code.
func complaint(text string, err error) string {
	for _, l := range lines(text) {
		if _, said, ok := strings.Cut(l, "error: "); ok {
			return said
		}
	}
	if l, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); l != "" {
		return strings.TrimSpace(l)
	}
	return err.Error()
}

// Find is the path of VBoxManage: the one that was named, else from PATH, else where the installers put it.
func Find(named string) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fault(ErrMissing, "cannot use %s as VBoxManage: %s", named, err)
		}
		return path, nil
	}
	for _, name := range []string{"VBoxManage", "vboxmanage"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	for _, path := range installed(runtime.GOOS, os.Getenv) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fault(ErrMissing, "VBoxManage is not on this host: is VirtualBox installed? --vboxmanage FILE names it where it is elsewhere")
}

// DefaultVBoxManage is where VirtualBox' installer for Windows puts it.
const DefaultVBoxManage = `C:\Program Files\Oracle\VirtualBox\VBoxManage.exe`

func installed(goos string, getenv func(string) string) []string {
	switch goos {
	case "windows":
		out := []string{DefaultVBoxManage}
		for _, v := range []string{"VBOX_MSI_INSTALL_PATH", "VBOX_INSTALL_PATH"} { // set by the installer
			if dir := getenv(v); dir != "" {
				out = append([]string{filepath.Join(dir, "VBoxManage.exe")}, out...)
			}
		}
		return out
	case "darwin":
		return []string{"/usr/local/bin/VBoxManage", "/Applications/VirtualBox.app/Contents/MacOS/VBoxManage"}
	}
	return nil
}

// VMs lists the VMs of this account.
func VMs(ctx context.Context, r Runner) ([]VM, error) {
	text, err := r.Run(ctx, "list", "vms")
	if err != nil {
		return nil, err
	}
	all, err := ParseVMs(text)
	if err != nil {
		return nil, err
	}
	if text, err = r.Run(ctx, "list", "runningvms"); err != nil {
		return nil, err
	}
	running, err := ParseVMs(text)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Running = slices.ContainsFunc(running, func(v VM) bool { return v.UUID == all[i].UUID })
	}
	return all, nil
}

// Read is the VM of this name or UUID.
func Read(ctx context.Context, r Runner, name string) (Machine, error) {
	all, err := VMs(ctx, r)
	if err != nil {
		return Machine{}, err
	}
	vm, err := find(all, name)
	if err != nil {
		return Machine{}, err
	}
	text, err := r.Run(ctx, "showvminfo", vm.UUID, "--machinereadable")
	if err != nil {
		return Machine{}, err
	}
	m, err := ParseMachine(text)
	if err != nil {
		return Machine{}, err
	}
	m.Name = vm.Name
	if slices.ContainsFunc(all, func(v VM) bool { return v.Name == vm.Name && v.UUID != vm.UUID }) {
		m.Name = vm.UUID // the name would mean either
	}
	return m, nil
}

func find(all []VM, name string) (VM, error) {
	var found []VM
	for _, v := range all {
		if v.Name == name || v.UUID == strings.ToLower(name) {
			found = append(found, v)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return VM{}, fault(ErrUsage, "there are %d VMs called %q: give the UUID", len(found), name)
	case len(all) == 0:
		return VM{}, fault(ErrMissing, "this account has no VM %q, and no other; VMs belong to the account that made them (Multipass': SYSTEM on Windows, root on macOS)", name)
	}
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = v.Name
	}
	return VM{}, fault(ErrMissing, "this account has no VM %q; there are %s", name, strings.Join(names, ", "))
}

// Adapters are the host's adapters that can be bridged.
func Adapters(ctx context.Context, r Runner) ([]Adapter, error) {
	return adapters(ctx, r, "bridgedifs")
}

// HostOnlyAdapters are the host-only interfaces.
func HostOnlyAdapters(ctx context.Context, r Runner) ([]Adapter, error) {
	return adapters(ctx, r, "hostonlyifs")
}

func adapters(ctx context.Context, r Runner, what string) ([]Adapter, error) {
	text, err := r.Run(ctx, "list", what)
	if err != nil {
		return nil, err
	}
	return ParseAdapters(text)
}

// Networks are the NAT networks.
func Networks(ctx context.Context, r Runner) ([]Network, error) {
	text, err := r.Run(ctx, "list", "natnets")
	if err != nil {
		return nil, err
	}
	return ParseNetworks(text)
}

// Unseen is a VM of another account as it has to be taken to be: stopped, or running with these rules, and with nothing
// but its NAT NIC.
func Unseen(name string, running bool, rules []Forward) Machine {
	m := Machine{Name: name, State: "poweroff", Chipset: "piix3", NICs: []NIC{{Number: 1, Attachment: NAT, Forwards: rules}}}
	if running {
		m.State = "running"
	}
	for n := 2; n <= MaxNICs(m.Chipset); n++ {
		m.NICs = append(m.NICs, NIC{Number: n, Attachment: None})
	}
	return m
}

// Do carries out a plan, looks whether it came about, and returns the machine as it is then. What fails midway is
// taken back; where even that fails the error is ErrStuck.
func Do(ctx context.Context, r Runner, m Machine, p Plan) (Machine, error) {
	for i, s := range p.Steps {
		if _, err := r.Run(ctx, s.Do...); err != nil {
			return m, back(ctx, r, p.Steps[:i], err)
		}
	}
	id := m.UUID
	if id == "" {
		id = m.Name
	}
	after, err := Read(ctx, r, id)
	if err != nil {
		return m, fmt.Errorf("it is done, and cannot be looked at: %w", err)
	}
	if missing := p.Missing(after); len(missing) > 0 {
		return after, back(ctx, r, p.Steps, fmt.Errorf("VBoxManage reports no error, and yet %s", strings.Join(missing, "; ")))
	}
	return after, nil
}

// back undoes steps, the last one first, also when the reason is that somebody wants to stop.
func back(ctx context.Context, r Runner, done []Step, cause error) error {
	ctx = context.WithoutCancel(ctx)
	for _, s := range slices.Backward(done) {
		if _, err := r.Run(ctx, s.Undo...); err != nil {
			return fault(ErrStuck, "%s; what was done before cannot be taken back: %s", cause, err)
		}
	}
	return cause
}

// Missing says what of a plan is not so.
func (p Plan) Missing(m Machine) []string {
	var out []string
	for _, want := range p.nics {
		if n := m.nic(want.Number); n == nil || n.Attachment != want.Attachment || n.To != want.To {
			out = append(out, fmt.Sprintf("NIC %d is not attached to %s", want.Number, want))
		}
	}
	if p.number == 0 {
		return out
	}
	var rules []Forward
	if n := m.nic(p.number); n != nil {
		rules = n.Forwards
	}
	for _, f := range p.rules {
		if !slices.Contains(rules, f) {
			out = append(out, fmt.Sprintf("rule %s is not there: %s", f.Name, f))
		}
	}
	for _, name := range p.gone {
		again := func(f Forward) bool { return f.Name == name }
		if slices.ContainsFunc(rules, again) && !slices.ContainsFunc(p.rules, again) {
			out = append(out, fmt.Sprintf("rule %s is still there", name))
		}
	}
	return out
}
