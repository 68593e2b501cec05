package wifi

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// DeriveKey is the key that WPA2 makes of a passphrase and the network's name (IEEE 802.11-2020,
// J.4): PBKDF2 with HMAC-SHA1, 4096 rounds, 256 bits; 64 hexadecimal digits.
func DeriveKey(passphrase, ssid string) (string, error) {
	key, err := pbkdf2.Key(sha1.New, passphrase, []byte(ssid), 4096, 32)
	return hex.EncodeToString(key), err
}

// isKey reports whether s is a key as DeriveKey gives it.
func isKey(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// key is that of a PSK network.
func (n Network) key() (string, error) {
	if n.Key != "" {
		return n.Key, nil
	}
	return DeriveKey(n.Passphrase, n.SSID)
}

// Name is a name for files, made of an SSID: the SSID itself where it is short and harmless, else
// what can be read of it and eight digits of its digest.
func Name(ssid string) string {
	const harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	if ssid != "" && strings.Trim(ssid, harmless) == "" && strings.Trim(ssid[:1], "-_") != "" {
		return ssid
	}
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune(harmless, r) {
			return r
		}
		return '_'
	}, ssid)
	sum := sha256.Sum256([]byte(ssid))
	// The dot keeps it apart from every name of the first kind.
	if safe = strings.Trim(safe[:min(len(safe), 20)], "-_"); safe == "" {
		safe = "network"
	}
	return safe + "." + hex.EncodeToString(sum[:4])
}
