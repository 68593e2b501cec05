package resolver

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
)

// machine has a systemd-resolved and both resolvconfs.
type machine struct {
	links   map[int]Link
	entries map[string]string
	argv    []string
	away    bool
}

func (m *machine) Link(_ context.Context, i int) (Link, error) { return m.links[i], nil }
func (m *machine) SetLink(_ context.Context, i int, l Link) error {
	m.links[i] = l
	return nil
}
func (m *machine) Revert(_ context.Context, i int) error { delete(m.links, i); return nil }
func (m *machine) Close()                                {}

func (m *machine) ReadFile(path string, _ int64) ([]byte, error) {
	text, ok := m.entries[strings.TrimPrefix(path, "/run/resolvconf/interface/")]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (m *machine) Run(_ context.Context, c host.Command) (host.Output, error) {
	m.argv = c.Argv
	switch c.Argv[1] {
	case "-a":
		m.entries[c.Argv[2]] = string(c.Stdin)
		if strings.HasPrefix(c.Argv[2], "tun.") { // Debian's drops comments (normalize-resolvconf)
			m.entries[c.Argv[2]] = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(string(c.Stdin), "")
		}
	case "-d":
		delete(m.entries, c.Argv[2])
	case "-l":
		text, ok := m.entries[c.Argv[2]]
		if !ok {
			return host.Output{Code: 1}, nil
		}
		return host.Output{Stdout: []byte("# resolv.conf from " + c.Argv[2] + "\n" + text)}, nil
	}
	return host.Output{}, nil
}

func newMachine() (*machine, *Resource) {
	m := &machine{links: map[int]Link{}, entries: map[string]string{}}
	return m, &Resource{Open: func(context.Context) (Bus, error) {
		if m.away {
			return nil, nil
		}
		return m, nil
	}, Index: func(context.Context, string) (int, error) { return 7, nil }, Files: m, Runner: m}
}

func TestConformance(t *testing.T) {
	list := []netip.Addr{netip.MustParseAddr("10.97.98.1"), netip.MustParseAddr("fd12::1")}
	for _, owner := range []string{Resolved, Resolvconf, Openresolv} {
		t.Run(owner, func(t *testing.T) {
			enginetest.Resource(t, func(*testing.T) enginetest.ResourceCase {
				_, r := newMachine()
				return enginetest.ResourceCase{Resource: r, Name: Ref(owner, "wg0").Name, Values: []provision.Attrs{
					Want(Spec{Owner: owner, Link: "wg0", Servers: list, Domains: []string{"~."}, Default: true}, "").Attrs,
					Want(Spec{Owner: owner, Link: "wg0", Servers: list[:1], Domains: []string{"lan.example", "~corp.example"}}, "").Attrs,
				}}
			})
		})
	}
}

// What each is told, and what comes when nobody listens.
func TestOwners(t *testing.T) {
	m, r := newMachine()
	list := []netip.Addr{netip.MustParseAddr("10.97.98.1")}
	set := func(owner string, domains ...string) error {
		w := Want(Spec{Owner: owner, Link: "wg0", Servers: list, Domains: domains}, "")
		return r.Set(t.Context(), w.Name, nil, w.Attrs)
	}
	if err := set(Openresolv, "~.", "lan"); err != nil || strings.Join(m.argv, " ") != "resolvconf -a wg0 -m 0 -x" || !strings.HasSuffix(m.entries["wg0"], "nameserver 10.97.98.1\nsearch lan\n") {
		t.Errorf("%v %q %v", m.argv, m.entries, err)
	}
	clear(m.entries)
	if err := set(Openresolv, "lan"); err != nil || strings.Join(m.argv, " ") != "resolvconf -a wg0 -m 0" {
		t.Errorf("a part: %v %v", m.argv, err)
	}
	if err := set(Resolvconf, "~."); err != nil || m.entries["tun.wg0"] == "" {
		t.Errorf("%q %v", m.entries, err)
	}
	m.away = true
	if err := set(Resolved, "~."); !errors.Is(err, provision.ErrPending) {
		t.Errorf("nobody there: %v", err)
	}
	if err := r.Set(t.Context(), Ref(Resolved, "wg0").Name, nil, nil); err != nil {
		t.Errorf("nobody there, and nothing wanted: %v", err)
	}
	if _, err := r.Get(t.Context(), "somebody wg0"); err == nil {
		t.Error("an owner that is none")
	}
	w := Want(Spec{Owner: Resolvconf, Link: "wg1"}, "")
	w.Attrs[AttrServers] = "nonsense"
	if err := r.Set(t.Context(), w.Name, nil, w.Attrs); err == nil || !strings.Contains(err.Error(), "no address") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# provision domains ~. lan\nnameserver 10.0.0.1\nsearch lan\n")
	f.Add("domain x\nnameserver fe80::1%eth0\n")
	f.Fuzz(func(t *testing.T, in string) {
		a := parse(in)
		if again := parse(text(a)); again[AttrServers] != a[AttrServers] || again[AttrDomains] != a[AttrDomains] {
			t.Errorf("%q: %v, then %v", in, a, again)
		}
	})
}
