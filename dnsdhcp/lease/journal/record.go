package journal

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// A payload is the version, the kind and the fields. Instants are of the boot that the file is of; a file is of one
// boot only, see rebase.
const version = 1

const (
	kindAnchor = iota + 1
	kindLease
	kindPast
	kindValue
)

// entry is a lease record with what only the journal knows: when in a former boot the lease began.
type entry struct {
	lease.Record
	sinceWall int64 // Unix nanoseconds; 0: Since says it
	approx    bool  // that wall clock had never been synchronised
}

// past is a lease that has ended.
type past struct {
	entry
	end     clock.Instant
	endWall int64 // as sinceWall
	how     How
}

type value struct {
	key     string
	value   []byte
	deleted bool
}

const (
	hasWall = 1 << iota
	isApprox
	hasLeft
	idIsKey  // the client identifier is the key's rest
	hwIsKey  // the hardware address is
	reserved // Lease.Reserved
)

func appendEntry(b []byte, e entry) []byte {
	return appendEntryBody(append(b, version, kindLease), e)
}

func appendEntryBody(b []byte, e entry) []byte {
	key, flags := string(e.Key), byte(0)
	if e.sinceWall != 0 {
		flags |= hasWall
	}
	if e.approx {
		flags |= isApprox
	}
	if e.Left.Is4() {
		flags |= hasLeft
	}
	if len(key) > 1 && key[0] == 'i' && key[1:] == e.ClientID {
		flags |= idIsKey
	}
	if len(key) > 2 && key[0] == 'h' && key[1] == e.HW.Type && key[2:] == e.HW.Addr {
		flags |= hwIsKey
	}
	if e.Reserved {
		flags |= reserved
	}
	a := e.Addr.As4()
	b = append(append(b, flags, byte(e.State)), a[:]...)
	b = binary.AppendVarint(b, int64(e.At))
	for _, i := range []clock.Instant{e.Since, e.Expiry, e.Durable} {
		b = binary.AppendVarint(b, int64(i-e.At)) // wraps around and back
	}
	b = appendString(appendString(b, e.Network), key)
	if flags&hwIsKey == 0 {
		b = appendString(append(b, e.HW.Type), e.HW.Addr)
	}
	if flags&idIsKey == 0 {
		b = appendString(b, e.ClientID)
	}
	b = appendString(appendString(b, e.Hostname), e.Agent)
	if flags&hasLeft != 0 {
		l := e.Left.As4()
		b = append(b, l[:]...)
	}
	if flags&hasWall != 0 {
		b = binary.AppendVarint(b, e.sinceWall)
	}
	return b
}

func appendPast(b []byte, p past) []byte {
	b = binary.AppendVarint(append(b, version, kindPast, byte(p.how)), int64(p.end))
	return appendEntryBody(binary.AppendVarint(b, p.endWall), p.entry)
}

func appendAnchor(b []byte, r clock.Reading) []byte {
	synced := byte(0)
	if r.Synced {
		synced = 1
	}
	b = append(b, version, kindAnchor, synced)
	b = binary.AppendVarint(binary.AppendVarint(b, int64(r.Boot)), r.Wall.UnixNano())
	return appendString(b, r.BootID)
}

func appendValue(b []byte, v value) []byte {
	deleted := byte(0)
	if v.deleted {
		deleted = 1
	}
	b = appendString(append(b, version, kindValue, deleted), v.key)
	return append(b, v.value...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errBad = errors.New("malformed record")

// reader takes a payload apart; after an error it returns zero values.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return ""
	}
	r.b = r.b[size:]
	return string(r.bytes(n))
}

func (r *reader) addr() netip.Addr {
	if b := r.bytes(4); b != nil {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.Addr{}
}

func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errBad
	}
	return nil
}

// decodeEntry, as the next ones, takes what follows version and kind.
func decodeEntry(b []byte) (entry, error) {
	r := reader{b: b}
	e := r.entry()
	if e.State < lease.Bound || e.State > lease.Declined {
		return entry{}, errBad
	}
	return e, r.end()
}

func (r *reader) entry() (e entry) {
	flags := r.byte()
	e.State, e.Addr = lease.State(r.byte()), r.addr()
	e.At = clock.Instant(r.varint())
	for _, i := range []*clock.Instant{&e.Since, &e.Expiry, &e.Durable} {
		*i = clock.Instant(r.varint()) + e.At
	}
	e.Network = r.string()
	key := r.string()
	e.Key = lease.Key(key)
	switch {
	case flags&hwIsKey == 0:
		e.HW.Type, e.HW.Addr = r.byte(), r.string()
	case len(key) > 2:
		e.HW = lease.HW{Type: key[1], Addr: key[2:]}
	default:
		r.bad = true
	}
	switch {
	case flags&idIsKey == 0:
		e.ClientID = r.string()
	case len(key) > 1:
		e.ClientID = key[1:]
	default:
		r.bad = true
	}
	e.Hostname, e.Agent = r.string(), r.string()
	if flags&hasLeft != 0 {
		e.Left = r.addr()
	}
	if flags&hasWall != 0 {
		e.sinceWall = r.varint()
	}
	e.approx, e.Reserved = flags&isApprox != 0, flags&reserved != 0
	return e
}

func decodePast(b []byte) (past, error) {
	r := reader{b: b}
	p := past{how: How(r.byte()), end: clock.Instant(r.varint()), endWall: r.varint()}
	p.entry = r.entry()
	return p, r.end()
}

func decodeAnchor(b []byte) (clock.Reading, error) {
	r := reader{b: b}
	a := clock.Reading{Synced: r.byte() == 1, Boot: clock.Instant(r.varint()), Wall: unixNano(r.varint()), BootID: r.string()}
	return a, r.end()
}

func decodeValue(b []byte) (value, error) {
	r := reader{b: b}
	v := value{deleted: r.byte() == 1, key: r.string()}
	v.value = append([]byte{}, r.b...)
	if r.bad {
		return v, errBad
	}
	return v, nil
}
