// Package update tells a tunnel's server, or a service for names, the IPv4 address of this machine
// when it changes: the protocol of dyndns, which tunnelbroker.net speaks too
// (https://help.dyn.com/remote-access-api/perform-update, https://help.dyn.com/return-codes).
//
// Deciding is pure. The rules are those of the protocol: nothing is sent that changes nothing, a refusal ends
// the matter until the configuration changes, and a server in trouble is left alone for a while.
package update

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// DefaultURL is that of tunnelbroker.net. The name has an IPv4 address only, so that the server sees the address that
// the tunnel is to have.
const DefaultURL = "https://ipv4.tunnelbroker.net/nic/update"

// Config is the key "update" of a tunnel. Without an id nothing is updated.
type Config struct {
	URL     string   `yaml:"url" default:"https://ipv4.tunnelbroker.net/nic/update" help:"where the address is told, by https (dyndns protocol)"`
	ID      string   `yaml:"id" help:"number or name of the tunnel at the server (hostname of the protocol)"`
	User    string   `yaml:"user" help:"user name at the server"`
	KeyFile string   `yaml:"key-file" help:"file of mode 0600 with the update key of the tunnel, or the password"`
	MyIP    string   `yaml:"myip" enum:"auto,never" default:"auto" help:"auto: the own address is named if it is a public one; never: the server takes the address that it is asked from"`
	Every   string   `yaml:"every" help:"how often the server is asked though nothing is seen to have changed, at least 10m; default 1h where the own address is not public, because the router's may change, else never"`
	Pings   []string `yaml:"ping-from" help:"addresses from which the server tries whether this machine is there, which are let in; default that of tunnelbroker.net, if it is the server"`
}

// Problem is something wrong. Path is relative to the key "update".
type Problem struct{ Path, Text string }

// Wanted reports whether anything is configured.
func (c Config) Wanted() bool {
	return c.URL != "" || c.ID != "" || c.User != "" || c.KeyFile != "" || c.MyIP != "" || c.Every != "" || len(c.Pings) > 0
}

// least is how often a server may be asked without a reason (the protocol asks for less).
const least = 10 * time.Minute

// hidden is how often it is asked where the public address cannot be seen.
const hidden = time.Hour

// Problems lists what is wrong in c.
func (c Config) Problems() []Problem {
	if !c.Wanted() {
		return nil
	}
	var out []Problem
	add := func(path, format string, args ...any) {
		out = append(out, Problem{path, fmt.Sprintf(format, args...)})
	}
	u, err := url.Parse(c.url())
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		add("url", "%s is no https URL: the key would be seen by everybody on the way", u.Redacted())
	case u.User != nil:
		add("url", "the user and the key have keys of their own: user and key-file")
	case u.RawQuery != "" || u.Fragment != "":
		add("url", "%s://%s%s ends before the question mark: what stands behind is made from id", u.Scheme, u.Host, u.Path)
	}
	for _, w := range []struct{ path, value, what string }{
		{"id", c.ID, "the number of the tunnel, such as 123456"}, {"user", c.User, "the user name at the server"}, {"key-file", c.KeyFile, "a file of mode 0600 with the tunnel's update key"},
	} {
		if w.value == "" {
			add(w.path, "is missing: %s", w.what)
		} else if strings.ContainsFunc(w.value, func(r rune) bool { return r < ' ' || r == 0x7f }) || w.path == "user" && strings.Contains(w.value, ":") {
			add(w.path, "%q has letters that cannot be sent", w.value)
		}
	}
	if c.KeyFile != "" && !strings.HasPrefix(c.KeyFile, "/") {
		add("key-file", "%q is no whole path, such as /etc/provision/tunnel.key", c.KeyFile)
	}
	if c.MyIP != "" && c.MyIP != "auto" && c.MyIP != "never" {
		add("myip", "%q is neither auto nor never", c.MyIP)
	}
	if d, err := time.ParseDuration(c.Every); c.Every != "" && (err != nil || d < least) {
		add("every", "%q is no time of at least 10m, such as 1h: who asks more often for nothing is locked out", c.Every)
	}
	for i, text := range c.Pings {
		if a, err := netip.ParseAddr(text); err != nil || !a.Is4() {
			add(fmt.Sprintf("ping-from[%d]", i), "%q is no IPv4 address", text)
		}
	}
	return out
}

func (c Config) url() string { return cmp.Or(c.URL, DefaultURL) }

// PingFrom are the hosts that try whether this machine is there: tunnelbroker.net refuses an end that does not answer.
func (c Config) PingFrom() []netip.Addr {
	var out []netip.Addr
	for _, text := range c.Pings {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, a)
		}
	}
	if u, err := url.Parse(c.url()); err == nil && len(c.Pings) == 0 && (u.Hostname() == "tunnelbroker.net" || strings.HasSuffix(u.Hostname(), ".tunnelbroker.net")) {
		out = append(out, netip.AddrFrom4([4]byte{66, 220, 2, 74}))
	}
	return out
}

// every is how often the server is asked for nothing; 0 never.
func (c Config) every(public bool) time.Duration {
	if d, err := time.ParseDuration(c.Every); err == nil {
		return d
	}
	if public {
		return 0
	}
	return hidden
}

// Query is the URL of one update; addr is named if it is valid.
func (c Config) Query(addr netip.Addr) string {
	q := "hostname=" + url.QueryEscape(c.ID)
	if addr.IsValid() {
		q += "&myip=" + addr.String()
	}
	return c.url() + "?" + q
}
