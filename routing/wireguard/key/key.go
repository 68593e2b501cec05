// Package key makes the keys of WireGuard. Random bytes come from the caller: crypto/rand.Reader.
package key

import (
	"fmt"
	"io"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// Pair is a private key and its public one.
type Pair struct{ Private, Public wireguard.Key }

// NewPair makes a key pair of X25519, the private key clamped as wg genkey gives it (RFC 7748 section 5).
func NewPair(random io.Reader) (Pair, error) {
	k, err := draw(random)
	k = k.Clamp()
	return Pair{k, k.Public()}, err
}

// NewPreshared makes a preshared key: 32 random bytes.
func NewPreshared(random io.Reader) (wireguard.Key, error) { return draw(random) }

func draw(random io.Reader) (wireguard.Key, error) {
	var k wireguard.Key
	if _, err := io.ReadFull(random, k[:]); err != nil {
		return wireguard.Key{}, fmt.Errorf("cannot make a key: no random bytes: %w", err)
	}
	if k == (wireguard.Key{}) {
		return k, fmt.Errorf("cannot make a key: the source of random bytes gives zeros only")
	}
	return k, nil
}

// File is the text of a file with a key: one line, as wg(8) reads it.
func File(k wireguard.Key) []byte { return []byte(k.String() + "\n") }
