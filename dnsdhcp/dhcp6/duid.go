package dhcp6

import (
	"fmt"
	"io"
	"net"
)

const duidKey = "dhcp6/duid"

// DUID returns the server's identifier, the same for all links and for ever: the one in memory, or a new DUID-UUID (RFC
// 6355), which needs neither a clock nor an interface. Where it cannot be kept, which the error says, it is made of mac
// (DUID-LL, RFC 8415 section 11.4), so that it is the same next time; it is usable all the same.
func DUID(m Memory, random io.Reader, mac net.HardwareAddr) ([]byte, error) {
	var err error
	if m != nil {
		if b, ok := m.Load(duidKey); ok && len(b) >= 3 && len(b) <= maxDUID {
			return b, nil
		}
		d := make([]byte, 18)
		d[1] = 4
		if _, err = io.ReadFull(random, d[2:]); err == nil {
			d[8] = d[8]&0x0f | 0x40 // version 4, RFC 4122 section 4.4
			d[10] = d[10]&0x3f | 0x80
			if err = m.Save(duidKey, d); err == nil || len(mac) != 6 {
				return d, keepError(err)
			}
		}
	}
	if len(mac) == 6 {
		return append([]byte{0, 3, 0, 1}, mac...), keepError(err)
	}
	d := make([]byte, 18)
	d[1] = 4
	if _, err := io.ReadFull(random, d[2:]); err != nil {
		return nil, fmt.Errorf("cannot make a DUID: %w", err)
	}
	return d, keepError(err)
}

func keepError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot keep the server's DUID: %w", err)
}
