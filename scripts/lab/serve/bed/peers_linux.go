package bed

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
)

// Dnsmasq is Debian's dnsmasq.
type Dnsmasq struct {
	// Usual: as people run it, to be measured: it reads its options from a file, as the other servers do, and logs what it logs by
	// itself. Without, it tells all that it can.
	Usual bool
}

// Name is the server's name.
func (Dnsmasq) Name() string { return "dnsmasq" }

// Lacks says what dnsmasq cannot do.
func (Dnsmasq) Lacks(c Config) string {
	if c.RA != nil && len(c.RA.Prefixes) > 1 {
		return "announces only prefixes that its interface has addresses of"
	}
	return ""
}

func (d Dnsmasq) command(c Config, dir string) ([]string, []int, error) {
	options, ports := dnsmasqOptions(c, dir)
	if !d.Usual {
		return append([]string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-dhcp"}, options...), ports, nil
	}
	var text strings.Builder
	for _, o := range options {
		text.WriteString(strings.TrimPrefix(o, "--") + "\n")
	}
	file, err := write(dir, "dnsmasq.conf", text.String())
	return []string{"dnsmasq", "--keep-in-foreground", "--conf-file=" + file}, ports, err
}

func dnsmasqOptions(c Config, dir string) ([]string, []int) {
	a := []string{"--user=root", "--pid-file=", "--log-facility=-",
		"--interface=" + Link, "--except-interface=lo", "--bind-dynamic", "--no-resolv", "--no-hosts", "--dhcp-leasefile=" + filepath.Join(dir, "leases")}
	var ports []int
	if c.First.IsValid() {
		ports = append(ports, 67)
		a = append(a, "--dhcp-authoritative", "--dhcp-sequential-ip", "--dhcp-lease-max=100000",
			fmt.Sprintf("--dhcp-range=%s,%s,%s,%d", c.First, c.Last, netmask(c.Net), seconds(c.Lease)))
		if c.Relayed.IsValid() {
			first, last := relayedPool(c.Relayed)
			a = append(a, fmt.Sprintf("--dhcp-range=%s,%s,%s,%d", first, last, netmask(c.Relayed), seconds(c.Lease)))
		}
		if c.Domain != "" && c.DNS == nil {
			a = append(a, "--domain="+c.Domain)
		}
		if !c.Probe {
			a = append(a, "--no-ping")
		}
		if !c.Router {
			a = append(a, "--dhcp-option=3")
		}
		if !c.NameServer {
			a = append(a, "--dhcp-option=6")
		} else {
			a = append(a, "--dhcp-option=6,"+c.Net.Addr().String()) // it would do so by itself, if it served DNS
		}
		if c.T1 != 0 {
			a = append(a, fmt.Sprintf("--dhcp-option-force=58,%ds", seconds(c.T1)), fmt.Sprintf("--dhcp-option-force=59,%ds", seconds(c.T2)))
		}
		if c.RapidCommit {
			a = append(a, "--dhcp-rapid-commit")
		}
		for _, o := range c.Options {
			a = append(a, fmt.Sprintf("--dhcp-option=%d,%s", o.Code, strings.Join(o.Value, ",")))
		}
		for _, h := range c.Hosts {
			a = append(a, fmt.Sprintf("--dhcp-host=%s,%s,%s", h.MAC, h.Addr, h.Name))
		}
	}
	if c.RA != nil {
		a = append(a, "--enable-ra", fmt.Sprintf("--dhcp-range=%s,ra-only,%d,%d", c.RA.Prefixes[0].Addr(), c.RA.Prefixes[0].Bits(), seconds(c.RA.Valid)))
		life := 0
		if c.RA.Router {
			life = 3 * seconds(c.RA.Interval)
		}
		a = append(a, fmt.Sprintf("--ra-param=%s,%d,%d", Link, seconds(c.RA.Interval), life))
		if c.RA.DNS && c.DNS != nil {
			a = append(a, "--dhcp-option=option6:dns-server,["+Own6.Addr().String()+"]", "--dhcp-option=option6:domain-search,"+c.DNS.Domain)
		}
	}
	if c.DNS == nil {
		return append(a, "--port=0"), ports
	}
	ports = append(ports, 53)
	a = append(a, "--domain="+c.DNS.Domain, "--local=/"+c.DNS.Domain+"/", "--expand-hosts", "--domain-needed", "--bogus-priv", "--cache-size=10000", "--local-ttl=60")
	for _, u := range c.DNS.Upstreams {
		a = append(a, "--server="+u)
	}
	for name, u := range c.DNS.Routes {
		a = append(a, "--server=/"+name+"/"+u)
	}
	for name, to := range c.DNS.CNAMEs {
		a = append(a, "--cname="+name+","+to)
	}
	for name, addrs := range c.DNS.Records {
		a = append(a, "--host-record="+name+","+strings.Join(addrs, ","))
	}
	if c.DNS.Stale {
		a = append(a, "--use-stale-cache=86400")
	}
	return a, ports
}

// Kea is ISC's kea-dhcp4 with its lease file in memory and on disk (memfile).
type Kea struct{}

// Name is the server's name.
func (Kea) Name() string { return "kea" }

// Lacks says what Kea cannot do.
func (Kea) Lacks(c Config) string {
	switch {
	case !c.First.IsValid() || c.DNS != nil || c.RA != nil:
		return "speaks only DHCP"
	case c.Probe:
		return "conflict probing is a hook that Debian's package has not"
	case c.RapidCommit:
		return "no rapid commit in DHCPv4"
	}
	return ""
}

func (Kea) command(c Config, dir string) ([]string, []int, error) {
	type object = map[string]any
	options := []object{}
	data := func(name, value string) { options = append(options, object{"name": name, "data": value}) }
	if c.Router {
		data("routers", c.Net.Addr().String())
	}
	if c.NameServer {
		data("domain-name-servers", c.Net.Addr().String())
	}
	if c.Domain != "" {
		data("domain-name", c.Domain)
	}
	for _, o := range c.Options {
		data(o.Kea, strings.Join(o.Value, ", "))
	}
	hosts := []object{}
	for _, h := range c.Hosts {
		hosts = append(hosts, object{"hw-address": h.MAC, "ip-address": h.Addr.String(), "hostname": h.Name})
	}
	dhcp4 := object{
		"interfaces-config":         object{"interfaces": []string{Link}, "dhcp-socket-type": "raw"},
		"lease-database":            object{"type": "memfile", "persist": true, "name": filepath.Join(dir, "leases.csv"), "lfc-interval": 0},
		"valid-lifetime":            seconds(c.Lease),
		"authoritative":             true,
		"reservations-in-subnet":    true,
		"reservations-out-of-pool":  false,
		"multi-threading":           object{"enable-multi-threading": false},
		"expired-leases-processing": object{"reclaim-timer-wait-time": 1, "flush-reclaimed-timer-wait-time": 3600, "hold-reclaimed-time": 3600},
		"subnet4":                   []object{{"id": 1, "subnet": c.Net.Masked().String(), "pools": []object{{"pool": c.First.String() + " - " + c.Last.String()}}, "reservations": hosts}},
		"option-data":               options,
		"loggers":                   []object{{"name": "kea-dhcp4", "severity": "WARN", "output_options": []object{{"output": "stderr"}}}},
		"decline-probation-period":  600,
		"sanity-checks":             object{"lease-checks": "none"},
	}
	dhcp4["calculate-tee-times"] = true
	if c.Relayed.IsValid() {
		first, last := relayedPool(c.Relayed)
		dhcp4["subnet4"] = append(dhcp4["subnet4"].([]object), object{"id": 2, "subnet": c.Relayed.Masked().String(),
			"pools": []object{{"pool": first.String() + " - " + last.String()}}})
	}
	if c.T1 != 0 {
		dhcp4["renew-timer"], dhcp4["rebind-timer"] = seconds(c.T1), seconds(c.T2)
	}
	text, err := json.MarshalIndent(object{"Dhcp4": dhcp4}, "", " ")
	if err != nil {
		return nil, nil, err
	}
	file, err := write(dir, "kea.json", string(text))
	return []string{"env", "KEA_PIDFILE_DIR=" + dir, "KEA_LOCKFILE_DIR=none", "kea-dhcp4", "-c", file}, []int{67}, err
}

// Provision is the server that is under test.
type Provision struct{ Binary string }

// Name is the server's name.
func (Provision) Name() string { return "provision" }

// Lacks: there is nothing the tests ask for that it may lack.
func (Provision) Lacks(Config) string { return "" }

// Socket is the control socket of a server whose files are in dir.
func Socket(dir string) string { return filepath.Join(dir, "serve.sock") }

func (p Provision) command(c Config, dir string) ([]string, []int, error) {
	file, err := write(dir, "provision.yaml", YAML(c))
	var ports []int
	if c.First.IsValid() {
		ports = append(ports, 67)
	}
	if c.DNS != nil {
		ports = append(ports, 53)
	}
	return []string{p.Binary, "serve", "-c", file, "--state-dir", filepath.Join(dir, "state"), "--socket", Socket(dir)}, ports, err
}

// YAML is the configuration in the language of provision.
func YAML(c Config) string {
	var b strings.Builder
	p := func(indent int, format string, args ...any) {
		fmt.Fprintf(&b, strings.Repeat("  ", indent)+format+"\n", args...)
	}
	p(0, "version: 1")
	p(0, "serve:")
	if c.DNS != nil {
		p(1, "domain: %s", c.DNS.Domain)
	} else if c.Domain != "" {
		p(1, "domain: %s", c.Domain)
	}
	if c.Relayed.IsValid() {
		first, last := relayedPool(c.Relayed)
		p(1, "relayed:")
		p(1, "- subnet: %s", c.Relayed.Masked())
		if !c.NameServer {
			p(2, "name-servers: [none]")
		}
		p(2, "dhcp4: {pools: [%s-%s], lease-time: %ds, conflict-probe: false, flood-limit: 1000}", first, last, seconds(c.Lease))
	}
	p(1, "links:")
	p(1, "- match: {name: %s}", Link)
	if c.Router || c.RA != nil && c.RA.Router {
		p(2, "router: full")
	}
	if !c.NameServer && (c.RA == nil || !c.RA.DNS) {
		p(2, "name-servers: [none]")
	}
	if c.First.IsValid() {
		p(2, "dhcp4:")
		p(3, "subnet: %s", c.Net.Masked())
		p(3, "pools: [%s-%s]", c.First, c.Last)
		p(3, "lease-time: %ds", seconds(c.Lease))
		p(3, "conflict-probe: %v", c.Probe)
		p(3, "flood-limit: 1000")
		if c.RapidCommit {
			p(3, "rapid-commit: true")
		}
		if len(c.Options) > 0 || c.T1 != 0 {
			p(3, "options:")
		}
		if c.T1 != 0 {
			p(4, `"renewal-time!": ["%d"]`, seconds(c.T1))
			p(4, `"rebinding-time!": ["%d"]`, seconds(c.T2))
		}
		for _, o := range c.Options {
			p(4, `"%d": ["%s"]`, o.Code, strings.Join(o.Value, `", "`))
		}
	} else {
		p(2, "dhcp4: {enabled: false}")
	}
	if c.RA != nil {
		p(2, "ra:")
		p(3, "max-interval: %ds", seconds(c.RA.Interval))
		p(3, "prefixes:")
		for _, x := range c.RA.Prefixes {
			p(3, "- {prefix: %s, preferred-lifetime: %ds, valid-lifetime: %ds}", x, seconds(c.RA.Preferred), seconds(c.RA.Valid))
		}
	} else {
		p(2, "ra: {enabled: false}")
		p(2, "dhcp6: {enabled: false}")
	}
	if c.DNS == nil {
		p(2, "dns: {enabled: false}")
	}
	if c.MDNS {
		p(2, "mdns: {name: gadget}")
	} else {
		p(2, "mdns: {enabled: false}")
	}
	if len(c.Hosts) > 0 || c.DNS != nil && len(c.DNS.Records) > 0 {
		p(1, "hosts:")
		for _, h := range c.Hosts {
			p(1, "- {name: %s, macaddress: [%q], address: %s}", h.Name, h.MAC, h.Addr)
		}
		if c.DNS != nil {
			for _, name := range sortedKeys(c.DNS.Records) {
				p(1, `- {name: %s, addresses: ["%s"]}`, name, strings.Join(c.DNS.Records[name], `", "`))
			}
		}
	}
	p(1, "dns:")
	p(2, "hosts-files: [none]")
	p(2, "resolv-file: none")
	if c.DNS == nil {
		return b.String()
	}
	if len(c.DNS.Upstreams) > 0 {
		p(2, "upstreams: [%s]", strings.ReplaceAll(strings.Join(c.DNS.Upstreams, ", "), "#", ":"))
	}
	if len(c.DNS.Routes) > 0 {
		p(2, "routes:")
		for _, name := range sortedKeys(c.DNS.Routes) {
			p(2, "- {domains: [%s], upstreams: [%q]}", name, strings.ReplaceAll(c.DNS.Routes[name], "#", ":"))
		}
	}
	if len(c.DNS.CNAMEs) > 0 {
		p(2, "records:")
		for _, name := range sortedKeys(c.DNS.CNAMEs) {
			p(2, "- {name: %s, type: CNAME, value: %s.}", name, c.DNS.CNAMEs[name])
		}
	}
	if c.DNS.Unlimited {
		p(2, "rate-limit: 1000000")
	}
	if !c.DNS.Stale {
		p(2, "stale: 0s")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
