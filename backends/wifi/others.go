package wifi

import (
	"path"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/wpaconf"
)

// Other is a network that somebody else told a device of.
type Other struct {
	SSID   string
	Device string // empty: any
	File   string
}

// Others lists the networks that others have in files, as far as they could be read. What netplan
// and its generator write is told once, by netplan's own file.
func Others(f *facts.Facts) []Other {
	var out []Other
	for _, p := range f.NM.Profiles {
		if p.Type != "wifi" && p.Type != "802-11-wireless" || f.Files[p.Path].Ours() || claim.NetplanProfile(p) {
			continue
		}
		k, err := keyfile.Parse([]byte(f.Files[p.Path].Text))
		if err != nil {
			continue
		}
		for _, group := range []string{"wifi", "802-11-wireless"} {
			if v, _, ok := k.Get(group, "ssid"); ok {
				out = append(out, Other{SSID: readSSID(v), Device: p.Interface, File: p.Path})
				break
			}
		}
	}
	for _, id := range netdef.ReadTree(without(f, netplanPath), false).IDs {
		if id.Type != "wifis" {
			continue
		}
		if aps := id.Def.Get("access-points"); aps != nil {
			for _, ssid := range aps.Keys {
				out = append(out, Other{SSID: ssid, Device: id.Name, File: aps.Items[ssid].Pos.File})
			}
		}
	}
	for _, name := range sortedFiles(f) {
		if !strings.HasPrefix(name, supplicantDir+"/") || f.Files[name].Ours() {
			continue
		}
		device, _ := strings.CutPrefix(strings.TrimSuffix(path.Base(name), ".conf"), "wpa_supplicant-")
		if device == "wpa_supplicant" {
			device = ""
		}
		for _, k := range wpaconf.Networks(f.Files[name].Text) {
			if !k.Ours {
				out = append(out, Other{SSID: k.SSID, Device: device, File: name})
			}
		}
	}
	return out
}

// readSSID reads a keyfile's ssid: a list of bytes, or text.
func readSSID(v string) string {
	v = strings.TrimSpace(v)
	if parts := strings.Split(strings.TrimSuffix(v, ";"), ";"); strings.HasSuffix(v, ";") {
		b := make([]byte, 0, len(parts))
		for _, p := range parts {
			n, err := strconv.ParseUint(p, 10, 8)
			if err != nil {
				return v
			}
			b = append(b, byte(n))
		}
		return string(b)
	}
	return strings.NewReplacer(`\s`, " ", `\;`, ";", `\\`, `\`).Replace(v)
}
