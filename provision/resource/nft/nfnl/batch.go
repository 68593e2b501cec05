package nfnl

import (
	"encoding/binary"
	"slices"
)

const (
	nlHeader  = 16 // struct nlmsghdr
	nfHeader  = 4  // struct nfgenmsg
	subsystem = 10 // NFNL_SUBSYS_NFTABLES

	batchBegin = 0x10 // NFNL_MSG_BATCH_BEGIN
	batchEnd   = 0x11 // NFNL_MSG_BATCH_END
	batchGen   = 1    // NFNL_BATCH_GENID

	flagRequest = 0x1 // NLM_F_REQUEST
	flagAck     = 0x4 // NLM_F_ACK
	flagDump    = 0x300
)

// Flags of messages in a batch (include/uapi/linux/netlink.h).
const (
	Create = 0x400 // NLM_F_CREATE
	Append = 0x800 // NLM_F_APPEND
)

// Batch is a list of changes that the kernel makes all together or not at all. The zero value
// is empty and ready.
type Batch struct {
	buf    []byte
	starts []int // of each message in buf
}

// Add appends a message: kind is an NFT_MSG_*, family an NFPROTO_*.
func (b *Batch) Add(kind uint8, flags uint16, family uint8, attrs []byte) {
	if len(b.buf) == 0 {
		b.buf = appendHeader(b.buf, batchBegin, flagRequest, 0, subsystem)
		b.buf = Put32(b.buf, batchGen, 0)
		b.close(0)
	}
	at := len(b.buf)
	b.starts = append(b.starts, at)
	b.buf = appendHeader(b.buf, subsystem<<8|uint16(kind), flagRequest|flags, family, 0)
	b.buf = append(b.buf, attrs...)
	b.close(at)
}

// Grow makes room for n bytes more, so that large batches are not copied again and again.
func (b *Batch) Grow(n int) { b.buf = slices.Grow(b.buf, n) }

// Len is the number of messages.
func (b *Batch) Len() int { return len(b.starts) }

// Size is the number of bytes.
func (b *Batch) Size() int { return len(b.buf) }

// Message returns the kind and the attributes of the message with this number.
func (b *Batch) Message(i int) (kind uint8, attrs []byte) {
	m := b.buf[b.starts[i]:]
	size := binary.NativeEndian.Uint32(m)
	return uint8(binary.NativeEndian.Uint16(m[4:])), m[nlHeader+nfHeader : size]
}

func (b *Batch) close(at int) {
	binary.NativeEndian.PutUint32(b.buf[at:], uint32(len(b.buf)-at))
}

// seal numbers the messages from seq on (the beginning has seq itself), names the generation
// that they were made for and asks for an answer to the last one. It returns what is to be sent.
func (b *Batch) seal(seq, gen uint32) []byte {
	binary.NativeEndian.PutUint32(b.buf[8:], seq)
	binary.BigEndian.PutUint32(b.buf[nlHeader+nfHeader+attrHeader:], gen)
	for i, at := range b.starts {
		binary.NativeEndian.PutUint32(b.buf[at+8:], seq+1+uint32(i))
	}
	last := b.buf[b.starts[len(b.starts)-1]:]
	binary.NativeEndian.PutUint16(last[6:], binary.NativeEndian.Uint16(last[6:])|flagAck)
	at := len(b.buf)
	out := appendHeader(b.buf, batchEnd, flagRequest, 0, subsystem)
	binary.NativeEndian.PutUint32(out[at:], uint32(len(out)-at))
	binary.NativeEndian.PutUint32(out[at+8:], seq+1+uint32(len(b.starts)))
	return out
}

func appendHeader(b []byte, kind, flags uint16, family uint8, resource uint16) []byte {
	b = binary.NativeEndian.AppendUint32(b, nlHeader+nfHeader)
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence and port
	b = append(b, family, 0)
	return binary.BigEndian.AppendUint16(b, resource)
}

func putSeq(message []byte, seq uint32) { binary.NativeEndian.PutUint32(message[8:], seq) }
