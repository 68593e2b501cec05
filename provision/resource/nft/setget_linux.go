package nft

import (
	"slices"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// readSet reads NFT_MSG_NEWSET. ok is false for what has no name or table.
func readSet(b []byte) (table string, s Set, ok bool) {
	var a attrs
	a.read(b)
	table, s.Name = a.text(unix.NFTA_SET_TABLE), a.text(unix.NFTA_SET_NAME)
	flags := a.opt(unix.NFTA_SET_FLAGS)
	s.Interval = flags&unix.NFT_SET_INTERVAL != 0
	s.Anonymous = flags&unix.NFT_SET_ANONYMOUS != 0
	s.Learnt = flags&(unix.NFT_SET_TIMEOUT|unix.NFT_SET_EVAL) != 0 && !s.Anonymous
	s.Key = typeNames(a.opt(unix.NFTA_SET_KEY_TYPE), int(a.u32(unix.NFTA_SET_KEY_LEN)))
	switch {
	case flags&unix.NFT_SET_OBJECT != 0:
		s.Data = []string{"object"}
	case flags&unix.NFT_SET_MAP == 0:
	case a.opt(unix.NFTA_SET_DATA_TYPE) == nftDataVerdict:
		s.Data = []string{TypeVerdict}
	default:
		s.Data = typeNames(a.opt(unix.NFTA_SET_DATA_TYPE), int(a.opt(unix.NFTA_SET_DATA_LEN)))
	}
	s.Timeout = a.opt64(unix.NFTA_SET_TIMEOUT)
	if a.has(unix.NFTA_SET_DESC) {
		var desc attrs
		a.in(unix.NFTA_SET_DESC, &desc)
		s.Size = desc.opt(unix.NFTA_SET_DESC_SIZE)
	}
	s.Comment = userText(a.tb[unix.NFTA_SET_USERDATA], udSetComment)
	return table, s, !a.odd && s.Name != ""
}

// elementReader collects the elements of one set from many messages.
type elementReader struct {
	set    *Set
	starts []Element
	ends   [][]byte
	slab   []byte
}

// keep copies bytes into a piece of memory that many share.
func (r *elementReader) keep(b []byte) []byte {
	if len(b) > cap(r.slab)-len(r.slab) {
		r.slab = make([]byte, 0, max(min(max(2*cap(r.slab), 64), 32<<10), len(b))) // most sets are small
	}
	at := len(r.slab)
	r.slab = append(r.slab, b...)
	return r.slab[at:len(r.slab):len(r.slab)]
}

// message reads NFT_MSG_NEWSETELEM.
func (r *elementReader) message(b []byte) error {
	var tb [unix.NFTA_SET_ELEM_LIST_ELEMENTS + 1][]byte
	if err := nfnl.Fill(tb[:], b); err != nil {
		return err
	}
	return nfnl.Each(tb[unix.NFTA_SET_ELEM_LIST_ELEMENTS], func(_ uint16, data []byte) error { return r.element(data) })
}

func (r *elementReader) element(b []byte) error {
	var a attrs
	a.read(b)
	flags := a.opt(unix.NFTA_SET_ELEM_FLAGS)
	var e Element
	if flags&elemCatchall == 0 {
		key, err := r.value(a.tb[unix.NFTA_SET_ELEM_KEY])
		if err != nil || len(key) == 0 {
			return nfnl.ErrMessage
		}
		e.Key = key
	}
	if flags&unix.NFT_SET_ELEM_INTERVAL_END != 0 {
		if e.Key != nil {
			r.ends = append(r.ends, e.Key)
		}
		return nil
	}
	if to := a.tb[nftaSetElemKeyEnd]; to != nil {
		var err error
		if e.To, err = r.value(to); err != nil {
			return err
		}
		if slices.Equal(e.To, e.Key) {
			e.To = nil
		}
	}
	if data := a.tb[unix.NFTA_SET_ELEM_DATA]; data != nil {
		if r.set.verdicts() {
			e.Verdict = a.verdict(unix.NFTA_SET_ELEM_DATA)
		} else if v, err := r.value(data); err == nil {
			e.Data = v
		}
	}
	e.Timeout, e.Expires = a.opt64(unix.NFTA_SET_ELEM_TIMEOUT), a.opt64(unix.NFTA_SET_ELEM_EXPIRATION)
	if u := a.tb[unix.NFTA_SET_ELEM_USERDATA]; u != nil {
		e.Comment = userText(u, udComment)
	}
	if a.odd {
		return nfnl.ErrMessage
	}
	r.starts = append(r.starts, e)
	return nil
}

func (r *elementReader) value(b []byte) ([]byte, error) {
	var tb [unix.NFTA_DATA_VALUE + 1][]byte
	if err := nfnl.Fill(tb[:], b); err != nil {
		return nil, err
	}
	if tb[unix.NFTA_DATA_VALUE] == nil {
		return nil, nil
	}
	return r.keep(tb[unix.NFTA_DATA_VALUE]), nil
}

// elements are what was read, sorted.
func (r *elementReader) elements() []Element {
	if r.set.Interval && !r.set.ranged() {
		return joinIntervals(r.starts, r.ends)
	}
	slices.SortFunc(r.starts, compareElements)
	return r.starts
}
