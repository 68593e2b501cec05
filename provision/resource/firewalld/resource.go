package firewalld

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// Manager is what is needed of a running firewalld.
type Manager interface {
	// Zone names the zone that a device is in, "" for none.
	Zone(ctx context.Context, permanent bool, device string) (string, error)
	// Move takes a device out of zone from, unless that is "", and puts it into zone to, unless that is "".
	Move(ctx context.Context, permanent bool, device, from, to string) error
	Close()
}

// Files is what is needed of a host where firewalld does not run.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(path string) ([]host.Entry, error)
}

// Resource is the zones of devices.
type Resource struct {
	// Open connects to firewalld; nil, nil means that it does not run.
	Open  func(ctx context.Context) (Manager, error)
	Files Files
}

var _ provision.Resource = (*Resource)(nil)

// zoneDir has the zones that were changed by hand or by command (firewalld.zone(5)).
const zoneDir = "/etc/firewalld/zones"

// Get implements provision.Resource: nil for a device in no zone. Where firewalld does not run,
// only what its files say is known.
func (r *Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	if err := Check(name); err != nil {
		return nil, err
	}
	m, err := r.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask firewalld for the zone of %s: %w", name, err)
	}
	if m == nil {
		zone, err := r.stored(name)
		return attrs("", zone), err
	}
	defer m.Close()
	a, err := get(ctx, m, name)
	if err != nil {
		return nil, fmt.Errorf("cannot ask firewalld for the zone of %s: %w", name, err)
	}
	return a, nil
}

func get(ctx context.Context, m Manager, name string) (provision.Attrs, error) {
	runtime, err := m.Zone(ctx, false, name)
	if err != nil {
		return nil, err
	}
	permanent, err := m.Zone(ctx, true, name)
	return attrs(runtime, permanent), err
}

func attrs(runtime, permanent string) provision.Attrs {
	if runtime == "" && permanent == "" {
		return nil
	}
	return provision.Attrs{AttrRuntime: runtime, AttrPermanent: permanent}
}

// Set implements provision.Resource. While firewalld does not run that is provision.ErrPending.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := Check(name); err != nil {
		return err
	}
	for k, v := range want {
		if k != AttrRuntime && k != AttrPermanent {
			return fmt.Errorf("cannot set %s of %s in firewalld: unknown attribute", k, name)
		}
		if err := checkZone(v); err != nil {
			return fmt.Errorf("cannot set the zone of %s in firewalld: %w", name, err)
		}
	}
	m, err := r.Open(ctx)
	if err != nil {
		return fmt.Errorf("cannot reach firewalld for the zone of %s: %w", name, err)
	}
	if m == nil {
		return r.setStopped(name, want)
	}
	defer m.Close()
	now, err := get(ctx, m, name)
	if err != nil {
		return fmt.Errorf("cannot ask firewalld for the zone of %s: %w", name, err)
	}
	if stale(now, have, want) {
		return fmt.Errorf("the zone of %s in firewalld: %w", name, provision.ErrStale)
	}
	// The file first: a firewalld that dies in between starts with what is wanted.
	for _, attr := range []string{AttrPermanent, AttrRuntime} {
		to, listed := want[attr]
		if want != nil && !listed || to == now[attr] {
			continue
		}
		if err := m.Move(ctx, attr == AttrPermanent, name, now[attr], to); err != nil {
			return fmt.Errorf("firewalld does not change the %s zone of %s from %q to %q: %w", attr, name, now[attr], to, err)
		}
	}
	after, err := get(ctx, m, name)
	if err != nil {
		return fmt.Errorf("cannot ask firewalld for the zone of %s: %w", name, err)
	}
	for _, attr := range []string{AttrPermanent, AttrRuntime} {
		if to, listed := want[attr]; (want == nil || listed) && after[attr] != to {
			return fmt.Errorf("firewalld has the %s zone of %s as %q where it was told %q", attr, name, after[attr], to)
		}
	}
	return nil
}

// stale compares what want lists; all of it when something is to be made or removed.
func stale(now, have, want provision.Attrs) bool {
	if (now == nil) != (have == nil) {
		return true
	}
	for _, attr := range []string{AttrRuntime, AttrPermanent} {
		if _, listed := want[attr]; (want == nil || listed) && now[attr] != have[attr] {
			return true
		}
	}
	return false
}

func (r *Resource) setStopped(name string, want provision.Attrs) error {
	zone, err := r.stored(name)
	if err != nil {
		return err
	}
	if p, listed := want[AttrPermanent]; (want == nil || !listed || p == zone) && want[AttrRuntime] == "" && (want != nil || zone == "") {
		return nil
	}
	do := fmt.Sprintf("--zone=%s --remove-interface=%s", zone, name)
	if p := want[AttrPermanent]; p != "" {
		do = fmt.Sprintf("--zone=%s --add-interface=%s", p, name)
	}
	return fmt.Errorf("firewalld does not run, so the zone of %s stays %q: start it, or do it by hand with firewall-offline-cmd %s: %w", name, zone, do, provision.ErrPending)
}

// stored reads the zone of a device from the files.
func (r *Resource) stored(name string) (string, error) {
	entries, err := r.Files.ReadDir(zoneDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read firewalld's zones: %w", err)
	}
	for _, e := range entries {
		zone, ok := strings.CutSuffix(e.Name, ".xml")
		if !ok {
			continue
		}
		b, err := r.Files.ReadFile(zoneDir+"/"+e.Name, 1<<20)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("cannot read firewalld's zone %s: %w", zone, err)
		}
		if contains(string(b), name) {
			return zone, nil
		}
	}
	return "", nil
}

// contains finds <interface name="usb0"/> in the file of a zone. firewalld reads files with a real
// XML parser; this one knows as much as names of devices need.
func contains(file, device string) bool {
	for {
		before, rest, found := strings.Cut(file, "<interface")
		if !found {
			return false
		}
		if i := strings.LastIndex(before, "<!--"); i >= 0 && !strings.Contains(before[i:], "-->") {
			if _, file, found = strings.Cut(rest, "-->"); !found {
				return false
			}
			continue
		}
		tag, after, _ := strings.Cut(rest, ">")
		_, value, _ := strings.Cut(tag, "name")
		value = strings.TrimLeft(value, "= \t\r\n")
		for _, quote := range []string{`"`, "'"} {
			if v, ok := strings.CutPrefix(value, quote); ok {
				if name, _, ok := strings.Cut(v, quote); ok && name == device {
					return true
				}
			}
		}
		file = after
	}
}
