package facts

import "encoding/binary"

// bigEndian is the byte order of the running machine, which /proc/net prints in.
var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1
