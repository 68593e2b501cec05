package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/backends/wifi"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// stored is a network and the file that it is in.
type stored struct {
	wifi.Network
	path string // under the root
}

// networks reads the Wi-Fi networks that commands added.
func (a *Agent) networks() ([]stored, error) {
	dir := filepath.Join(a.Root, wifi.FolderPath)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the Wi-Fi networks: %w", err)
	}
	var out []stored
	var errs []error
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".yaml") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		n, err := readNetwork(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Join(wifi.FolderPath, e.Name()), err))
			continue
		}
		out = append(out, stored{n, path})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return out, nil
}

func readNetwork(path string) (wifi.Network, error) {
	data, err := readBounded(path, wifi.MaxFile)
	if err != nil {
		return wifi.Network{}, err
	}
	if err := trusted(path); err != nil {
		return wifi.Network{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return wifi.Network{}, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return wifi.Network{}, fmt.Errorf("others may read it (mode %04o), and it holds a key: chmod 600 it", info.Mode().Perm())
	}
	return wifi.Parse(data)
}

// wifi asks the planner of Wi-Fi for all networks. Who may not read them plans without.
func (a *Agent) wifi(f *facts.Facts) (provision.Desired, []wifi.Target, error) {
	all, err := a.networks()
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return provision.Desired{}, nil, nil
	}
	if err != nil {
		return provision.Desired{}, nil, err
	}
	list := make([]wifi.Network, 0, len(all))
	for _, s := range all {
		list = append(list, s.Network)
	}
	d, targets, err := wifi.Plan(f, list)
	if errors.Is(err, wifi.ErrNoDevice) {
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	}
	return d, targets, err
}

// addWifi adds what the Wi-Fi networks want to a goal. Where another planner edits one of their
// files (the metric in a profile), its text is theirs and something more, and goes first.
func addWifi(goal *provision.Desired, d provision.Desired) {
	wanted := map[provision.Ref]bool{}
	for _, w := range goal.Wants {
		wanted[w.Ref] = true
	}
	d.Wants = slices.DeleteFunc(d.Wants, func(w provision.Want) bool { return wanted[w.Ref] })
	goal.Append(d)
}

// WifiOptions adjust WifiAdd and WifiRemove.
type WifiOptions struct {
	Device string
	// Wait is how long to wait until the device has joined the network; zero does not wait.
	Wait  time.Duration
	Force bool // remove the network that carries an SSH session
	WPA3  bool // asked for by name; else what is in the air decides
}

// WifiOutcome is what became of one network.
type WifiOutcome struct {
	SSID string `json:"ssid"`
	wifi.Target
	Security string           `json:"security,omitempty"`
	Result   provision.Result `json:"result"`
	// Stage is how far joining came, Said the same for people with what to do about it.
	Stage  string        `json:"stage,omitempty"`
	Said   string        `json:"said,omitempty"`
	Signal int           `json:"signal_dbm,omitempty"`
	Took   time.Duration `json:"took_ns"`
}

// WifiAdd keeps a network, or keeps it anew, tells the device's manager, and waits for the outcome.
// Where nothing could be told the file is as it was.
func (a *Agent) WifiAdd(ctx context.Context, n wifi.Network, o WifiOptions) (WifiOutcome, error) {
	start := time.Now()
	out := WifiOutcome{SSID: wifi.Show(n.SSID)}
	f, err := a.Facts(ctx)
	if err != nil {
		return out, err
	}
	l, err := wifi.Find(f, o.Device)
	if errors.Is(err, wifi.ErrNoDevice) {
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	}
	if err != nil {
		return out, err
	}
	if said := wifi.Blocked(f); said != "" && !a.offline() {
		return out, fmt.Errorf("%w: Wi-Fi is switched off, so nothing was changed: %s", ErrMissing, said)
	}
	n.Device = l.Name
	passphrase := n.Passphrase
	if n.Security == wifi.PSK && passphrase != "" {
		if a.onlySAE(ctx, l, n.SSID) || o.WPA3 {
			n.Security = wifi.SAE
		} else if n.Key, err = wifi.DeriveKey(passphrase, n.SSID); err != nil {
			return out, err
		} else {
			n.Passphrase = ""
		}
	}
	if err := n.Check(); err != nil {
		return out, UsageError{err}
	}
	all, err := a.networks()
	if err != nil {
		return out, err
	}
	path := filepath.Join(a.Root, wifi.FolderPath, wifi.Name(n.SSID)+".yaml")
	for _, s := range all {
		if s.SSID == n.SSID {
			path = s.path
		}
	}
	watch := a.watchWifi(ctx, l)
	defer watch.Close()
	err = a.exchange(path, n.Encode(), func() error {
		var targets []wifi.Target
		out.Result, targets, err = a.applyWifi(ctx)
		for _, t := range targets {
			if t.Device == l.Name {
				out.Target = t
			}
		}
		return err
	})
	out.Security = n.Security
	if err == nil && o.Wait > 0 && !a.offline() {
		a.awaitWifi(ctx, watch, l, n, o.Wait, &out)
	}
	out.Took = time.Since(start)
	return out, err
}

// WifiRemove forgets a network.
func (a *Agent) WifiRemove(ctx context.Context, ssid string, o WifiOptions) (WifiOutcome, error) {
	start := time.Now()
	out := WifiOutcome{SSID: wifi.Show(ssid)}
	all, err := a.networks()
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(all, func(s stored) bool { return s.SSID == ssid && (o.Device == "" || o.Device == s.Device) })
	f, err := a.Facts(ctx)
	if err != nil {
		return out, err
	}
	if i < 0 {
		for _, other := range wifi.Others(f) {
			if other.SSID == ssid {
				return out, UsageError{fmt.Errorf("the network %q was not added by provision: it stands in %s", out.SSID, other.File)}
			}
		}
		return out, UsageError{fmt.Errorf("there is no network %q; `provision wifi list` shows what there is", out.SSID)}
	}
	if who := a.carried(ctx, f, all[i].Network); who != "" && !o.Force {
		return out, fmt.Errorf("refused, nothing was changed: the SSH session from %s comes in by this network (--force removes it all the same)", who)
	}
	out.Device = all[i].Device
	err = a.exchange(all[i].path, nil, func() error {
		out.Result, _, err = a.applyWifi(ctx)
		return err
	})
	out.Took = time.Since(start)
	return out, err
}

// exchange writes a file (nil removes it) and puts the old one back where then fails.
func (a *Agent) exchange(path string, data []byte, then func() error) error {
	old, err := readBounded(path, wifi.MaxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot keep the network: %w", err)
	}
	there := err == nil
	if err := put600(path, data, data != nil); err != nil {
		return fmt.Errorf("cannot keep the network: %w", err)
	}
	if err := then(); err != nil {
		return errors.Join(err, put600(path, old, there))
	}
	return nil
}

// put600 makes path a file that only its owner can read, durably, or removes it.
func put600(path string, data []byte, there bool) error {
	if !there {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not every system can
		d.Close()
	}
	return nil
}

// applyWifi brings the device's manager to what the files say, and nothing else: whatever else
// apply would do waits for apply.
func (a *Agent) applyWifi(ctx context.Context) (provision.Result, []wifi.Target, error) {
	e, done, err := a.engine()
	if err != nil {
		return provision.Result{}, nil, err
	}
	defer done()
	e.Scope = wifi.Owns
	before, err := e.Status(ctx)
	if err != nil {
		return provision.Result{}, nil, err
	}
	var targets []wifi.Target
	var ready func(context.Context) (provision.Desired, provision.ApplyOptions, error)
	ready = func(ctx context.Context) (provision.Desired, provision.ApplyOptions, error) {
		opts := provision.ApplyOptions{Replan: ready, Basis: before.Commit}
		f, err := a.Facts(ctx)
		if err != nil {
			return provision.Desired{}, opts, err
		}
		var d provision.Desired
		if d, targets, err = a.wifi(f); err != nil {
			return d, opts, err
		}
		if a.offline() {
			return a.filesOnly(d), opts, nil
		}
		plan, err := e.Plan(ctx, d)
		if err != nil || plan.Empty() {
			return d, opts, err
		}
		if err := a.check(ctx, Goal{Facts: f, Desired: d}); err != nil {
			return d, opts, err
		}
		return d, opts, a.alive(ctx, plan)
	}
	d, opts, err := ready(ctx)
	if err != nil {
		return provision.Result{}, targets, err
	}
	r, err := e.Apply(ctx, d, opts)
	return r, targets, err
}

// WifiList is what there is of Wi-Fi.
type WifiList struct {
	Devices  []WifiDevice  `json:"devices"`
	Networks []WifiNetwork `json:"networks"`
	// Heard are networks in reach that the device was not told of.
	Heard []WifiNetwork `json:"heard,omitempty"`
	Notes []string      `json:"notes,omitempty"`
}

// WifiDevice is one Wi-Fi device.
type WifiDevice struct {
	Name    string `json:"name"`
	Blocked string `json:"blocked,omitempty"`
	Joined  string `json:"joined,omitempty"` // network
	Signal  int    `json:"signal_dbm,omitempty"`
	Country string `json:"country,omitempty"`
}

// WifiNetwork is one network that is known, or heard.
type WifiNetwork struct {
	SSID     string `json:"ssid"`
	Device   string `json:"device,omitempty"`
	Security string `json:"security,omitempty"`
	Ours     bool   `json:"added_by_provision"`
	File     string `json:"file,omitempty"`
	Joined   bool   `json:"joined"`
	Signal   int    `json:"signal_dbm,omitempty"` // 0: not heard lately
	Priority int    `json:"priority,omitempty"`
}

// WifiNetworks lists devices and networks.
func (a *Agent) WifiNetworks(ctx context.Context) (WifiList, error) {
	out := WifiList{Devices: []WifiDevice{}, Networks: []WifiNetwork{}}
	f, err := a.Facts(ctx)
	if err != nil {
		return out, err
	}
	air := a.hear(ctx, f, &out)
	all, err := a.networks()
	switch {
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		out.Notes = append(out.Notes, "only root can read which networks were added (sudo)")
	case err != nil:
		return out, err
	}
	for _, s := range all {
		out.Networks = append(out.Networks, air.known(WifiNetwork{SSID: s.SSID, Device: s.Device, Security: s.Security, Ours: true,
			File: filepath.Join(wifi.FolderPath, filepath.Base(s.path)), Priority: s.Priority}))
	}
	for _, o := range wifi.Others(f) {
		out.Networks = append(out.Networks, air.known(WifiNetwork{SSID: o.SSID, Device: o.Device, File: o.File}))
	}
	for _, p := range f.Unreadable {
		if strings.Contains(p.Source, "/system-connections") || strings.Contains(p.Source, "/wpa_supplicant") || strings.Contains(p.Source, "/netplan") {
			out.Notes = append(out.Notes, fmt.Sprintf("%s could not be read: %s", p.Source, p.Reason))
		}
	}
	out.Heard = air.rest()
	for i := range out.Networks {
		out.Networks[i].SSID = wifi.Show(out.Networks[i].SSID)
	}
	return out, nil
}

// heard is what is in the air, by name; of several access points the strongest.
type heard map[string]*heardNetwork

type heardNetwork struct {
	WifiNetwork
	known bool
}

func (h heard) known(n WifiNetwork) WifiNetwork {
	if s, ok := h[n.SSID]; ok {
		s.known = true
		n.Joined, n.Signal = s.Joined, s.Signal
		if n.Security == "" {
			n.Security = s.Security
		}
	}
	return n
}

func (h heard) rest() []WifiNetwork {
	var out []WifiNetwork
	for ssid, s := range h {
		if !s.known && ssid != "" {
			s.SSID = wifi.Show(ssid)
			out = append(out, s.WifiNetwork)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Signal != out[j].Signal {
			return out[i].Signal > out[j].Signal
		}
		return out[i].SSID < out[j].SSID
	})
	return out
}
