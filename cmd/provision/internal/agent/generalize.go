package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/backends/wifi"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/routing/wireguard"
)

// Thing is a path and what it means to people.
type Thing struct {
	Path string `json:"path"`
	What string `json:"what"`
}

// Generalization is what Generalize forgot, or would forget, and what it left in the image.
type Generalization struct {
	DryRun bool    `json:"dry_run,omitempty"`
	Forgot []Thing `json:"forgot"`
	Stays  []Thing `json:"stays"`
}

// identities are the files by which other programs tell this machine from others on a network, as patterns of filepath.Glob.
// They are those that virt-sysprep(1) knows as dhcp-client-state and machine-id, and NetworkManager's and dhcpcd's own.
func identities() []Thing {
	return []Thing{
		{"/var/lib/dhcp/*.leases", "leases and DUID of dhclient"},
		{"/var/lib/dhclient/*.lease*", "leases and DUID of dhclient"},
		{"/var/lib/dhcpcd/*.lease*", "a lease of dhcpcd"},
		{"/var/lib/dhcpcd/duid", "DUID of dhcpcd"},
		{"/var/lib/dhcpcd/secret", "what dhcpcd makes IPv6 addresses of (RFC 7217)"},
		{"/etc/dhcpcd.duid", "DUID of dhcpcd"},
		{"/var/lib/NetworkManager/*.lease", "a lease of NetworkManager"},
		{"/var/lib/NetworkManager/secret_key", "what NetworkManager makes IPv6 addresses and identifiers of (RFC 7217)"},
		{"/var/lib/NetworkManager/seen-bssids", "access points that were seen"},
		{"/var/lib/NetworkManager/timestamps", "when connections were used"},
	}
}

// remembered says what the entries of the state folder are; what is not listed is said to be remembered state.
func remembered(name string) string {
	switch name {
	case "engine":
		return "ledger and snapshots: what this machine was before"
	case "metrics.json":
		return "metrics that were allotted to this machine's NICs"
	case "policy.json":
		return "numbers of routing tables and marks"
	case "gadget.json", "gadget-hosts.json":
		return "the gadget as it was, and hosts that it has met"
	case "kernel.json":
		return "the kernel's state as it was committed"
	case "lists":
		return "lists that were fetched"
	case "sets":
		return "elements of the firewall's sets"
	case "serve":
		return "leases, DUID and prefixes of the server"
	case "clock":
		return "the saved clock"
	case machineFile:
		return "which machine this is"
	}
	return "what was remembered"
}

// ofImage reports whether an entry of the state folder belongs to what was baked: it was planned without any machine, so it says
// nothing of one, and without it an image's machines would not be right from their first lease.
func ofImage(name string) bool {
	switch name {
	case "engine", bakedFile, "metrics.json", "policy.json", "gadget.json", "kernel.json", "sets":
		return true
	}
	return false
}

// Generalize makes the machine forget what tells it from others, before an image is made of it: files that apply wrote return to
// what they were, without any daemon being told, since their texts name this machine's NICs; the state folder, the keys that commands
// made, leases and identifiers of DHCP clients go, and the machine-id is emptied so that the next boot makes a new one
// (machine-id(5)). It can be called again after an error. With dry nothing is changed.
func (a *Agent) Generalize(ctx context.Context, dry bool) (Generalization, error) {
	out := Generalization{DryRun: dry, Forgot: []Thing{}, Stays: []Thing{}}
	if !a.offline() && !dry {
		if err := noDaemons(ctx); err != nil {
			return out, err
		}
	}
	// Links in a mounted image may lead out of it, to files of the machine that this runs on: os.Root does not follow those.
	root, err := os.OpenRoot(a.Root)
	if err != nil {
		return out, fmt.Errorf("cannot open the root %s: %w", a.Root, err)
	}
	defer root.Close()
	state := matching(root, a.StateDir+"/*") // some of it are files that apply wrote
	baked := a.Baked()
	if baked {
		out.Stays = append(out.Stays, Thing{filepath.Join(a.StateDir, bakedFile), "what `provision apply --root` baked into this image, for whatever machine it will be"})
	} else {
		unlock, err := a.forgetFiles(ctx, &out)
		if err != nil {
			return out, err
		}
		defer unlock()
	}
	var errs []error
	forget := func(path, what string, how func(string) error) {
		if !dry {
			if err := how(within(path)); err != nil {
				errs = append(errs, fmt.Errorf("cannot forget %s: %w", path, err))
				return
			}
		}
		out.Forgot = append(out.Forgot, Thing{path, what})
	}
	for _, e := range state {
		if baked && ofImage(filepath.Base(e)) {
			continue
		}
		forget(e, remembered(filepath.Base(e)), root.RemoveAll)
	}
	for _, e := range matching(root, wireguard.Folder+"/*") {
		forget(e, "keys, addresses and peers of a WireGuard interface, as commands made them", root.RemoveAll)
	}
	for _, i := range identities() {
		for _, path := range matching(root, i.Path) {
			forget(path, i.What, root.RemoveAll)
		}
	}
	if info, err := root.Lstat(within(dbusID)); err == nil && info.Mode().IsRegular() {
		forget(dbusID, "a copy of the machine-id", root.RemoveAll)
	}
	// Emptied and not removed: systemd could not make the file on a root that is still read-only.
	if info, err := root.Lstat(within(machineID)); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		forget(machineID, "the machine-id, of which DUIDs and IPv6 addresses are made: emptied, the next boot makes one",
			func(path string) error { return root.WriteFile(path, nil, 0o444) })
	}
	a.stays(root, &out)
	if err := errors.Join(errs...); err != nil {
		return out, fmt.Errorf("not everything could be forgotten, call it again when the cause is gone: %w", err)
	}
	return out, nil
}

const machineID, dbusID = "/etc/machine-id", "/var/lib/dbus/machine-id"

// noDaemons refuses while something of ours runs that would write its state again when it ends.
func noDaemons(ctx context.Context) error {
	for _, d := range [...]struct{ unit, socket string }{{"provision-serve", control.DefaultSocket}, {"provision-watch", WatchSocket}, {"provision-gadget", GadgetSocket}} {
		dialer := net.Dialer{Timeout: time.Second}
		if c, err := dialer.DialContext(ctx, "unix", d.socket); err == nil {
			c.Close()
			return fmt.Errorf("%w: %s is running and would write its state again, nothing was forgotten: systemctl stop %s", ErrConflict, d.unit, d.unit)
		}
	}
	return nil
}

// forgetFiles returns the files that apply wrote to their first-seen values, and holds the engine's lock from then on. The engine
// that does it knows nothing but files.
func (a *Agent) forgetFiles(ctx context.Context, out *Generalization) (unlock func(), err error) {
	unlock = func() {}
	if _, err := os.Stat(filepath.Join(a.stateDir(), "engine")); errors.Is(err, fs.ErrNotExist) {
		return unlock, nil
	}
	e, done, err := a.engine()
	if err != nil {
		return unlock, err
	}
	defer done()
	s, err := e.Status(ctx)
	if err != nil {
		return unlock, err
	}
	if s.Interrupted || s.Pending > 0 {
		return unlock, errors.New("an apply is not finished, nothing was forgotten: `provision recover`, or `provision confirm`, and then again")
	}
	for kind := range e.Resources {
		if kind != file.Kind && kind != file.SecretKind {
			delete(e.Resources, kind)
		}
	}
	e.Actors = map[string]provision.Actor{}
	e.Scope = func(r provision.Ref) bool { return e.Resources[r.Kind] != nil }
	p, err := e.Plan(ctx, provision.Desired{})
	if err != nil {
		return unlock, fmt.Errorf("cannot tell which files apply wrote: %w", err)
	}
	var foreign []provision.Ref
	if !out.DryRun {
		r, err := e.Revert(ctx, false)
		if err != nil {
			return unlock, fmt.Errorf("cannot take back the files that apply wrote, nothing else was forgotten: %w", err)
		}
		foreign = r.Foreign
		lock, err := e.Store.Lock(ctx)
		if err != nil {
			return unlock, err
		}
		unlock = lock.Unlock
	}
	for _, f := range foreign {
		out.Stays = append(out.Stays, Thing{f.Name, "written by apply and changed by somebody else since: judge yourself what it says of this machine"})
	}
	for _, c := range p.Changes {
		if !strings.HasPrefix(c.Ref.Name, a.StateDir+"/") { // that goes as a whole
			out.Forgot = append(out.Forgot, Thing{c.Ref.Name, "written by apply for this machine; as it was before"})
		}
	}
	return unlock, nil
}

// stays says what is left in the image although it may tell machines apart.
func (a *Agent) stays(root *os.Root, out *Generalization) {
	say := func(pattern, what string) {
		for _, path := range matching(root, pattern) {
			out.Stays = append(out.Stays, Thing{path, what})
		}
	}
	say(DefaultPath, "the configuration, with what it says of addresses and MAC addresses")
	tunnels := a.Config.Routing.WireGuard
	names := make([]string, 0, len(tunnels))
	for n := range tunnels {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if f := tunnels[n].PrivateKeyFile; f != "" {
			say(f, "the key of "+n+", which you made: every clone would be the same peer, so remove it")
		} else if tunnels[n].PrivateKey != "" {
			out.Stays = append(out.Stays, Thing{a.Source.String(), "it holds the key of " + n + ": every clone would be the same peer"})
		}
	}
	say(wifi.FolderPath+"/*", "a Wi-Fi network and its password")
	say("/etc/ssh/ssh_host_*_key", "an SSH host key: no part of the network, and not every system makes a new one by itself (ssh-keygen -A)")
}

// within is an absolute path as os.Root takes it.
func within(path string) string { return strings.TrimPrefix(path, "/") }

// matching are the paths that fit a pattern in its last element, in order; none where the folder is none.
func matching(root *os.Root, pattern string) []string {
	dir, last := filepath.Dir(pattern), filepath.Base(pattern)
	f, err := root.Open(within(dir))
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1)
	sort.Strings(names)
	var out []string
	for _, n := range names {
		if ok, _ := filepath.Match(last, n); ok {
			out = append(out, dir+"/"+n)
		}
	}
	return out
}
