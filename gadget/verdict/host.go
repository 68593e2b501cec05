package verdict

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Seen is what a host showed of itself on the link.
type Seen struct {
	Options4 []byte // DHCP option 55, as sent (RFC 2132 section 9.8)
	Vendor   string // DHCP option 60
	Hostname string // DHCP option 12, or the first label of option 81
	// ClientID is DHCP option 61; one of hardware type 1 repeats the MAC address, which is ours.
	ClientID []byte
	Options6 []uint16 // DHCPv6 option request option (RFC 8415 section 21.7)
	Routers  bool     // it sent a router solicitation
}

// Bounds of what is looked at; the rest of a longer value says nothing more.
const (
	maxList = 255
	maxText = 255
)

// Host is the fingerprint of a host: 16 lower-case hexadecimal digits, and empty for one that
// cannot be told from others.
type Host string

// Host is the fingerprint. A host that only solicited routers has one too, shared by all that do
// no more than that.
func (s Seen) Host() Host {
	if len(s.Options4) == 0 && s.Vendor == "" && s.Hostname == "" && len(s.Options6) == 0 && !s.Routers {
		return ""
	}
	h := sha256.New()
	field := func(b []byte) {
		b = b[:min(len(b), maxText)]
		h.Write([]byte{byte(len(b))})
		h.Write(b)
	}
	field(s.Options4)
	field([]byte(s.Vendor))
	field([]byte(strings.ToLower(s.Hostname)))
	if len(s.ClientID) > 0 && s.ClientID[0] != 1 {
		field(s.ClientID)
	} else {
		field(nil)
	}
	six := make([]byte, 0, 2*min(len(s.Options6), maxList/2))
	for _, o := range s.Options6[:min(len(s.Options6), maxList/2)] {
		six = binary.BigEndian.AppendUint16(six, o)
	}
	field(six)
	return Host(hex.EncodeToString(h.Sum(nil)[:8]))
}

// Label names the system that such a DHCP client comes with, empty when it is not known. It is for
// people to read; nothing is decided by it.
func (s Seen) Label() string {
	v := strings.ToLower(s.Vendor)
	switch {
	case strings.HasPrefix(v, "msft"):
		return "windows"
	case strings.HasPrefix(v, "android"):
		return "android"
	case strings.HasPrefix(v, "dhcpcd"), strings.HasPrefix(v, "udhcp"), strings.HasPrefix(v, "anaconda"):
		return "linux"
	case v == "" && len(s.Options4) > 3 && s.Options4[0] == 1 && slices.Contains(s.Options4, 95):
		return "apple" // asks for LDAP servers, as Apple's client alone does
	case slices.Contains(s.Options4, 33) && slices.Contains(s.Options4, 42):
		return "linux" // dhclient, NetworkManager and networkd ask for static routes and NTP
	}
	return ""
}

func (h Host) valid() bool {
	b, err := hex.DecodeString(string(h))
	return err == nil && len(b) == 8 && hex.EncodeToString(b) == string(h)
}
