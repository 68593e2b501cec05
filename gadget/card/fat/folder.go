package fat

import (
	"fmt"
	"strings"
)

// folder is a directory in the making.
type folder struct {
	v       *Volume
	first   uint32
	chain   []uint32     // empty for FAT16's root
	raw     []byte       // its slots as they will be
	entries []Entry      // what will be there
	end     int          // the slot at which the directory ends
	leaving map[int]bool // slots of what is removed: they are not free before that is done
	written map[int]bool // slots of entries that lead to something new by now
	fresh   bool         // made by this plan: it is written whole
}

// folder loads a directory once.
func (p *planner) folder(first uint32) (*folder, error) {
	if f, ok := p.folders[first]; ok {
		return f, nil
	}
	chain, err := p.v.folderChain(first)
	if err != nil {
		return nil, err
	}
	raw, err := p.v.rawFolder(first)
	if err != nil {
		return nil, err
	}
	f := &folder{v: p.v, first: first, chain: chain, raw: raw, entries: p.v.parse(raw), leaving: map[int]bool{}, written: map[int]bool{}}
	for f.end < f.count() && raw[f.end*slotSize] != 0 {
		f.end++
	}
	p.folders[first] = f
	return f, nil
}

func (f *folder) count() int { return len(f.raw) / slotSize }

// slots are n slots from one on.
func (f *folder) slots(i, n int) []byte { return f.raw[i*slotSize:][:n*slotSize] }

// at is where a slot is on the volume.
func (f *folder) at(slot int) int64 {
	if len(f.chain) == 0 {
		return f.v.rootStart + int64(slot)*slotSize
	}
	per := f.v.cluster / slotSize
	return f.v.at(f.chain[slot/per]) + int64(slot%per)*slotSize
}

// taken reports whether a short name cannot be given to something new: it is
// somebody's short name, or looks like somebody's long one.
func (f *folder) taken(s short) bool {
	for _, e := range f.entries {
		if e.raw == s || strings.EqualFold(e.Name, s.text(0)) {
			return true
		}
	}
	return false
}

func (f *folder) forget(e Entry) {
	for i := range f.entries {
		if f.entries[i].slot == e.slot {
			f.entries = append(f.entries[:i:i], f.entries[i+1:]...)
			break
		}
	}
	for i := e.from; i <= e.slot; i++ {
		f.leaving[i] = true
	}
}

// set changes a slot in a stage.
func (p *planner) set(f *folder, s stage, slot int, data []byte) {
	copy(f.slots(slot, 1), data)
	if !f.fresh {
		p.edit(s, f.at(slot), data)
	}
}

// room finds n free slots in a row, and makes the folder longer where there are none.
func (p *planner) room(f *folder, n int) (int, error) {
	run := 0
	for i := range f.count() {
		if i >= f.end || f.raw[i*slotSize] == gone && !f.leaving[i] {
			if run++; run == n {
				return i - n + 1, nil
			}
			continue
		}
		run = 0
	}
	at := f.count() - run
	for f.count() < at+n {
		if err := p.longer(f); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// longer gives a folder one more cluster, of zeros.
func (p *planner) longer(f *folder) error {
	if len(f.chain) == 0 {
		return fmt.Errorf("%w: the root folder has room for %d entries, and no more", ErrFull, f.count())
	}
	if f.count()+p.v.cluster/slotSize > maxSlots {
		return fmt.Errorf("%w: a folder has room for %d entries, and no more", ErrFull, maxSlots)
	}
	more, err := p.take(1)
	if err != nil {
		return err
	}
	if !f.fresh {
		p.edit(stageData, p.v.at(more[0]), make([]byte, p.v.cluster))
	}
	p.point(stageLink, f.chain[len(f.chain)-1], more[0])
	f.chain = append(f.chain[:len(f.chain):len(f.chain)], more...)
	f.raw = append(f.raw, make([]byte, p.v.cluster)...)
	return nil
}
