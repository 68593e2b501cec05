package killswitch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is the key "kill-switch" of the slice "routing". Without a tunnel there is no switch.
type Config struct {
	Tunnel       string   `yaml:"tunnel" help:"the tunnel's interface, such as wg0: the only way out"`
	Inside       []string `yaml:"inside" help:"interfaces (or patterns such as usb*) of the clients; default: those of the zones that are forwarded from"`
	Exempt       []string `yaml:"exempt" help:"interfaces whose clients the switch does not hold: what comes in there may leave by any way"`
	Endpoints    []string `yaml:"endpoints" help:"where the tunnel sends its packets, as address:port (UDP); a tunnel of this configuration tells its own"`
	BootstrapDNS []string `yaml:"bootstrap-dns" help:"addresses of name servers that may be asked outside the tunnel while it is not up, for the endpoint's name"`
	NTP          []string `yaml:"ntp" help:"addresses of time servers that may be asked outside the tunnel until the clock is synchronised"`
	LAN          string   `yaml:"lan" enum:"allow,block" default:"allow" help:"may clients reach this machine: allow, or block (all but DHCP, DNS, NTP and ping)"`
	LocalDNS     string   `yaml:"local-dns" enum:"redirect,block,off" default:"redirect" help:"name servers that clients ask by themselves: redirect (this machine answers), block, or off (asked through the tunnel)"`
	ManageFrom   []string `yaml:"manage-from" help:"networks outside the tunnel that may reach this machine: answers to them leave"`
	Window       string   `yaml:"window" default:"10m" help:"longest opening for a captive portal, at most 1h"`
	WindowPorts  []uint16 `yaml:"window-ports" default:"80, 443" help:"TCP ports that are open in a portal's window"`
	Arm          string   `yaml:"arm" enum:"always,untrusted" default:"always" help:"always, or untrusted: only while a way out is not in the list of trusted ones"`
	Trusted      []Trust  `yaml:"trusted" help:"ways out that are trusted; a Wi-Fi without encryption never is"`
	Log          bool     `yaml:"log" default:"false" help:"log what the guard refuses, at most 10 lines a minute"`
}

// Trust is one trusted way out.
type Trust struct {
	SSID      string `yaml:"ssid" help:"name of an encrypted Wi-Fi"`
	Interface string `yaml:"interface" help:"interface, or pattern such as eth*: alone any network on it that is not Wi-Fi, with ssid only this Wi-Fi"`
}

// Problem is something wrong in the configuration. Path is relative to the key "kill-switch".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Enabled says that there is a switch.
//
//go:noinline
func (c Config) Enabled() bool { return c.Tunnel != "" }

const (
	defaultWindow = 10 * time.Minute
	maxWindow     = time.Hour
)

// window is the longest opening for a portal.
func (c Config) window() time.Duration {
	if d, err := time.ParseDuration(c.Window); err == nil && d > 0 && d <= maxWindow {
		return d
	}
	return defaultWindow
}

func (c Config) windowPorts() []uint16 {
	if len(c.WindowPorts) > 0 {
		return c.WindowPorts
	}
	return []uint16{80, 443}
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	if !c.Enabled() {
		if c.LAN != "" || c.LocalDNS != "" || c.Window != "" || c.Arm != "" || c.Log ||
			len(c.Inside)+len(c.Exempt)+len(c.Endpoints)+len(c.BootstrapDNS)+len(c.NTP)+len(c.ManageFrom)+len(c.WindowPorts)+len(c.Trusted) > 0 {
			add("tunnel", "is missing: name the tunnel's interface, such as wg0; without it there is no kill switch")
		}
		return out
	}
	if why := badName(c.Tunnel); why != "" {
		add("tunnel", "%s", why)
	} else if strings.HasSuffix(c.Tunnel, "*") {
		add("tunnel", "%q is a pattern: name the one interface that is the way out", c.Tunnel)
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"inside", c.Inside}, {"exempt", c.Exempt}} {
		for i, n := range list.names {
			at := fmt.Sprintf("%s[%d]", list.key, i)
			if why := badName(n); why != "" {
				add(at, "%s", why)
			} else if fits(n, c.Tunnel) {
				add(at, "%q is the tunnel itself", n)
			}
		}
	}
	for i, n := range c.Exempt {
		if slices.ContainsFunc(c.Inside, func(in string) bool { return fits(in, n) || fits(n, in) }) {
			add(fmt.Sprintf("exempt[%d]", i), "%q is inside as well: an interface is either held or not", n)
		}
	}
	for i, e := range c.Endpoints {
		if ap, err := netip.ParseAddrPort(e); err != nil || ap.Port() == 0 || ap.Addr().IsUnspecified() || ap.Addr().Zone() != "" {
			add(fmt.Sprintf("endpoints[%d]", i), "%q is no address and port such as 192.0.2.1:51820 or [2001:db8::1]:51820; a name is for the tunnel's own configuration, which resolves it", e)
		}
	}
	for _, list := range []struct {
		key   string
		addrs []string
	}{{"bootstrap-dns", c.BootstrapDNS}, {"ntp", c.NTP}} {
		for i, a := range list.addrs {
			if p, err := netip.ParseAddr(a); err != nil || p.Zone() != "" || p.IsUnspecified() || p.IsMulticast() {
				add(fmt.Sprintf("%s[%d]", list.key, i), "%q is no address: a name cannot be resolved before the tunnel is up", a)
			}
		}
	}
	for i, p := range c.ManageFrom {
		if _, err := parsePrefix(p); err != nil {
			add(fmt.Sprintf("manage-from[%d]", i), "%q is no network such as 192.0.2.0/24", p)
		}
	}
	oneOf(add, "lan", c.LAN, "allow", "block")
	oneOf(add, "local-dns", c.LocalDNS, "redirect", "block", "off")
	oneOf(add, "arm", c.Arm, "always", "untrusted")
	if c.Window != "" {
		if d, err := time.ParseDuration(c.Window); err != nil || d < time.Second || d > maxWindow {
			add("window", "%q is no time between 1s and 1h, such as 10m", c.Window)
		}
	}
	for i, p := range c.WindowPorts {
		if p == 0 {
			add(fmt.Sprintf("window-ports[%d]", i), "0 is no port")
		}
	}
	c.trustProblems(add)
	return out
}

func (c Config) trustProblems(add func(path, format string, args ...any)) {
	for i, t := range c.Trusted {
		at := fmt.Sprintf("trusted[%d]", i)
		switch {
		case t == Trust{}:
			add(at, "says nothing: give ssid, interface, or both")
		case len(t.SSID) > 32:
			add(at+".ssid", "%q is longer than the 32 bytes that a network's name has", t.SSID)
		}
		if t.Interface != "" {
			if why := badName(t.Interface); why != "" {
				add(at+".interface", "%s", why)
			}
		}
	}
	if c.Arm == "untrusted" && len(c.Trusted) == 0 {
		add("trusted", "is empty, so no way out is trusted: list some, or leave arm: untrusted out")
	}
	if c.Arm != "untrusted" && len(c.Trusted) > 0 {
		add("trusted", "has no meaning while the switch is always armed: set arm: untrusted, or leave the list out")
	}
}

func oneOf(add func(path, format string, args ...any), path, value string, words ...string) {
	if value != "" && !slices.Contains(words, value) {
		add(path, "%q is not one of %s", value, strings.Join(words, ", "))
	}
}

// parsePrefix reads a network or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Bits() == 0 {
		return p, fmt.Errorf("%s is everybody", s)
	}
	return p.Masked(), err
}

// badName says what is wrong with an interface's name (net/core/dev.c dev_valid_name) or pattern.
func badName(p string) string {
	name := strings.TrimSuffix(p, "*")
	switch {
	case p == "":
		return "is empty: name an interface, such as usb0 or usb*"
	case name == "":
		return `"*" is every interface, the ways out as well`
	case len(name) > 15:
		return fmt.Sprintf("%q is longer than 15 bytes, the most that a name has", p)
	case name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '*' || r == '"' || r == 0x7f }):
		return fmt.Sprintf("%q is no name of an interface, nor a pattern that ends with *", p)
	}
	return ""
}

// fits reports whether pattern means the interface called name.
func fits(pattern, name string) bool {
	if head, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, head)
	}
	return pattern == name
}

// Bootstrap are the name servers that may be asked outside the tunnel about where the tunnel is.
func (c Config) Bootstrap() []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range c.BootstrapDNS {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}
