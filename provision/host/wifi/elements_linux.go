package wifi

import "encoding/binary"

// Elements of management frames (IEEE 802.11-2020 9.4.2.1), and suites of key management
// (9.4.2.24.3, table 9-151).
const (
	elementSSID   = 0
	elementRSN    = 48
	elementVendor = 221

	akmOWE = 18
)

// elements is what a beacon or a probe's answer says of itself.
type elements struct {
	ssid string
	// known: who joins has to know a key or have credentials, by one of the ways that are known
	// here, and nobody is let in without.
	known bool
	// psk and sae: a passphrase lets in, as WPA2 does it (WPA too), and as WPA3 does.
	psk, sae bool
}

// decodeElements reads as far as the elements are whole.
func decodeElements(b []byte) elements {
	var e elements
	known, open := false, false
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		id, data := b[0], b[2:2+int(b[1])]
		b = b[2+int(b[1]):]
		var suites []byte
		switch {
		case id == elementSSID && e.ssid == "" && len(data) <= maxSSID && !allZero(data):
			e.ssid = string(data)
		case id == elementRSN:
			suites = keySuites(data)
		case id == elementVendor && len(data) >= 4 && [4]byte(data) == [4]byte{0x00, 0x50, 0xf2, 1}: // WPA, before 802.11i
			suites = keySuites(data[4:])
		}
		for ; len(suites) >= 4; suites = suites[4:] {
			oui, typ := [3]byte(suites), suites[3]
			rsn := oui == [3]byte{0x00, 0x0f, 0xac}
			e.psk = e.psk || rsn && (typ == 2 || typ == 4 || typ == 6) || oui == [3]byte{0x00, 0x50, 0xf2} && typ == 2
			e.sae = e.sae || rsn && (typ == 8 || typ == 9 || typ == 24 || typ == 25)
			switch {
			case oui == [3]byte{0x00, 0x0f, 0xac} && typ == akmOWE:
				open = true
			case oui == [3]byte{0x00, 0x0f, 0xac} && authenticates(typ), oui == [3]byte{0x00, 0x50, 0xf2} && (typ == 1 || typ == 2):
				known = true
			}
		}
	}
	e.known = known && !open
	return e
}

// authenticates: 802.1X, PSK, SAE and their variants (FT, SHA-256, Suite B, FILS).
func authenticates(akm byte) bool {
	switch {
	case akm >= 1 && akm <= 6, akm == 8, akm == 9, akm >= 11 && akm <= 17, akm == 19, akm == 20, akm >= 22 && akm <= 25:
		return true
	}
	return false
}

// keySuites are the suites of key management of an RSN or WPA element: version, group cipher, list
// of pairwise ciphers, list of key management; all that comes after the version may be missing.
func keySuites(b []byte) []byte {
	if len(b) < 8 || binary.LittleEndian.Uint16(b) != 1 {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(b[6:]))
	if len(b) < 8+4*n+2 {
		return nil
	}
	b = b[8+4*n:]
	n = int(binary.LittleEndian.Uint16(b))
	if b = b[2:]; len(b) < 4*n {
		return nil
	}
	return b[:4*n]
}

// allZero is how some access points hide their name.
func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
