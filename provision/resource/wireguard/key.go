package wireguard

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
)

// Key is a private, public or preshared key; zero is none.
type Key [32]byte

// ErrKey is what is wrong with a text that is no key. It does not say the text, which may be a secret.
var ErrKey = errors.New("a key is 32 bytes in base64: 44 characters, the last of them =")

// ParseKey reads the form that wg(8) prints, and no other. An empty text is the zero key.
func ParseKey(s string) (Key, error) {
	var k Key
	if s == "" {
		return k, nil
	}
	if len(s) != 44 {
		return k, ErrKey
	}
	var b [33]byte // as much as 44 characters may be
	var again [44]byte
	if n, err := base64.StdEncoding.Decode(b[:], []byte(s)); err != nil || n != len(k) {
		return k, ErrKey
	}
	// Bits that say nothing, and line ends, which the decoder overlooks: one key has one form.
	if base64.StdEncoding.Encode(again[:], b[:len(k)]); string(again[:]) != s {
		return k, ErrKey
	}
	return Key(b[:len(k)]), nil
}

// String is the key in base64, empty for the zero key.
func (k Key) String() string {
	if k == (Key{}) {
		return ""
	}
	return base64.StdEncoding.EncodeToString(k[:])
}

// Clamp returns the private key as X25519 uses it (RFC 7748 section 5), which is how the kernel keeps it.
// The zero key stays what it is.
func (k Key) Clamp() Key {
	if k != (Key{}) {
		k[0] &= 248
		k[31] = k[31]&127 | 64
	}
	return k
}

// Public is the public key of a private one; the zero key has none.
func (k Key) Public() Key {
	if k == (Key{}) {
		return Key{}
	}
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		return Key{} // never: any 32 bytes are one
	}
	return Key(private.PublicKey().Bytes())
}
