package facts

import (
	"crypto/md5"
	"fmt"
	"strings"
)

// maxLines bounds every line-based parser.
const maxLines = 100000

// keyfile calls each for every "key=value" of a GLib key file (Desktop Entry
// Specification): groups in brackets, blanks around "=" dropped, "#" comments.
func keyfile(text string, each func(group, key, value string)) {
	group := ""
	n := 0
	for line := range strings.Lines(text) {
		if n++; n > maxLines {
			return
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			if i := strings.IndexByte(line, ']'); i > 0 {
				group = line[1:i]
			}
			continue
		}
		if k, v, ok := strings.Cut(line, "="); ok {
			each(group, strings.TrimSpace(k), strings.TrimSpace(v))
		}
	}
}

// environment calls each for every KEY=VALUE line of a state file of systemd
// (os-release(5), /run/systemd/netif): one pair of quotes is taken off.
func environment(text string, each func(key, value string)) {
	n := 0
	for line := range strings.Lines(text) {
		if n++; n > maxLines {
			return
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok || k == "" {
			continue
		}
		if l := len(v); l >= 2 && (v[0] == '"' || v[0] == '\'') && v[l-1] == v[0] {
			v = v[1 : l-1]
		}
		each(k, v)
	}
}

// profile is a keyfile profile with what its bookkeeping says.
type profile struct {
	NMProfile
	external bool // NetworkManager made it for a device that others configured
}

// parseProfile reads the identity of a NetworkManager profile
// (nm-settings-keyfile(5)).
func parseProfile(text string) (profile, bool) {
	var p profile
	keyfile(text, func(group, key, value string) {
		switch group + "." + key {
		case "connection.id":
			p.ID = clean(value)
		case "connection.uuid":
			p.UUID = clean(value)
		case "connection.type":
			p.Type = clean(value)
		case "connection.interface-name":
			p.Interface = clean(value)
		case "ethernet.mac-address", "802-3-ethernet.mac-address", "wifi.mac-address", "802-11-wireless.mac-address":
			p.MAC = strings.ToLower(clean(value))
		case ".nmmeta.external": // nm-generated alone is also "Wired connection 1", which it owns
			p.external = p.external || isTrue(value)
		}
	})
	return p, p.ID != "" || p.UUID != "" || p.Type != ""
}

// derivedUUID is the UUID that NetworkManager gives to a profile whose file has
// none, as those that netplan writes: version 3 of RFC 9562 over the file's name,
// as if it lay in /etc, in a name space of NetworkManager's own. Checked against
// NetworkManager 1.52.
func derivedUUID(file string) string {
	namespace := []byte{0xb4, 0x25, 0xe9, 0xfb, 0x75, 0x98, 0x44, 0xb4, 0x9e, 0x3b, 0x5a, 0x2e, 0x3a, 0xaa, 0x49, 0x05}
	b := md5.Sum(append(namespace, "keyfile\x00/etc/NetworkManager/system-connections/"+file+"\x00"...))
	b[6], b[8] = b[6]&0x0f|0x30, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func isTrue(v string) bool {
	switch strings.ToLower(v) {
	case "true", "1", "yes", "on":
		return true
	}
	return false
}

// parseNMDevice reads /run/NetworkManager/devices/INDEX.
func parseNMDevice(text string) NMDevice {
	d := NMDevice{Managed: "unknown"}
	keyfile(text, func(group, key, value string) {
		switch group + "." + key {
		case "device.managed":
			d.Managed = "unmanaged"
			if isTrue(value) {
				d.Managed = "managed"
			}
		case "device.connection-uuid":
			d.UUID = clean(value)
		case "dhcp4.dhcp4.domain_name_servers", "dhcp6.dhcp6.name_servers", "dhcp4.domain_name_servers", "dhcp6.dhcp6_name_servers":
			d.DNS = append(d.DNS, fields(value)...)
		}
	})
	return d
}

// parseNetworkdLink reads /run/systemd/netif/links/INDEX.
func parseNetworkdLink(text string) NetworkdLink {
	var l NetworkdLink
	environment(text, func(key, value string) {
		switch key {
		case "ADMIN_STATE":
			l.Admin = clean(value)
		case "OPER_STATE":
			l.Oper = clean(value)
		case "NETWORK_FILE":
			l.Network = clean(value)
		case "NETWORK_FILE_DROPINS":
			// Joined by ":", which is escaped as \x3a in a name.
			for d := range strings.SplitSeq(value, ":") {
				if d = clean(strings.ReplaceAll(strings.Trim(d, `"`), `\x3a`, ":")); d != "" {
					l.Dropins = append(l.Dropins, d)
				}
			}
		case "DNS":
			l.DNS = fields(value)
		}
	})
	return l
}

func fields(s string) []string {
	var out []string
	for _, f := range strings.Fields(s) {
		out = append(out, clean(f))
	}
	return out
}

// parseUdevData reads the properties of /run/udev/data/nINDEX: lines "E:KEY=VALUE", and
// "I:MICROSECONDS" since boot, which udevadm shows as USEC_INITIALIZED (systemd,
// src/libsystemd/sd-device/device-private.c).
func parseUdevData(text string) map[string]string {
	m := map[string]string{}
	n := 0
	for line := range strings.Lines(text) {
		if n++; n > maxLines {
			break
		}
		if usec, ok := strings.CutPrefix(line, "I:"); ok {
			m["USEC_INITIALIZED"] = clean(strings.TrimRight(usec, "\r\n"))
			continue
		}
		rest, ok := strings.CutPrefix(line, "E:")
		if !ok {
			continue
		}
		if k, v, ok := strings.Cut(strings.TrimRight(rest, "\r\n"), "="); ok {
			m[clean(k)] = clean(v)
		}
	}
	return m
}
