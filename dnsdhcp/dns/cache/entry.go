package cache

import (
	"encoding/binary"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// An entry is a piece of its shard's arena: a header of fixed size, the key, the message, the offsets of its TTLs. No
// pointers, so that the garbage collector never looks at the cache.
type entry []byte

const (
	offSize   = 0  // uint32, of all, multiple of 8
	offKey    = 4  // uint16, length; padKey for a gap at the arena's end, which has nothing behind it
	offWire   = 6  // uint16, length; 0 for a failure without an answer
	offHash   = 8  // uint64
	offStored = 16 // int64
	offLife   = 24 // uint32, seconds
	offTTLs   = 28 // uint16, number
	offFlags  = 30 // uint8
	offFails  = 31 // uint8, in a row
	offUntil  = 32 // int64, end of the failure's time
	offHits   = 40 // uint16
	offEpoch  = 44 // uint32, of the failure
	offData   = 48

	padKey = 0xffff
)

const (
	flagUsed    = 1 << iota // asked for since the hand of the clock passed
	flagRefresh             // its refreshing has been asked for
	flagDead                // the index does not know it any more
)

var le = binary.LittleEndian

func (e entry) size() int             { return int(le.Uint32(e[offSize:])) }
func (e entry) isPad() bool           { return le.Uint16(e[offKey:]) == padKey }
func (e entry) hash() uint64          { return le.Uint64(e[offHash:]) }
func (e entry) stored() clock.Instant { return clock.Instant(le.Uint64(e[offStored:])) }
func (e entry) life() uint32          { return le.Uint32(e[offLife:]) }
func (e entry) until() clock.Instant  { return clock.Instant(le.Uint64(e[offUntil:])) }
func (e entry) epoch() uint32         { return le.Uint32(e[offEpoch:]) }
func (e entry) hits() uint16          { return le.Uint16(e[offHits:]) }
func (e entry) has(flag byte) bool    { return e[offFlags]&flag != 0 }
func (e entry) set(flag byte)         { e[offFlags] |= flag }
func (e entry) clear(flag byte)       { e[offFlags] &^= flag }

func (e entry) key() []byte {
	return e[offData : offData+int(le.Uint16(e[offKey:]))]
}

func (e entry) wire() []byte {
	at := offData + int(le.Uint16(e[offKey:]))
	return e[at : at+int(le.Uint16(e[offWire:]))]
}

func (e entry) ttls() []byte {
	at := offData + int(le.Uint16(e[offKey:])) + int(le.Uint16(e[offWire:]))
	return e[at : at+2*int(le.Uint16(e[offTTLs:]))]
}

func (e entry) setFailure(n uint8, until clock.Instant, epoch uint32) {
	e[offFails] = n
	le.PutUint64(e[offUntil:], uint64(until))
	le.PutUint32(e[offEpoch:], epoch)
}

func sizeOf(key, wire, ttls int) int { return (offData + key + wire + 2*ttls + 7) &^ 7 }

// fill writes a new entry into e, whose length is its size.
func (e entry) fill(hash uint64, key, wire []byte, ttls []uint16, stored clock.Instant, life uint32) {
	clear(e[:offData])
	le.PutUint32(e[offSize:], uint32(len(e)))
	le.PutUint16(e[offKey:], uint16(len(key)))
	le.PutUint16(e[offWire:], uint16(len(wire)))
	le.PutUint64(e[offHash:], hash)
	le.PutUint64(e[offStored:], uint64(stored))
	le.PutUint32(e[offLife:], life)
	le.PutUint16(e[offTTLs:], uint16(len(ttls)))
	at := offData + copy(e[offData:], key)
	at += copy(e[at:], wire)
	for _, t := range ttls {
		le.PutUint16(e[at:], t)
		at += 2
	}
}
