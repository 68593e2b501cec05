package nft

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// chunk is how much of a message's list of elements is filled before another one is begun.
const chunk = 60000

// flags are NFT_SET_*.
func (s *Set) flags() uint32 {
	var f uint32
	if s.Interval {
		f |= unix.NFT_SET_INTERVAL
	}
	if s.ranged() {
		f |= setConcat
	}
	if len(s.Data) > 0 {
		f |= unix.NFT_SET_MAP
	}
	if s.Anonymous {
		f |= unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT
	}
	if s.Learnt {
		f |= unix.NFT_SET_TIMEOUT
		if !s.Interval {
			f |= unix.NFT_SET_EVAL // else no rule could add to it
		}
	}
	return f
}

// putSet is the body of NFT_MSG_NEWSET. id numbers the set within its batch.
func putSet(b []byte, table string, s *Set, id uint32) ([]byte, error) {
	key, err := typeNumber(s.Key)
	if err != nil {
		return nil, err
	}
	name := s.Name
	if s.Anonymous {
		name = anonymousName
	}
	b = nfnl.PutString(b, unix.NFTA_SET_TABLE, table)
	b = nfnl.PutString(b, unix.NFTA_SET_NAME, name)
	b = nfnl.Put32(b, unix.NFTA_SET_FLAGS, s.flags())
	b = nfnl.Put32(b, unix.NFTA_SET_KEY_TYPE, key)
	b = nfnl.Put32(b, unix.NFTA_SET_KEY_LEN, uint32(KeySize(s.Key)))
	user := putUserNumber(nil, udKeyOrder, byteOrder(s.Key))
	if s.verdicts() {
		b = nfnl.Put32(b, unix.NFTA_SET_DATA_TYPE, nftDataVerdict)
	} else if len(s.Data) > 0 {
		data, err := typeNumber(s.Data)
		if err != nil {
			return nil, err
		}
		b = nfnl.Put32(b, unix.NFTA_SET_DATA_TYPE, data)
		b = nfnl.Put32(b, unix.NFTA_SET_DATA_LEN, uint32(KeySize(s.Data)))
		user = putUserNumber(user, udDataOrder, byteOrder(s.Data))
	}
	b = nfnl.Put32(b, unix.NFTA_SET_ID, id)
	if s.Timeout != 0 {
		b = nfnl.Put64(b, unix.NFTA_SET_TIMEOUT, s.Timeout)
	}
	b = putDesc(b, s)
	if s.Comment != "" {
		user = putUserText(user, udSetComment, s.Comment)
	}
	return nfnl.Put(b, unix.NFTA_SET_USERDATA, user), nil
}

// putDesc tells the size and, for concatenations with ranges, the parts.
func putDesc(b []byte, s *Set) []byte {
	if s.Size == 0 && !s.ranged() {
		return b
	}
	b, desc := nfnl.Open(b, unix.NFTA_SET_DESC)
	if s.Size != 0 {
		b = nfnl.Put32(b, unix.NFTA_SET_DESC_SIZE, s.Size)
	}
	if s.ranged() {
		var concat, field int
		b, concat = nfnl.Open(b, nftaSetDescConcat)
		for _, p := range s.Key {
			b, field = nfnl.Open(b, unix.NFTA_LIST_ELEM)
			b = nfnl.Put32(b, nftaSetFieldLen, uint32(TypeSize(p)))
			b = nfnl.Close(b, field)
		}
		b = nfnl.Close(b, concat)
	}
	return nfnl.Close(b, desc)
}

// elementWriter fills messages with elements.
type elementWriter struct {
	changes *changes
	kind    uint8 // NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM
	set     *Set
	id      uint32
	enc     encoder
	list    int
	count   int
	scratch []byte
}

func (w *elementWriter) begin() {
	b := nfnl.PutString(w.enc.b[:0], unix.NFTA_SET_ELEM_LIST_TABLE, w.changes.table)
	b = nfnl.PutString(b, unix.NFTA_SET_ELEM_LIST_SET, w.name())
	if w.id != 0 {
		b = nfnl.Put32(b, unix.NFTA_SET_ELEM_LIST_SET_ID, w.id)
	}
	w.enc.b, w.list = nfnl.Open(b, unix.NFTA_SET_ELEM_LIST_ELEMENTS)
	w.count = 0
}

func (w *elementWriter) name() string {
	if w.set.Anonymous && w.id != 0 {
		return anonymousName
	}
	return w.set.Name
}

func (w *elementWriter) end() {
	if w.count == 0 {
		return
	}
	w.enc.b = nfnl.Close(w.enc.b, w.list)
	var flags uint16
	verb := "remove"
	if w.kind == unix.NFT_MSG_NEWSETELEM {
		flags, verb = nfnl.Create, "add"
	}
	w.changes.add(w.kind, flags, w.enc.b, cause{what: fmt.Sprintf("%s elements of set %s", verb, w.set.Name)})
}

func (w *elementWriter) all(elems []Element) error {
	w.begin()
	for i := range elems {
		if len(w.enc.b)-w.list > chunk {
			w.end()
			w.begin()
		}
		w.element(&elems[i])
	}
	w.end()
	return w.enc.err
}

func (w *elementWriter) element(e *Element) {
	w.count++
	adding := w.kind == unix.NFT_MSG_NEWSETELEM
	var at int
	w.enc.b, at = nfnl.Open(w.enc.b, unix.NFTA_LIST_ELEM)
	if len(e.Key) == 0 {
		w.enc.u32(unix.NFTA_SET_ELEM_FLAGS, elemCatchall)
	} else {
		w.enc.value(unix.NFTA_SET_ELEM_KEY, e.Key)
	}
	if w.set.ranged() && len(e.Key) != 0 {
		w.enc.value(nftaSetElemKeyEnd, e.last())
	}
	open := w.set.Interval && !w.set.ranged() && len(e.Key) != 0 && allOnes(e.last())
	if adding {
		w.rest(e, open)
	}
	w.enc.b = nfnl.Close(w.enc.b, at)
	if !w.set.Interval || w.set.ranged() || len(e.Key) == 0 || open {
		return
	}
	w.scratch = append(w.scratch[:0], e.last()...)
	increment(w.scratch)
	w.enc.b, at = nfnl.Open(w.enc.b, unix.NFTA_LIST_ELEM)
	w.enc.u32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	w.enc.value(unix.NFTA_SET_ELEM_KEY, w.scratch)
	w.enc.b = nfnl.Close(w.enc.b, at)
}

// rest is what an element has beside its key.
func (w *elementWriter) rest(e *Element, open bool) {
	switch {
	case e.Verdict != nil:
		w.enc.verdict(unix.NFTA_SET_ELEM_DATA, e.Verdict)
	case e.Data != nil:
		w.enc.value(unix.NFTA_SET_ELEM_DATA, e.Data)
	}
	if e.Timeout != 0 {
		w.enc.b = nfnl.Put64(w.enc.b, unix.NFTA_SET_ELEM_TIMEOUT, e.Timeout)
	}
	if e.Expires != 0 {
		w.enc.b = nfnl.Put64(w.enc.b, unix.NFTA_SET_ELEM_EXPIRATION, e.Expires)
	}
	var user []byte
	if e.Comment != "" {
		user = putUserText(user, udComment, e.Comment)
	}
	if open {
		user = putUserNumber(user, udElemFlags, udIntervalOpen)
	}
	if user != nil {
		w.enc.b = nfnl.Put(w.enc.b, unix.NFTA_SET_ELEM_USERDATA, user)
	}
}

func allOnes(key []byte) bool {
	return !slices.ContainsFunc(key, func(b byte) bool { return b != 0xff })
}
