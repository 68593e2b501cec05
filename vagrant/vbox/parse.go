package vbox

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"
)

// unexpected is an answer that is not in a form we know.
func unexpected(what, line string) error {
	if len(line) > 80 {
		line = line[:80] + "..."
	}
	return fmt.Errorf("cannot read what %s prints: %q", what, line)
}

// lines are the lines of a text, whose ends Windows writes as CR LF.
func lines(text string) []string {
	out := strings.Split(text, "\n")
	for i := range out {
		out[i] = strings.TrimSuffix(out[i], "\r")
	}
	return out
}

// isUUID reports whether s has the form 8-4-4-4-12.
func isUUID(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(parts[i]) != n || !isHex(parts[i]) {
			return false
		}
	}
	return true
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdefABCDEF") == "" }

// ParseVMs reads `VBoxManage list vms` or `list runningvms`: "NAME" {UUID}. A name may have quotes and braces.
func ParseVMs(text string) ([]VM, error) {
	var out []VM
	for _, l := range lines(text) {
		if l == "" {
			continue
		}
		i := strings.LastIndex(l, ` {`)
		if i < 2 || l[0] != '"' || l[i-1] != '"' || !strings.HasSuffix(l, "}") || !isUUID(l[i+2:len(l)-1]) {
			return nil, unexpected("VBoxManage list vms", l)
		}
		out = append(out, VM{Name: l[1 : i-1], UUID: strings.ToLower(l[i+2 : len(l)-1])})
	}
	return out, nil
}

// nicKey takes apart a key that is about a NIC: macaddress2 is "macaddress" and 2. Other keys give "".
func nicKey(key string) (what string, number int) {
	what = strings.TrimRight(key, "0123456789")
	if len(key) == len(what) {
		return "", 0
	}
	switch what {
	case "nic", "macaddress", "cableconnected", "bridgeadapter", "hostonlyadapter", "nat-network", "hostonly-network", "intnet", "generic", "cloud-network":
		number, _ = strconv.Atoi(key[len(what):]) // one that is too large is no number of a NIC either
		return what, number
	}
	return "", 0
}

// ParseMachine reads `VBoxManage showvminfo VM --machinereadable`. Its keys are never translated.
func ParseMachine(text string) (Machine, error) {
	m := Machine{}
	const what = "VBoxManage showvminfo --machinereadable"
	type half struct{ attachment, mac, to, cable string }
	halves := map[int]*half{}
	forwards := map[int][]Forward{}
	last, seen := 0, map[string]bool{}
	for _, l := range lines(text) {
		key, value, ok := strings.Cut(l, "=")
		if strings.HasPrefix(l, "description:") || key == "description" {
			break // the rest may be anything that its owner wrote
		}
		if !ok {
			continue
		}
		value = unquote(value)
		if rule, ok := strings.CutPrefix(key, "Forwarding("); ok && strings.HasSuffix(rule, ")") {
			// Rules are counted anew for each NIC, and follow its other lines.
			f, err := parseRule(value)
			if err != nil || last == 0 {
				return Machine{}, unexpected(what, l)
			}
			forwards[last] = append(forwards[last], f)
			continue
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		switch key {
		case "name":
			m.Name = value
		case "UUID":
			m.UUID = strings.ToLower(value)
		case "VMState":
			m.State = value
		case "chipset":
			m.Chipset = strings.ToLower(value)
		case "groups":
			m.Groups = strings.Split(value, ",")
		}
		kind, number := nicKey(key)
		if kind == "" {
			continue
		}
		if number < 1 || number > 64 {
			return Machine{}, unexpected(what, l)
		}
		h := halves[number]
		if h == nil {
			h = &half{}
			halves[number] = h
		}
		last = number
		switch kind {
		case "nic":
			h.attachment = strings.ToLower(value)
		case "macaddress":
			h.mac = value
		case "cableconnected":
			h.cable = value
		default:
			h.to = value
		}
	}
	if m.Name == "" || m.State == "" || len(halves) == 0 {
		first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
		return Machine{}, unexpected(what, first)
	}
	for number, h := range halves {
		if h.attachment == "" {
			return Machine{}, fmt.Errorf("cannot read what %s prints: NIC %d has no attachment", what, number)
		}
		mac := ""
		if h.mac != "" {
			var ok bool
			if mac, ok = colons(h.mac); !ok {
				return Machine{}, unexpected(what, h.mac)
			}
		}
		m.NICs = append(m.NICs, NIC{Number: number, Attachment: h.attachment, To: h.to, MAC: mac, Unplugged: h.cable == "off",
			Guest: GuestName(m.Chipset, number), Forwards: forwards[number]})
	}
	sort.Slice(m.NICs, func(i, j int) bool { return m.NICs[i].Number < m.NICs[j].Number })
	return m, nil
}

// unquote takes away the quotes around a value. VirtualBox 7 escapes quotes and backslashes inside the VM's own name,
// other values are written raw: what is no such escape stays as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\"`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s)
}

// colons writes a MAC address as Linux does.
func colons(s string) (string, bool) {
	if s = strings.ReplaceAll(s, ":", ""); len(s) != 12 || !isHex(s) {
		return "", false
	}
	s = strings.ToLower(s)
	return strings.Join([]string{s[:2], s[2:4], s[4:6], s[6:8], s[8:10], s[10:]}, ":"), true
}

// field is a line KEY: VALUE.
type field struct{ key, value string }

// records are paragraphs of such lines.
func records(text string) [][]field {
	var out [][]field
	open := false
	for _, l := range lines(text) {
		if strings.TrimSpace(l) == "" {
			open = false
			continue
		}
		if !open {
			out, open = append(out, nil), true
		}
		key, value, _ := strings.Cut(l, ":")
		out[len(out)-1] = append(out[len(out)-1], field{strings.TrimSpace(key), strings.TrimSpace(value)})
	}
	return out
}

// ParseAdapters reads `VBoxManage list bridgedifs` and `list hostonlyifs`. VirtualBox 7 translates keys and words; the
// order of the lines, GUID and the shape of addresses are the same in all languages.
func ParseAdapters(text string) ([]Adapter, error) {
	var out []Adapter
	for _, r := range records(text) {
		if len(r) < 2 || r[1].key != "GUID" || r[0].value == "" {
			return nil, unexpected("VBoxManage list bridgedifs", r[0].key+": "+r[0].value)
		}
		a := Adapter{Name: r[0].value}
		var address, mask netip.Addr
		for i, f := range r[2:] {
			if ip, err := netip.ParseAddr(f.value); err == nil && ip.Is4() {
				if !address.IsValid() {
					address = ip
				} else if !mask.IsValid() {
					mask = ip
				}
			}
			if mac, ok := colons(f.value); ok && a.MAC == "" && strings.Contains(f.value, ":") {
				a.MAC = mac
			}
			switch {
			case f.key == "Wireless":
				a.Wireless = f.value == "Yes"
			case i+2 == len(r)-2: // Status is the last but one
				a.Status = strings.ToLower(f.value)
			}
		}
		if address.IsValid() && !address.IsUnspecified() {
			a.Address = address.String()
			if bits, ok := ones(mask); ok {
				a.Address = netip.PrefixFrom(address, bits).String()
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// ones counts the bits of a mask without holes.
func ones(mask netip.Addr) (int, bool) {
	if !mask.Is4() {
		return 0, false
	}
	b := mask.As4()
	u := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	for n := range 33 {
		if u == ^uint32(0)<<(32-n) {
			return n, true
		}
	}
	return 0, false
}

// ParseNetworks reads `VBoxManage list natnets`, which has had two forms; in both a network begins with its name, and
// the one prefix of IPv4 is its network.
func ParseNetworks(text string) ([]Network, error) {
	var out []Network
	for _, r := range records(text) {
		if len(r) == 1 { // a heading, or the number of networks
			continue
		}
		n := Network{Name: r[0].value, DHCP: true, Enabled: true}
		for _, f := range r[1:] {
			if p, err := netip.ParsePrefix(f.value); err == nil && p.Addr().Is4() && !n.Prefix.IsValid() {
				n.Prefix = p.Masked()
			}
			switch f.key {
			case "DHCP Server", "DHCP Enabled":
				n.DHCP = f.value != "No"
			case "Enabled":
				n.Enabled = f.value != "No"
			}
		}
		if n.Name == "" || !n.Prefix.IsValid() {
			return nil, unexpected("VBoxManage list natnets", r[0].key+": "+r[0].value)
		}
		out = append(out, n)
	}
	return out, nil
}

// Instance is a VM as Multipass knows it.
type Instance struct {
	Name  string   `json:"name"`
	State string   `json:"state"` // Running, Stopped, Deleted ...
	IPv4  []string `json:"ipv4,omitempty"`
}

// ParseMultipass reads `multipass list --format json`, or `multipass info --format json`, which has the same under each
// instance's name.
func ParseMultipass(text string) ([]Instance, error) {
	var doc struct {
		List []Instance          `json:"list"`
		Info map[string]Instance `json:"info"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("cannot read what multipass prints: %w", err)
	}
	if doc.List == nil && doc.Info == nil {
		return nil, fmt.Errorf("cannot read what multipass prints: it has neither list nor info")
	}
	out := doc.List
	for name, i := range doc.Info {
		i.Name = name
		out = append(out, i)
	}
	for _, i := range out {
		if i.Name == "" {
			return nil, fmt.Errorf("cannot read what multipass prints: an instance has no name")
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}
