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

// Cell is an access point that was heard of.
type Cell struct {
	SSID   string // any bytes; empty for one that hides it
	BSSID  string
	Signal int // dBm; 0 where the driver does not say
	// PSK and SAE: a passphrase lets in, by WPA2 (or WPA) and by WPA3.
	PSK, SAE bool
	// Encrypted is that of Network.
	Encrypted  bool
	Associated bool // the interface is in it
}

// Stage is how far joining a network has come.
type Stage string

// Stages.
const (
	Joined    Stage = "joined"     // and let in: keys are there, data can pass
	Trying    Stage = "trying"     // nothing has gone wrong yet
	WrongKey  Stage = "wrong key"  // the access point is there and refuses what it was told
	NotFound  Stage = "not found"  // no access point of that name answers
	Rejected  Stage = "rejected"   // it does not take this machine, whatever the key is
	Elsewhere Stage = "elsewhere"  // in another network
	Unmanaged Stage = "no manager" // nobody that could be asked takes care of the device
)
