// Package wifi says which Wi-Fi an interface is in, and whether that network knows its members: by
// nl80211, which every driver and every supplicant goes through, with a question that needs no
// right and changes nothing (linux/nl80211.h).
package wifi

// Network is the network that a station is in.
type Network struct {
	Index int    // of the interface
	Name  string // of the interface
	// SSID is the network's name, any bytes; empty when it is in none.
	SSID string
	// Encrypted: the network asks for a key or for credentials, and encrypts. It is false for open
	// networks, for WEP, and for opportunistic encryption (OWE, RFC 8110), which keeps secrets from
	// listeners but lets anybody be the access point.
	Encrypted bool
}
