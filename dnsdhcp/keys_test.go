package dnsdhcp

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

var update = flag.Bool("update", false, "write testdata/keys.golden anew")

const keysGolden = "testdata/keys.golden"

// other is what a key is set to where leaving it out makes no difference, because the reference file has the default.
var other = map[string]any{
	"links[0].dhcp4.lease-time": "2h", "links[0].dhcp4.identity": "mac", "links[0].dhcp4.flood-limit": uint16(99), "links[0].dhcp4.pools": []string{"10.55.0.60-10.55.0.70"},
	"links[0].dhcp4.subnet": "10.55.0.0/16", "links[0].dhcp4.boot.server": "10.55.0.7",
	"links[0].name-servers": []string{"none"}, "links[0].search": []string{"other.example"}, "links[0].match.name": "us*", "links[0].match.macaddress": "02:00:5e:00:53:02",
	"links[0].ra.preference": "high", "links[0].ra.hop-limit": uint8(9), "links[0].ra.min-interval": "90s",
	"links[0].ra.prefixes[0].valid-lifetime": "12h", "links[0].ra.prefixes[0].preferred-lifetime": "1h", "links[0].ra.prefixes[0].prefix": "fd00:66::/64",
	"links[0].mdns.name":     "other",
	"relayed[0].subnet":      "10.9.0.0/23",
	"relayed[0].dhcp4.pools": []string{"10.9.0.60-10.9.0.70"},
	"relayed[0].search":      []string{"other.example"},
	"domain":                 "other.lan",
	"hosts[0].name":          "other", "hosts[0].macaddress": []string{"52:54:00:ff:ff:ff"}, "hosts[1].macaddress": []string{"52:54:00:ff:ff:ff"},
	"hosts[0].client-id": []string{"other"}, "hosts[0].address": "10.55.0.5", "hosts[0].addresses": []string{"fd00:55::5"},
	"dns.upstreams": []string{"8.8.8.8"}, "dns.resolv-file": "/run/resolv.conf", "dns.hosts-files": []string{"/run/hosts"}, "dns.cache-size": ptr(uint32(128)),
	"dns.min-ttl": "5m", "dns.max-ttl": "12h", "dns.stale": "1h", "dns.local-ttl": "2m", "dns.rate-limit": uint32(99),
	"dns.routes[0].domains": []string{"other.example"}, "dns.routes[0].upstreams": []string{"10.20.0.54"},
	"dns.records[0].name": "other", "dns.records[0].type": "TXT", "dns.records[0].value": "10.55.0.8",
	"leases.write-slack": ptr(1.0), "leases.history": uint32(99),
}

// unseen are the keys that have no effect, each with the reason; what needs a running server to be seen is elsewhere.
var unseen = map[string]string{
	"relayed[0].dhcp4.subnet": "says again what subnet says; another one is refused",
}

func ptr[T any](v T) *T { return &v }

func reference(t *testing.T) Config {
	t.Helper()
	text, err := os.ReadFile("../docs/full.yaml")
	var file struct{ Serve Config }
	if err == nil {
		err = yaml.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file.Serve
}

// effects is all that the parts are given for a configuration, a line for each value.
func effects(c Config) (out []string, problems []Problem) {
	var r reader
	k := r.resolve(c)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	show := func(name string, v any) { flatten(name, reflect.ValueOf(v), &out) }
	l := link.Link{Name: "usb0", Index: 2, MAC: net.HardwareAddr{2, 0, 0x5e, 0, 0x53, 1}, Up: true, Addrs: addrs("10.55.0.1/24", "fd00:77::1/64")}
	if u := k.ruleFor("usb0", l.MAC); u != nil {
		v := k.plan(u, l, "host")
		for name, part := range map[string]any{
			"dhcp4": v.dhcp4, "network": v.network, "table": v.table, "dns": v.dns, "dnsLink": v.dnsLink, "learn": v.learn, "advertise": v.advertise, "ra": v.ra,
			"inform": v.inform, "dhcp6": v.dhcp6, "mdns": v.mdns, "mdnsName": v.mdnsName, "mdnsSSH": v.mdnsSSH,
		} {
			show(name, part)
		}
	}
	handler, tables := k.relayedNetworks()
	show("relayed.handler", handler)
	show("relayed.table", tables)
	show("hosts", dhcpHosts(k.hosts))
	refused := k.refusedNames("host")
	for _, n := range []string{"pi", "other", "git"} {
		show("refused."+n, refused(n))
	}
	z := k.zoneConfig([]netip.Prefix{}, nil, nil, nowhere{}, nowhere{}, "host")
	names := newHostNames(k.hosts)
	for _, n := range []string{"printer", "other"} {
		show("names."+n, names.Addrs(n))
	}
	z.Domains[0].Sources, z.Hosts = nil, nil // from elsewhere
	show("zone", z)
	show("dns.routes", k.dns.routes)
	show("dns.exempt", k.dns.exempt)
	show("dns.files", []string{k.dns.resolvFile, strings.Join(k.dns.hostsFiles, " ")})
	d, err := k.resolverOf(nil, nil, nil, nil, nil)
	show("dns", d)
	show("dns.rebind", d.Rebind != nil)
	show("dns.log", k.logsQueries())
	show("dns.error", err)
	show("metrics", k.metrics)
	show("leases", k.leases)
	return out, nil
}

// flatten writes a value field by field.
func flatten(at string, v reflect.Value, out *[]string) {
	if !v.IsValid() {
		*out = append(*out, at+" = nothing")
		return
	}
	if v.CanInterface() {
		switch s := v.Interface().(type) {
		case *zone.Routes, *zone.Rebind, *zone.Zone:
			return // made of what is shown beside them
		case lease.HW:
			*out = append(*out, at+" = "+showHW(s))
			return
		case netip.Addr, netip.Prefix, netip.AddrPort:
			*out = append(*out, fmt.Sprintf("%s = %v", at, s))
			return
		case fmt.Stringer:
			if v.Kind() != reflect.Pointer || !v.IsNil() {
				*out = append(*out, fmt.Sprintf("%s = %s", at, s))
			}
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			flatten(at+"."+v.Type().Field(i).Name, v.Field(i), out)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			*out = append(*out, fmt.Sprintf("%s = %x", at, v.Bytes()))
			return
		}
		for i := range v.Len() {
			flatten(fmt.Sprintf("%s[%d]", at, i), v.Index(i), out)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			flatten(fmt.Sprintf("%s[%v]", at, key), v.MapIndex(key), out)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			flatten(at, v.Elem(), out)
		}
	case reflect.Func:
	default:
		*out = append(*out, fmt.Sprintf("%s = %#v", at, v))
	}
}

// eachKey calls f with the path of each key that has a value of its own; set changes it.
func eachKey(at string, v reflect.Value, f func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		path := strings.TrimPrefix(at+"."+v.Type().Field(i).Tag.Get("yaml"), ".")
		switch one := v.Field(i); {
		case one.Kind() == reflect.Struct:
			eachKey(path, one, f)
		case one.Kind() == reflect.Slice && one.Type().Elem().Kind() == reflect.Struct:
			for j := range one.Len() {
				eachKey(fmt.Sprintf("%s[%d]", path, j), one.Index(j), f)
			}
		default:
			f(path, one)
		}
	}
}

// Every key of the reference file has an effect, and just the effects that the golden file shows: what changes in that
// which the parts are given when the key is left out, or set to something else.
func TestEveryKeyHasItsEffects(t *testing.T) {
	c := reference(t)
	whole, problems := effects(c)
	if problems != nil {
		t.Fatal(problems)
	}
	var golden strings.Builder
	slices.Sort(whole)
	fmt.Fprintf(&golden, "everything\n  %s\n", strings.Join(whole, "\n  "))
	missing := map[string]bool{}
	eachKey("", reflect.ValueOf(&c).Elem(), func(path string, v reflect.Value) {
		kept := reflect.New(v.Type()).Elem()
		kept.Set(v)
		defer v.Set(kept)
		if v.IsZero() {
			missing[pattern(path)] = missing[pattern(path)] || !anywhere(path)
			return
		}
		v.SetZero()
		if alt, ok := other[path]; ok {
			v.Set(reflect.ValueOf(alt))
		} else if kept.Kind() == reflect.Pointer && kept.Type().Elem().Kind() == reflect.Bool {
			v.Set(reflect.ValueOf(ptr(!kept.Elem().Bool())))
		}
		now, problems := effects(c)
		if why := unseen[path]; why != "" {
			if problems == nil && len(changes(whole, now)) > 0 {
				t.Errorf("%s has an effect: %q is not true", path, why)
			}
			return
		}
		fmt.Fprintf(&golden, "%s\n", path)
		diff := changes(whole, now)
		if problems != nil {
			diff = nil
			for _, p := range problems {
				diff = append(diff, fmt.Sprintf("! %s: %s", p.Path, p.Text))
			}
		}
		if len(diff) == 0 {
			t.Errorf("%s has no effect", path)
		}
		for _, d := range diff {
			fmt.Fprintf(&golden, "  %s\n", d)
		}
	})
	for path, yes := range missing {
		if yes {
			t.Errorf("the reference file does not have %s", path)
		}
	}
	if *update {
		if err := os.WriteFile(keysGolden, []byte(golden.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(keysGolden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := changes(strings.Split(string(want), "\n"), strings.Split(golden.String(), "\n")); len(diff) > 0 || string(want) != golden.String() {
		t.Errorf("the effects are others than in %s (write it anew with -update):\n%s", keysGolden, strings.Join(diff, "\n"))
	}
}

// pattern is a path without the numbers.
func pattern(path string) string {
	i, j := strings.IndexByte(path, '['), strings.IndexByte(path, ']')
	if i < 0 {
		return path
	}
	return path[:i] + "[]" + pattern(path[j+1:])
}

// anywhere: only the hosts differ from each other in what they have.
func anywhere(path string) bool { return strings.HasPrefix(path, "hosts[") }

// changes are the lines that are in one list only.
func changes(before, after []string) []string {
	var out []string
	count := map[string]int{}
	for _, l := range before {
		count[l]++
	}
	for _, l := range after {
		count[l]--
	}
	for l, n := range count {
		for range max(n, -n) {
			out = append(out, map[bool]string{true: "- ", false: "+ "}[n > 0]+l)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i][2:] < out[j][2:] || out[i][2:] == out[j][2:] && out[i] < out[j] })
	return slices.Compact(out)
}
