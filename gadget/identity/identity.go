// Package identity makes what a unit is known by out of one thing that does not change: the
// board's serial number. The same board has the same addresses after every boot, so hosts do not
// find a new adapter each time; no two boards share them.
//
// Everything is derived when it is needed, never stored: a card that is moved or copied to another
// board does not take the first one's addresses along.
package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
)

// Seed is what everything is derived from.
type Seed struct {
	sum    [sha256.Size]byte
	Serial string // the board's own, "" when it has none
	Source string // for people
}

// New takes the board's serial number, else the digest of the machine's id, else what was
// configured. ok is false when there is nothing that tells this machine from others.
func New(serial, machineID, configured string) (seed Seed, ok bool) {
	serial = strings.TrimSpace(serial)
	switch {
	case meaningful(serial):
		seed = Seed{Serial: serial, Source: "the board's serial number"}
		seed.sum = sha256.Sum256([]byte("gadget of board " + strings.ToLower(serial)))
	case machineID != "":
		seed = Seed{Source: "the machine's id, because the board has no serial number"}
		seed.sum = sha256.Sum256([]byte("gadget of machine " + machineID))
	case configured != "":
		seed = Seed{Source: "the serial number of the configuration, because the board has none"}
		seed.sum = sha256.Sum256([]byte("gadget called " + configured))
	default:
		return Seed{}, false
	}
	return seed, true
}

// meaningful: a firmware that has no number gives zeros, or one that is no number at all.
func meaningful(serial string) bool {
	switch strings.ToLower(serial) {
	case "none", "unknown", "default string", "to be filled by o.e.m.", "system serial number", "not specified":
		return false
	}
	return strings.Trim(serial, "0 .:-fFxX") != ""
}

func (s Seed) digest(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	h.Write(s.sum[:])
	for _, p := range parts {
		// The length keeps "a","bc" from being "ab","c".
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Number is a serial number for the host to see.
func (s Seed) Number() string {
	if s.Serial != "" {
		return s.Serial
	}
	d := s.digest("serial")
	return hex.EncodeToString(d[:8])
}

// Sides of a link.
const (
	Here = "here" // this machine's end (dev_addr)
	Host = "host" // the host's end (host_addr)
)

// MAC is the address of one side of a function: unicast and locally administered (IEEE 802,
// section 8.4: bit 1 of the first byte set, bit 0 clear).
func (s Seed) MAC(gadget, function, side string) string {
	d := s.digest("mac", gadget, function, side)
	d[0] = d[0]&^1 | 2
	return format(d[:6])
}

// Universal is MAC with the first three bytes of an organisation. Android names adapters whose
// address is locally administered usb0, and takes only those that are called eth0.
func (s Seed) Universal(oui [3]byte, gadget, function, side string) string {
	d := s.digest("mac", gadget, function, side)
	return format(append(oui[:], d[3:6]...))
}

// Bridge is the address of a bridge: fixed, because a bridge without one takes the least of its
// ports' and changes it as they come and go.
func (s Seed) Bridge(gadget, name string) string { return s.MAC(gadget, "bridge "+name, Here) }

// ULA is a link's network of unique local addresses (RFC 4193): one random-looking /48 for the
// unit, a /64 of it for each link.
func (s Seed) ULA(link int) netip.Prefix {
	d := s.digest("ula")
	a := [16]byte{0: 0xfd}
	copy(a[1:6], d[:5])
	binary.BigEndian.PutUint16(a[6:8], uint16(link))
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// Draw is a number for the n-th attempt at something, such as a network that is still free.
func (s Seed) Draw(what string, n int) uint32 {
	d := s.digest("draw", what, fmt.Sprint(n))
	return binary.BigEndian.Uint32(d[:4])
}

func format(b []byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5])
}
