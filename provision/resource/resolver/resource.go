package resolver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// Get implements provision.Resource.
func (r *Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	owner, link, _ := strings.Cut(name, " ")
	switch owner {
	case Resolved:
		var a provision.Attrs
		_, err := r.resolved(ctx, link, func(bus Bus, index int) error {
			l, err := bus.Link(ctx, index)
			if err == nil && len(l.Servers)+len(l.Domains) > 0 {
				a = provision.Attrs{AttrServers: join(l.Servers), AttrDomains: strings.Join(l.Domains, " "), AttrDefault: strconv.FormatBool(l.Default)}
			}
			return err
		})
		return a, err
	case Resolvconf:
		text, err := r.Files.ReadFile("/run/resolvconf/interface/"+entry(owner, link), 64<<10)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return parse(string(text)), err
	case Openresolv:
		out, err := r.Runner.Run(ctx, host.Command{Argv: []string{"resolvconf", "-l", link}})
		if err != nil || out.Code != 0 || strings.TrimSpace(string(out.Stdout)) == "" {
			return nil, err // it has nothing of this link
		}
		return parse(string(out.Stdout)), nil
	}
	return nil, fmt.Errorf("nobody who keeps name servers is called %q", owner)
}

// Set implements provision.Resource.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	owner, link, _ := strings.Cut(name, " ")
	now, err := r.Get(ctx, name)
	if err != nil {
		return err
	}
	if !maps.Equal(now, have) || (now == nil) != (have == nil) {
		return fmt.Errorf("the name servers of %s: %w", link, provision.ErrStale)
	}
	if want == nil && now == nil {
		return nil
	}
	all := maps.Clone(want)
	for k, v := range now {
		if _, said := all[k]; want != nil && !said {
			all[k] = v
		}
	}
	if owner == Resolved {
		return r.setResolved(ctx, link, all)
	}
	return r.setCommand(ctx, owner, link, all)
}

// resolved calls f where systemd-resolved runs and the link is there.
func (r *Resource) resolved(ctx context.Context, link string, f func(Bus, int) error) (bool, error) {
	index, err := r.Index(ctx, link)
	if err != nil || index == 0 {
		return false, err
	}
	bus, err := r.Open(ctx)
	if err != nil || bus == nil {
		return false, err
	}
	defer bus.Close()
	return true, f(bus, index)
}

func (r *Resource) setResolved(ctx context.Context, link string, want provision.Attrs) error {
	there, err := r.resolved(ctx, link, func(bus Bus, index int) error {
		if want == nil {
			return bus.Revert(ctx, index)
		}
		servers, err := addrs(want[AttrServers])
		if err != nil {
			return err
		}
		return bus.SetLink(ctx, index, Link{Servers: servers, Domains: strings.Fields(want[AttrDomains]), Default: want[AttrDefault] == "true"})
	})
	switch {
	case err != nil:
		return fmt.Errorf("systemd-resolved does not take the name servers of %s: %w", link, err)
	case !there && want != nil:
		return fmt.Errorf("the name servers of %s: there is no such link, or no systemd-resolved: %w", link, provision.ErrPending)
	}
	return nil
}

// setCommand tells resolvconf. It has the text on its standard input, and the link's entry by its name.
func (r *Resource) setCommand(ctx context.Context, owner, link string, want provision.Attrs) error {
	c := host.Command{Argv: []string{"resolvconf", "-d", entry(owner, link)}}
	if want != nil {
		if _, err := addrs(want[AttrServers]); err != nil {
			return err
		}
		c = host.Command{Argv: []string{"resolvconf", "-a", entry(owner, link)}, Stdin: []byte(text(want))}
		if owner == Openresolv {
			// Before all others, and, where all questions go by it, alone (resolvconf(8)).
			c.Argv = append(c.Argv, "-m", "0")
			if strings.Contains(" "+want[AttrDomains]+" ", " ~. ") {
				c.Argv = append(c.Argv, "-x")
			}
		}
	}
	out, err := r.Runner.Run(ctx, c)
	if err == nil && out.Code != 0 {
		err = fmt.Errorf("it ended with %d: %s", out.Code, strings.TrimSpace(string(out.Stderr)))
	}
	if err != nil {
		return fmt.Errorf("`%s` does not take the name servers of %s: %w", c, link, err)
	}
	return nil
}

// entry is the name of a link's entry. Debian's resolvconf orders entries by patterns of
// /etc/resolvconf/interface-order, in which tunnels are tun*.
func entry(owner, link string) string {
	if owner == Resolvconf {
		return "tun." + link
	}
	return link
}

// comment keeps what resolv.conf(5) has no word for.
const comment = "# provision domains "

// text is a resolv.conf(5).
func text(a provision.Attrs) string {
	var b strings.Builder
	var search []string
	for _, d := range strings.Fields(a[AttrDomains]) {
		if !strings.HasPrefix(d, "~") {
			search = append(search, d)
		}
	}
	if a[AttrDomains] != "" {
		b.WriteString(comment + a[AttrDomains] + "\n")
	}
	for _, s := range strings.Fields(a[AttrServers]) {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	return b.String()
}

func parse(text string) provision.Attrs {
	var servers []string
	domains, said := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if d, ok := strings.CutPrefix(line, comment); ok {
			domains, said = strings.Join(strings.Fields(d), " "), true
		}
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case f[0] == "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil {
				servers = append(servers, a.String())
			}
		case f[0] == "search" && !said:
			domains = strings.Join(f[1:], " ")
		}
	}
	return provision.Attrs{AttrServers: strings.Join(servers, " "), AttrDomains: domains}
}

func addrs(text string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, w := range strings.Fields(text) {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return nil, fmt.Errorf("%q is no address of a name server", w)
		}
		out = append(out, a)
	}
	return out, nil
}
