package foreign

import "encoding/binary"

// truth is what is known about whether a packet of a flow matches.
type truth int

const (
	no    truth = iota
	some        // those packets that have what the flow does not tell: an address, a port
	blind       // cannot be read
	yes
)

// and is how two conditions stand together.
//
//go:noinline
func (a truth) and(b truth) truth {
	if a == no || b == no {
		return no
	}
	if a == blind || b == blind {
		return blind
	}
	return min(a, b)
}

func (a truth) not() truth {
	switch a {
	case no:
		return yes
	case yes:
		return no
	}
	return a
}

// bytes are the contents of registers: what is known of them.
type value struct {
	data  []byte
	known []bool
	blind bool // it is unknown because it cannot be read, not because the flow does not tell
}

//go:noinline
func unknown(n int) value { return value{data: make([]byte, n), known: make([]bool, n)} }

//go:noinline
func exactly(b []byte) value {
	v := value{data: b, known: make([]bool, len(b))}
	for i := range v.known {
		v.known[i] = true
	}
	return v
}

func be16(n uint16) value { return exactly(binary.BigEndian.AppendUint16(nil, n)) }

//go:noinline
func host32(n uint32) value {
	return exactly(binary.NativeEndian.AppendUint32(nil, n))
}

// name is a device's name as nf_tables has it: 16 bytes.
func name(s string) value {
	b := make([]byte, 16)
	copy(b, s)
	return exactly(b)
}

func (v value) whole() bool {
	for _, k := range v.known {
		if !k {
			return false
		}
	}
	return true
}

func (v value) maybe() truth {
	if v.blind {
		return blind
	}
	return some
}

// compare is the comparison of memcmp(3), as far as it can be told.
func (v value) compare(op string, data []byte) truth {
	if len(v.data) > len(data) {
		v = value{v.data[:len(data)], v.known[:len(data)], v.blind}
	}
	differs := false
	for i := range v.data {
		if v.known[i] && v.data[i] != data[i] {
			differs = true
		}
	}
	switch op {
	case "==":
		if differs {
			return no
		}
		if v.whole() && len(v.data) == len(data) {
			return yes
		}
		return v.maybe()
	case "!=":
		return v.compare("==", data).not()
	}
	if !v.whole() || len(v.data) != len(data) {
		return v.maybe()
	}
	c := 0
	for i := range v.data {
		if v.data[i] != data[i] {
			c = int(v.data[i]) - int(data[i])
			break
		}
	}
	ok := map[string]bool{"<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0}[op]
	if ok {
		return yes
	}
	return no
}

// registers are the 16 words of 4 bytes of nf_tables (NFT_REG32_00 to 15).
type registers struct {
	data  [64]byte
	known [64]bool
	blind [64]bool
}

// offset turns a register's number into its place: 1 to 4 are 16 bytes each, 8 to 23 are 4.
//
//go:noinline
func offset(reg uint32) int {
	switch {
	case reg >= 8 && reg < 24:
		return int(reg-8) * 4
	case reg >= 1 && reg <= 4:
		return int(reg-1) * 16
	}
	return 0
}

func (r *registers) put(reg uint32, v value) {
	at := offset(reg)
	for i := 0; i < len(v.data) || i%4 != 0; i++ { // a load pads its last word with zeros
		if at+i >= len(r.data) {
			return
		}
		r.data[at+i], r.known[at+i], r.blind[at+i] = 0, true, false
		if i < len(v.data) {
			r.data[at+i], r.known[at+i], r.blind[at+i] = v.data[i], v.known[i], v.blind
		}
	}
}

func (r *registers) get(reg uint32, n int) value {
	v := unknown(n)
	at := offset(reg)
	for i := range n {
		if at+i >= len(r.data) {
			break
		}
		v.data[i], v.known[i] = r.data[at+i], r.known[at+i]
		v.blind = v.blind || r.blind[at+i] && !r.known[at+i]
	}
	return v
}
