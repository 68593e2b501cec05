package client

import (
	"crypto/sha1"
	"fmt"
)

// namespace is the UUID under which those of the profiles are made (RFC 9562, version 5).
var namespace = [16]byte{0x7e, 0x42, 0x0b, 0x9d, 0x15, 0xc8, 0x4a, 0x6f, 0x8b, 0x33, 0xd0, 0x5a, 0x77, 0x1e, 0xf4, 0x29}

func uuid(name string) string {
	sum := sha1.Sum(append(namespace[:], name...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
