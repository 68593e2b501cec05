// Package wifi plans the networks that `provision wifi add` was told of: for the Wi-Fi device's own
// manager, in that manager's own files, so that the device is run as before and only knows more
// networks. Each network is one file of FolderPath (Parse, Encode).
//
// Of a WPA2 passphrase only the key is kept that is derived from it (DeriveKey): it opens this one
// network and tells nothing about the words, which people use elsewhere too. WPA3's handshake (SAE)
// needs the passphrase itself, so there it is kept.
package wifi

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// FolderPath holds one file of mode 0600 for each network.
const FolderPath = "/etc/provision/wifi.d"

// Ways into a network.
const (
	PSK  = "psk"  // WPA2: a key of 256 bits, derived from a passphrase
	SAE  = "sae"  // WPA3: a passphrase
	Open = "open" // anybody is let in, nothing is encrypted
)

// Network is one network as it is kept.
type Network struct {
	SSID     string // 1 to 32 bytes, any
	Security string // PSK, SAE, Open
	// Key is that of PSK, 64 hexadecimal digits; Passphrase, 8 to 63 characters, that of SAE. A file
	// made by hand may have the passphrase for PSK too.
	Key, Passphrase string
	Country         string // ISO 3166-1, two capital letters; empty is not told
	Hidden          bool   // the network does not tell its name: it has to be called
	Priority        int    // 0 to 999; of several known networks in reach the highest is taken
	BSSID           string // only this access point, lower case with colons; empty is any
	Device          string // the Wi-Fi device it is for; empty is the only one
}

// record is the form of a file.
type record struct {
	SSID       *string `yaml:"ssid"`
	SSIDHex    *string `yaml:"ssid-hex"`
	Security   string  `yaml:"security"`
	Key        string  `yaml:"psk"`
	Passphrase string  `yaml:"passphrase"`
	Country    string  `yaml:"country"`
	Hidden     bool    `yaml:"hidden"`
	Priority   int     `yaml:"priority"`
	BSSID      string  `yaml:"bssid"`
	Device     string  `yaml:"device"`
}

// MaxFile is how many bytes a file may have.
const MaxFile = 4096

// Header is the first line of a file.
const Header = "# written by `provision wifi add`; `provision wifi remove` takes it away\n"

// Parse reads one file. No error has any of its text in it: it holds a secret.
func Parse(data []byte) (Network, error) {
	if len(data) > MaxFile {
		return Network{}, fmt.Errorf("larger than %d bytes", MaxFile)
	}
	var r record
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil {
		return Network{}, errors.New("it is not YAML with the keys ssid or ssid-hex, security, psk, passphrase, country, hidden, priority, bssid, device")
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Network{}, errors.New("it has more than one document")
	}
	n := Network{Security: r.Security, Key: r.Key, Passphrase: r.Passphrase, Country: r.Country, Hidden: r.Hidden, Priority: r.Priority, BSSID: r.BSSID, Device: r.Device}
	switch {
	case r.SSID != nil && r.SSIDHex != nil:
		return n, errors.New("it has both ssid and ssid-hex")
	case r.SSID != nil:
		n.SSID = *r.SSID
	case r.SSIDHex != nil:
		b, err := hex.DecodeString(*r.SSIDHex)
		if err != nil {
			return n, errors.New("its ssid-hex is not hexadecimal")
		}
		n.SSID = string(b)
	default:
		return n, errors.New("it has no ssid")
	}
	if n.Security == "" {
		n.Security = PSK
	}
	return n, n.Check()
}

// Encode is the file of n.
func (n Network) Encode() []byte {
	var b strings.Builder
	b.WriteString(Header)
	if Plain(n.SSID) {
		b.WriteString("ssid: " + quote(n.SSID) + "\n")
	} else {
		b.WriteString("ssid-hex: \"" + hex.EncodeToString([]byte(n.SSID)) + "\"\n")
	}
	b.WriteString("security: " + n.Security + "\n")
	line := func(key, value string) {
		if value != "" {
			b.WriteString(key + ": " + quote(value) + "\n")
		}
	}
	line("psk", n.Key)
	line("passphrase", n.Passphrase)
	line("country", n.Country)
	if n.Hidden {
		b.WriteString("hidden: true\n")
	}
	if n.Priority != 0 {
		fmt.Fprintf(&b, "priority: %d\n", n.Priority)
	}
	line("bssid", n.BSSID)
	line("device", n.Device)
	return []byte(b.String())
}

// quote is a YAML string in double quotes; s is valid UTF-8 without control characters.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Plain reports whether an SSID is text that can be shown and written as such.
func Plain(ssid string) bool {
	return utf8.ValidString(ssid) && !strings.ContainsFunc(ssid, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Show is an SSID for people: as text, or as hexadecimal with 0x before it.
func Show(ssid string) string {
	if Plain(ssid) {
		return ssid
	}
	return "0x" + hex.EncodeToString([]byte(ssid))
}

// Check judges a network; all that is wrong comes back joined.
func (n Network) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case n.SSID == "":
		bad("the network's name is empty: it has 1 to 32 bytes")
	case len(n.SSID) > 32:
		bad("the network's name has %d bytes: it may have 32 (letters beyond ASCII take more than one)", len(n.SSID))
	}
	switch n.Security {
	case PSK:
		if (n.Key == "") == (n.Passphrase == "") {
			bad("security psk wants either psk or passphrase")
		} else if n.Key != "" && !isKey(n.Key) {
			bad("psk is not 64 hexadecimal digits")
		}
	case SAE:
		if n.Passphrase == "" || n.Key != "" {
			bad("security sae wants a passphrase, and no psk")
		}
	case Open:
		if n.Key != "" || n.Passphrase != "" {
			bad("an open network has neither psk nor passphrase")
		}
	default:
		bad("security is not one of psk, sae, open")
	}
	if n.Passphrase != "" {
		if err := CheckPassphrase(n.Passphrase); err != nil {
			errs = append(errs, err)
		}
	}
	if n.Country != "" && (len(n.Country) != 2 || strings.Trim(n.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		bad("country is not two capital letters of ISO 3166-1, such as DE or US")
	}
	if n.Priority < 0 || n.Priority > 999 {
		bad("priority %d is not 0 to 999", n.Priority)
	}
	if n.BSSID != "" {
		if mac, err := net.ParseMAC(n.BSSID); err != nil || len(mac) != 6 || mac.String() != n.BSSID {
			bad("bssid is not an address such as 02:00:00:00:01:00")
		}
	}
	// The kernel's rule (dev_valid_name), and nothing that a unit's or a file's name could not hold.
	if n.Device != "" && (len(n.Device) > 15 || strings.Trim(n.Device, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" || strings.Trim(n.Device[:1], "-.") == "") {
		bad("device is not the name of a Wi-Fi device such as wlan0")
	}
	return errors.Join(errs...)
}

// CheckPassphrase wants what WPA2 and WPA3 take on every system: 8 to 63 printable ASCII
// characters (IEEE 802.11-2020, J.4.1). The error does not tell any of it.
func CheckPassphrase(p string) error {
	if len(p) < 8 || len(p) > 63 {
		return fmt.Errorf("the passphrase has %d characters: it must have 8 to 63", len(p))
	}
	if strings.ContainsFunc(p, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return errors.New("the passphrase has characters beyond ASCII, which no two systems treat alike: give the network one without")
	}
	return nil
}
