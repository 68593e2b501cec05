package fat

import (
	"encoding/binary"
	"fmt"
)

// get is entry n of a table, without the four bits of FAT32 that belong to nobody.
func (v *Volume) get(table []byte, n uint32) uint32 {
	if v.bits == 16 {
		return uint32(binary.LittleEndian.Uint16(table[n*2:]))
	}
	return binary.LittleEndian.Uint32(table[n*4:]) & 0x0fffffff
}

// put is entry n of a table with another value, as the bytes to be written.
func (v *Volume) put(table []byte, n, value uint32) []byte {
	if v.bits == 16 {
		return binary.LittleEndian.AppendUint16(nil, uint16(value))
	}
	keep := binary.LittleEndian.Uint32(table[n*4:]) & 0xf0000000
	return binary.LittleEndian.AppendUint32(nil, keep|value)
}

// mask is an entry with all bits set, which ends a chain.
func (v *Volume) mask() uint32 {
	if v.bits == 16 {
		return 0xffff
	}
	return 0x0fffffff
}

// clean is the bit of entry 1 that Windows clears while the file system is in use.
func (v *Volume) clean() uint32 { return (v.mask() >> 1) + 1 }

// isEnd tells the end of a chain; the value below is the mark of a bad cluster.
func (v *Volume) isEnd(value uint32) bool { return value >= v.mask()-7 }
func (v *Volume) isBad(value uint32) bool { return value == v.mask()-8 }

// free counts the free clusters of a table.
func (v *Volume) free(table []byte) uint32 {
	var n uint32
	for c := uint32(2); c < v.clusters+2; c++ {
		if v.get(table, c) == 0 {
			n++
		}
	}
	return n
}

// chain is the clusters from first on, at most limit of them. It ends, whatever the
// table says.
func (v *Volume) chain(first uint32, limit int) ([]uint32, error) {
	var out []uint32
	for n := first; ; {
		switch {
		case !v.valid(n):
			return nil, fmt.Errorf("its chain of clusters leads to cluster %d, which does not exist", n)
		case len(out) >= limit:
			return nil, fmt.Errorf("its chain of clusters has more than %d: it goes round, or it is too long", limit)
		}
		out = append(out, n)
		next := v.get(v.table, n)
		switch {
		case v.isEnd(next):
			return out, nil
		case next == 0:
			return nil, fmt.Errorf("its chain of clusters leads through cluster %d, which is marked as free", n)
		case v.isBad(next):
			return nil, fmt.Errorf("its chain of clusters leads through cluster %d, which is marked as bad", n)
		}
		n = next
	}
}
