package lab

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Route is one route of one NIC, in any table, as the kernel has it. A multipath route gives one Route for each next hop.
type Route struct {
	Family   int    // 4 or 6
	Dst      string // "default", "10.0.2.0/24"
	Gateway  string // "" if on-link
	Dev      string
	Metric   int    // 0 in IPv4 means none: it beats all others
	Protocol string // "dhcp", "ra", "kernel", "static", "boot" ... (rtnetlink(7))
	Source   string // preferred source address
	Table    string // "main", "local", "100"
	Type     string // "unicast", "local", "blackhole" ...
	Expires  int    // seconds, 0 means never
}

func (r Route) String() string {
	s := fmt.Sprintf("IPv%d %s", r.Family, r.Dst)
	if r.Gateway != "" {
		s += " via " + r.Gateway
	}
	s += fmt.Sprintf(" dev %s proto %s metric %d", r.Dev, r.Protocol, r.Metric)
	if r.Table != "main" {
		s += " table " + r.Table
	}
	return s
}

// Addr is one address of a NIC.
type Addr struct {
	Dev       string
	Family    int
	Addr      string // without the prefix length
	Bits      int
	Scope     string // "global", "link", "host"
	Dynamic   bool   // it has a lifetime
	Tentative bool   // duplicate address detection has not ended or has failed (RFC 4862 section 5.4)
	Valid     int64  // seconds; 4294967295 means for ever
}

type ipRoute struct {
	Type     string `json:"type"`
	Dst      string `json:"dst"`
	Gateway  string `json:"gateway"`
	Via      *struct{ Host string }
	Dev      string          `json:"dev"`
	Protocol string          `json:"protocol"`
	Metric   int             `json:"metric"`
	Source   string          `json:"prefsrc"`
	Table    json.RawMessage `json:"table"`
	Expires  int             `json:"expires"`
	Nexthops []ipRoute       `json:"nexthops"`
}

// ipJSON runs ip -j in the namespace and decodes what it prints.
func ipJSON(ns *NetNS, into any, args ...string) error {
	out, err := ns.Exec(append([]string{"ip", "-j"}, args...)...)
	if err != nil {
		return err
	}
	return decodeIP(out, into, args)
}

func decodeIP(out string, into any, args []string) error {
	if strings.TrimSpace(out) == "" {
		return nil // ip prints nothing at all for an empty table
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("cannot read the output of ip -j %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (n *NetNS) routes() ([]Route, error) {
	var all []Route
	for _, family := range []int{4, 6} {
		var raw []ipRoute
		if err := ipJSON(n, &raw, fmt.Sprintf("-%d", family), "route", "show", "table", "all"); err != nil {
			return nil, err
		}
		all = append(all, routesOf(family, raw)...)
	}
	return all, nil
}

// routesOf makes one Route of each next hop.
func routesOf(family int, raw []ipRoute) []Route {
	var all []Route
	for _, r := range raw {
		hops := r.Nexthops
		if len(hops) == 0 {
			hops = []ipRoute{r}
		}
		for _, h := range hops {
			one := Route{Family: family, Dst: r.Dst, Gateway: h.Gateway, Dev: h.Dev, Metric: r.Metric, Protocol: r.Protocol,
				Source: r.Source, Table: strings.Trim(string(r.Table), `"`), Type: r.Type, Expires: r.Expires}
			if h.Via != nil {
				one.Gateway = h.Via.Host
			}
			if one.Dev == "" {
				one.Dev = r.Dev
			}
			if one.Table == "" {
				one.Table = "main"
			}
			if one.Protocol == "" {
				one.Protocol = "boot" // ip leaves it out
			}
			if one.Type == "" {
				one.Type = "unicast"
			}
			all = append(all, one)
		}
	}
	return all
}

// Routes lists every route of the machine, of both families and all tables.
func (w *World) Routes() []Route {
	w.t.Helper()
	routes, err := w.Machine.routes()
	if err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	return routes
}

// Defaults lists the default routes of the main table, the winner first. Equal metrics keep the kernel's order, in which the
// first one wins.
func (w *World) Defaults(family int) []Route {
	w.t.Helper()
	return defaults(w.Routes(), family)
}

func defaults(routes []Route, family int) []Route {
	var d []Route
	for _, r := range routes {
		if r.Family == family && r.Dst == "default" && r.Table == "main" && r.Type == "unicast" {
			d = append(d, r)
		}
	}
	slices.SortStableFunc(d, func(a, b Route) int { return a.Metric - b.Metric })
	return d
}

// Addrs lists the machine's addresses on dev.
func (w *World) Addrs(dev string) []Addr {
	w.t.Helper()
	addrs, err := w.Machine.addrs(dev)
	if err != nil {
		w.t.Fatalf("lab: %v", err)
	}
	return addrs
}

type ipLink struct {
	Ifname  string
	Address string
	Info    []struct {
		Family    string `json:"family"`
		Local     string `json:"local"`
		Prefixlen int    `json:"prefixlen"`
		Scope     string `json:"scope"`
		Dynamic   bool   `json:"dynamic"`
		Tentative bool   `json:"tentative"`
		Valid     int64  `json:"valid_life_time"`
	} `json:"addr_info"`
}

func (n *NetNS) addrs(dev string) ([]Addr, error) {
	var raw []ipLink
	if err := ipJSON(n, &raw, "addr", "show", "dev", dev); err != nil {
		return nil, err
	}
	return addrsOf(raw), nil
}

func addrsOf(raw []ipLink) []Addr {
	var all []Addr
	for _, l := range raw {
		for _, a := range l.Info {
			family := 4
			if a.Family == "inet6" {
				family = 6
			}
			all = append(all, Addr{Dev: l.Ifname, Family: family, Addr: a.Local, Bits: a.Prefixlen, Scope: a.Scope,
				Dynamic: a.Dynamic, Tentative: a.Tentative, Valid: a.Valid})
		}
	}
	return all
}

// Global returns the first usable global address of the family on dev, "" if there is none yet.
func (w *World) Global(dev string, family int) string {
	w.t.Helper()
	for _, a := range w.Addrs(dev) {
		if a.Family == family && a.Scope == "global" && !a.Tentative {
			return a.Addr
		}
	}
	return ""
}

// Await waits until cond returns nil. After d the test fails with the last error. Between two questions it waits as long as one
// takes, up to a second: a question by programs takes a processor, of which a guest has one, from what is waited for.
func Await(t testing.TB, d time.Duration, cond func() error) {
	t.Helper()
	for deadline := time.Now().Add(d); ; {
		asked := time.Now()
		err := cond()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("lab: after %v: %v", d, err)
		}
		time.Sleep(min(max(time.Since(asked), 30*time.Millisecond), time.Second))
	}
}

// AwaitAddrs waits until each named NIC has a usable global address in IPv4, and in IPv6 if the world advertises a prefix there.
func (w *World) AwaitAddrs(t testing.TB, d time.Duration, nics ...string) {
	t.Helper()
	Await(t, d, func() error {
		for _, name := range nics {
			for _, family := range []int{4, 6} {
				n := w.nic(name)
				if family == 4 && n.NoDHCP || family == 6 && n.NoRA {
					continue
				}
				if w.Global(name, family) == "" {
					return fmt.Errorf("%s has no IPv%d address", name, family)
				}
			}
		}
		return nil
	})
}

// AwaitDefaults is AwaitAddrs, and also waits until each of the NICs has a default route in each family that its network has a
// router for. On ifupdown with dhclient that never happens on two NICs without a metric: the second route is refused as a duplicate.
func (w *World) AwaitDefaults(t testing.TB, d time.Duration, nics ...string) {
	t.Helper()
	w.AwaitAddrs(t, d, nics...)
	Await(t, d, func() error {
		routes, err := w.Machine.routes()
		if err != nil {
			return err
		}
		for _, name := range nics {
			for _, family := range []int{4, 6} {
				n := w.nic(name)
				if n.NoRouter || family == 4 && n.NoDHCP || family == 6 && n.NoRA {
					continue
				}
				if !slices.ContainsFunc(defaults(routes, family), func(r Route) bool { return r.Dev == name }) {
					return fmt.Errorf("%s has no IPv%d default route", name, family)
				}
			}
		}
		return nil
	})
}
