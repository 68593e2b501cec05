// Package wpaconf is what this program adds to a configuration file of wpa_supplicant that
// belongs to somebody else: kind "wpa-conf". A name is the file's path, a blank, and what is
// added: "network HEX" with the bytes of an SSID in hexadecimal, or "country".
//
// Only the lines of the named thing are changed, every other byte stays. A network of ours is
// known by its id_str, which wpa_supplicant itself keeps when it writes the file anew
// (update_config=1); of others' networks none is touched, not even one with the same SSID.
//
// Attribute "text" is, of a network, the lines between "network={" and "}", one assignment each,
// without blanks at either end; of the country its two letters. A network's text is secret.
package wpaconf

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "wpa-conf"

// AttrText is the only attribute.
const AttrText = "text"

// IDString is what marks a network of ours (wpa_supplicant.conf(5), id_str).
const IDString = `id_str="provision"`

const (
	kindNetwork = "network"
	kindCountry = "country"
)

// NetworkRef names our network with this SSID in the file at path.
func NetworkRef(path, ssid string) provision.Ref {
	return provision.Ref{Kind: Kind, Name: path + " " + kindNetwork + " " + hex.EncodeToString([]byte(ssid))}
}

// Network asks for a network of ours. lines are its assignments without ssid and id_str.
func Network(path, ssid string, lines []string, why string) provision.Want {
	return provision.Want{Ref: NetworkRef(path, ssid), Attrs: provision.Attrs{AttrText: Body(ssid, lines)}, Why: why}
}

// Body is the canonical text of a network of ours.
func Body(ssid string, lines []string) string {
	all := append([]string{"ssid=" + hex.EncodeToString([]byte(ssid)), IDString}, lines...)
	return strings.Join(all, "\n")
}

// Block is a network as it stands in a file.
func Block(body string) string {
	return "network={\n\t" + strings.ReplaceAll(body, "\n", "\n\t") + "\n}\n"
}

// Country asks for the regulatory domain, two letters of ISO 3166-1.
func Country(path, code, why string) provision.Want {
	return provision.Want{Ref: provision.Ref{Kind: Kind, Name: path + " " + kindCountry}, Attrs: provision.Attrs{AttrText: code}, Why: why}
}

// target is a parsed name.
type target struct {
	path, kind, ssid string
}

func parseName(name string) (target, error) {
	path, rest, _ := strings.Cut(name, " ")
	kind, ssid, given := strings.Cut(rest, " ")
	t := target{path: path, kind: kind}
	bytes, err := hex.DecodeString(ssid)
	switch {
	case !strings.HasPrefix(path, "/"), kind != kindNetwork && kind != kindCountry, given != (kind == kindNetwork),
		err != nil, kind == kindNetwork && (len(bytes) == 0 || len(bytes) > 32 || hex.EncodeToString(bytes) != ssid):
		return t, fmt.Errorf("%q names nothing in a file of wpa_supplicant: want PATH network HEX, or PATH country", name)
	}
	t.ssid = string(bytes)
	return t, nil
}

// checkText refuses what would be more than, or something else than, what the name says.
func (t target) checkText(text string) error {
	if t.kind == kindCountry {
		if len(text) != 2 || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return fmt.Errorf("%q is no country: want two capital letters", text)
		}
		return nil
	}
	want := []string{"ssid=" + hex.EncodeToString([]byte(t.ssid)), IDString}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case i < len(want) && line != want[i]:
			return fmt.Errorf("line %d of a network of ours is not %s", i+1, want[i])
		case !ok, key == "", value == "", strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "",
			strings.ContainsAny(line, "\r\x00"), strings.TrimSpace(line) != line, i >= len(want) && (key == "ssid" || key == "id_str"):
			return fmt.Errorf("line %d of a network of ours is no assignment", i+1)
		}
	}
	if len(lines) < len(want) {
		return fmt.Errorf("a network of ours has %d lines", len(lines))
	}
	return nil
}
