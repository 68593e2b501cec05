package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

// Files is what the resource needs of a host: host.Root has it on Linux.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
	WriteValue(path, value string) error
}

// Resource is the live value of kernel parameters.
type Resource struct {
	Files Files
	// Devices resolves the selectors of per-device parameters: netdev.Read.
	Devices func(ctx context.Context) (*netdev.Table, error)
}

var (
	_ provision.Resource = (*Resource)(nil)
	_ provision.Lister   = (*Resource)(nil)
)

// maxValue is a page, the most that the kernel prints for a parameter.
const maxValue = 4096

// parameter is a parsed name.
type parameter struct {
	family, dir string // "ipv6", "conf"
	selector    string // empty for a global one
	key         string // path below the device's directory, or below /proc/sys
}

func parse(name string) (parameter, error) {
	fail := func(why string) (parameter, error) {
		return parameter{}, fmt.Errorf("kernel parameter %q: %s", name, why)
	}
	parts := strings.Split(name, " ")
	if parts[0] == "global" {
		if len(parts) != 2 {
			return fail(`want "global net.ipv4.ip_forward"`)
		}
		if !strings.HasPrefix(parts[1], "net.") || !validKey(parts[1]) {
			return fail("want a dotted key below net")
		}
		return parameter{key: strings.ReplaceAll(parts[1], ".", "/")}, nil
	}
	if len(parts) != 3 {
		return fail(`want "ipv6.conf SELECTOR KEY"`)
	}
	family, dir, _ := strings.Cut(parts[0], ".")
	if family != "ipv4" && family != "ipv6" || dir != "conf" && dir != "neigh" {
		return fail("want ipv4.conf, ipv6.conf, ipv4.neigh or ipv6.neigh")
	}
	if _, err := netdev.Parse(parts[1]); err != nil {
		return parameter{}, err
	}
	if !validKey(parts[2]) || strings.Contains(parts[2], ".") {
		return fail("want one key like accept_ra")
	}
	return parameter{family: family, dir: dir, selector: parts[1], key: parts[2]}, nil
}

func validKey(key string) bool {
	for _, part := range strings.Split(key, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
		}) {
			return false
		}
	}
	return true
}

// path is empty when the device does not exist.
func (p parameter) path(table *netdev.Table) (string, error) {
	if p.selector == "" {
		return "/proc/sys/" + p.key, nil
	}
	d, ok, err := table.Find(p.selector)
	if err != nil || !ok {
		return "", err
	}
	return "/proc/sys/net/" + p.family + "/" + p.dir + "/" + d.Name + "/" + p.key, nil
}

// Property implements provision.Property.
func (*Resource) Property() bool { return true }

// Get implements provision.Resource.
func (r *Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister.
func (r *Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	paths, err := r.paths(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for i, name := range names {
		a, err := r.read(paths[i])
		errs = append(errs, err)
		if a != nil {
			out[name] = a
		}
	}
	return out, errors.Join(errs...)
}

// paths resolves names with at most one dump of the devices.
func (r *Resource) paths(ctx context.Context, names []string) ([]string, error) {
	var table *netdev.Table
	var errs []error
	paths := make([]string, len(names))
	for i, name := range names {
		p, err := parse(name)
		if err == nil && p.selector != "" && table == nil {
			if table, err = r.Devices(ctx); err != nil {
				return nil, err
			}
		}
		if err == nil {
			paths[i], err = p.path(table)
		}
		errs = append(errs, err)
	}
	return paths, errors.Join(errs...)
}

// read returns nil for a parameter that the kernel does not have: there is no
// conf directory of IPv6 while it is disabled, and none of a device that is gone.
func (r *Resource) read(path string) (provision.Attrs, error) {
	if path == "" {
		return nil, nil
	}
	data, err := r.Files.ReadFile(path, maxValue)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV):
		return nil, nil
	case errors.Is(err, syscall.EIO) && strings.HasSuffix(path, "/stable_secret"):
		return nil, nil // never set (net/ipv6/addrconf.c addrconf_sysctl_stable_secret)
	case err != nil:
		return nil, err
	}
	return provision.Attrs{AttrValue: canonical(string(data))}, nil
}

// canonical separates the numbers of a value by one blank; the kernel prints tabs
// and takes both.
func canonical(value string) string { return strings.Join(strings.Fields(value), " ") }

// Set implements provision.Resource. A parameter cannot be made or removed: that is
// provision.ErrPending until its device comes or goes.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	paths, err := r.paths(ctx, []string{name})
	if err != nil {
		return err
	}
	now, err := r.read(paths[0])
	if err != nil {
		return err
	}
	if (now == nil) != (have == nil) || now[AttrValue] != have[AttrValue] {
		return fmt.Errorf("kernel parameter %s: %w", name, provision.ErrStale)
	}
	switch {
	case want == nil && now == nil:
		return nil
	case want == nil:
		return fmt.Errorf("kernel parameter %s goes away with its device: %w", name, provision.ErrPending)
	case now == nil:
		return fmt.Errorf("the kernel has no parameter %s, or not yet: %w", name, provision.ErrPending)
	}
	for k := range want {
		if k != AttrValue {
			return fmt.Errorf("cannot set %s of kernel parameter %s: unknown attribute", k, name)
		}
	}
	value, ok := want[AttrValue]
	if !ok || value == now[AttrValue] {
		return nil
	}
	if value == "" || canonical(value) != value {
		return fmt.Errorf("cannot set kernel parameter %s to %q: want numbers or words with one blank between them", name, value)
	}
	if err := r.Files.WriteValue(paths[0], value+"\n"); err != nil {
		switch {
		case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ERANGE):
			return fmt.Errorf("cannot set kernel parameter %s to %q: the kernel does not take this value: %w", name, value, err)
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("kernel parameter %s has just gone: %w", name, provision.ErrStale)
		}
		return fmt.Errorf("cannot set kernel parameter %s to %q: %w", name, value, err)
	}
	after, err := r.read(paths[0])
	if err != nil {
		return err
	}
	if after[AttrValue] != value {
		return fmt.Errorf("cannot set kernel parameter %s to %q: the kernel made %q of it", name, value, after[AttrValue])
	}
	return nil
}
