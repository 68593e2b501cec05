package facts

import (
	"net/netip"
	"path"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/provision/facts/pseudonym"
)

// Anonymise returns a copy of f in which MAC addresses, public IP addresses, SSIDs,
// names of Wi-Fi profiles, host names and search domains are replaced, in texts of
// files too, the same always by the same, so that planners decide alike. salt keeps
// others from finding the originals by trying; secrets are masked first.
func Anonymise(f *Facts, salt string) *Facts {
	g := f.Masked()
	n := pseudonym.New(salt)
	f.names(n)
	collectAddrs(reflect.ValueOf(f).Elem(), n)
	out := rename(reflect.ValueOf(g).Elem(), n).Interface().(Facts)
	for i := range out.Links {
		out.Links[i].MAC, out.Links[i].PermMAC = n.MAC(g.Links[i].MAC), n.MAC(g.Links[i].PermMAC)
	}
	if id := out.Machine.MachineID; id != "" {
		out.Machine.MachineID = n.Digest("machine", id)
	}
	if id := out.Machine.BootID; id != "" {
		out.Machine.BootID = n.Digest("boot", id)
	}
	return &out
}

// dull are host names and words that name nobody, or that files use in another
// sense; replacing them would break the files.
var dull = map[string]bool{
	"localhost": true, "debian": true, "ubuntu": true, "raspberrypi": true, "vagrant": true, "network": true, "version": true, "ethernets": true,
	"linux": true, "host": true, "default": true, "all": true, "auto": true, "dhcp": true, "inet": true, "inet6": true, "iface": true, "static": true,
	"lab": true, "vm": true, "primary": true, "none": true, "yes": true, "no": true, "true": true, "false": true, "local": true, "lan": true, "home.arpa": true,
}

// names shows everything that has a name of its own.
func (f *Facts) names(n *pseudonym.Names) {
	link := map[string]bool{}
	for _, l := range f.Links {
		link[l.Name] = true
	}
	name := func(kind, s string) {
		s = strings.TrimSpace(s)
		if len(s) >= 2 && !dull[strings.ToLower(s)] && !link[s] {
			n.Name(kind, s)
		}
	}
	name("host", f.Machine.Hostname)
	if short, domain, ok := strings.Cut(f.Machine.Hostname, "."); ok {
		name("host", short)
		name("domain", domain)
	}
	name("serial", f.Machine.Serial)
	// As a filter of config.txt has it: [0x12345678].
	if s := strings.TrimLeft(f.Machine.Serial, "0"); s != "" {
		name("serial", s)
		name("serial", "0x"+s)
	}
	for _, g := range f.USB.Gadgets {
		name("serial", g.Serial)
	}
	for _, d := range f.DNS.Search {
		name("domain", strings.Trim(d, "."))
	}
	wifi := map[string]bool{}
	for _, p := range f.NM.Profiles {
		if p.Type == "wifi" || p.Type == "802-11-wireless" || p.Type == "vpn" || p.Type == "wireguard" || p.Type == "gsm" {
			wifi[p.Path] = true
			name("profile", p.ID)
			name("profile", profileFile(p.Path))
		}
	}
	// A profile that could not be read may be named after its network as well.
	for _, p := range f.Unreadable {
		if strings.Contains(p.Source, "/system-connections/") && !neutral(profileFile(p.Source)) {
			name("profile", profileFile(p.Source))
		}
	}
	for p, file := range f.Files {
		for _, s := range ssids(p, file.Text) {
			name("ssid", s)
		}
	}
}

func profileFile(p string) string { return strings.TrimSuffix(path.Base(p), ".nmconnection") }

// neutral are names of profiles that programs make.
func neutral(s string) bool {
	for _, p := range []string{"netplan-", "cloud-init-", "Wired connection", "preconfigured", "Auto "} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

var (
	ssidKey = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?mi)^\s*(?:ssid|wpa-ssid|wireless-essid)\s*[=\s]\s*"?([^"\r\n]+?)"?\s*$`)
	})
	ssidList = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:\d{1,3};)+$`) }) // a keyfile's list of bytes
)

// ssids finds the names of wireless networks in a configuration file.
func ssids(name, text string) []string {
	var out []string
	for _, m := range ssidKey().FindAllStringSubmatch(text, -1) {
		s := m[1]
		out = append(out, s)
		if ssidList().MatchString(s) {
			var b []byte
			for part := range strings.SplitSeq(strings.TrimSuffix(s, ";"), ";") {
				x, _ := strconv.ParseUint(part, 10, 8)
				b = append(b, byte(x))
			}
			out = append(out, string(b))
		}
	}
	if strings.HasSuffix(name, ".yaml") && strings.Contains(text, "access-points") {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(text), &doc) == nil {
			accessPoints(&doc, strings.Split(text, "\n"), 0, &out)
		}
	}
	return out
}

// accessPoints collects the keys below access-points, which are SSIDs, also as they
// are written in the file's lines, where an escape makes that something else.
func accessPoints(n *yaml.Node, lines []string, depth int, out *[]string) {
	if depth > maxDepth {
		return
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "access-points" && c.Kind == yaml.MappingNode {
			for j := 0; j < len(c.Content); j += 2 {
				k := c.Content[j]
				*out = append(*out, k.Value)
				if k.Style&yaml.DoubleQuotedStyle != 0 && k.Line >= 1 && k.Line <= len(lines) {
					*out = append(*out, quotedAt(lines[k.Line-1], k.Column))
				}
			}
		}
		accessPoints(c, lines, depth+1, out)
	}
}

// quotedAt returns what stands between the double quotes that begin at the column,
// counted in characters from 1.
func quotedAt(line string, column int) string {
	_, rest, ok := strings.Cut(string([]rune(line)[min(max(column-1, 0), len([]rune(line))):]), `"`)
	if !ok {
		return ""
	}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return rest[:i]
		}
	}
	return rest
}

var (
	addrType     = reflect.TypeFor[netip.Addr]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	addrPortType = reflect.TypeFor[netip.AddrPort]()
)

// collectAddrs shows every address in v.
func collectAddrs(v reflect.Value, n *pseudonym.Names) {
	switch v.Type() {
	case addrType:
		if a := v.Interface().(netip.Addr); a.IsValid() {
			n.Prefix(netip.PrefixFrom(a.WithZone(""), a.BitLen()))
		}
		return
	case prefixType:
		n.Prefix(v.Interface().(netip.Prefix))
		return
	case addrPortType:
		if a := v.Interface().(netip.AddrPort).Addr(); a.IsValid() {
			n.Prefix(netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			collectAddrs(v.Field(i), n)
		}
	case reflect.Slice:
		for i := range v.Len() {
			collectAddrs(v.Index(i), n)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			collectAddrs(it.Value(), n)
		}
	case reflect.String:
		n.Scan(v.String())
	}
}

// rename returns a copy of v with everything replaced.
func rename(v reflect.Value, n *pseudonym.Names) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Type() {
	case addrType:
		out.Set(reflect.ValueOf(n.Addr(v.Interface().(netip.Addr))))
		return out
	case prefixType:
		out.Set(reflect.ValueOf(n.Network(v.Interface().(netip.Prefix))))
		return out
	case addrPortType:
		p := v.Interface().(netip.AddrPort)
		out.Set(reflect.ValueOf(netip.AddrPortFrom(n.Addr(p.Addr()), p.Port())))
		return out
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(rename(v.Field(i), n))
		}
	case reflect.Slice:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(rename(v.Index(i), n))
		}
	case reflect.Map:
		if v.IsNil() {
			return out
		}
		out.Set(reflect.MakeMap(v.Type()))
		for it := v.MapRange(); it.Next(); {
			out.SetMapIndex(rename(it.Key(), n), rename(it.Value(), n))
		}
	case reflect.String:
		out.SetString(n.Text(v.String()))
	default:
		out.Set(v)
	}
	return out
}
