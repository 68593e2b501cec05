package fat

import (
	"encoding/binary"
	"slices"
	"sort"
)

// stage is a step of which everything is on the card before anything of the next one:
// their order is what keeps an interruption harmless.
type stage int

const (
	stageDirty     stage = iota // it is in use: both dirty bits
	stageWipe                   // zeros over secrets that go or are replaced, while their entries still lead to them
	stageData                   // contents, to clusters that were free
	stageChains                 // the tables know the new chains, which nobody leads to yet
	stageLink                   // folders that became longer lead to their new cluster, of zeros
	stageNames                  // long names, which without their entry mean nothing
	stageEntries                // entries: from here on there are the new files
	stageFill                   // secrets, to files that are zeros until now
	stageGone                   // what is removed
	stageGoneNames              // its long names
	stageFree                   // the tables know what is free now
	stageInfo                   // FSInfo
	stageTables                 // not in use, say the tables
	stageClean                  // and the boot sector: the last word, so that it is dirty while tables may differ
	stages
)

// Step is one write.
type Step struct {
	At       int64 // bytes from the beginning of the volume
	Old, New []byte
	// Fresh: what was there before belonged to nobody, so that it need not be the same
	// any more when the step is done or gone back on.
	Fresh bool
	stage stage
}

// finish turns the edits into steps.
func (p *planner) finish() (*Plan, error) {
	v := p.v
	for _, f := range p.fresh {
		if err := p.contents(f.chain, f.raw); err != nil {
			return nil, err
		}
	}
	out := &Plan{Size: v.size, sector: v.sector}
	if len(p.extents) == 0 && p.idle() {
		return out, nil
	}
	p.mark()
	p.account()
	over := map[int64][]byte{} // sectors as they are after the stages so far
	for s := range stages {
		if s == stageData {
			for _, e := range p.extents {
				e.stage = s
				out.Steps = append(out.Steps, e)
			}
		}
		steps, err := p.sectors(s, over)
		if err != nil {
			return nil, err
		}
		out.Steps = append(out.Steps, steps...)
	}
	return out, nil
}

func (p *planner) idle() bool {
	for _, e := range p.edits {
		if len(e) > 0 {
			return false
		}
	}
	return true
}

// mark sets the dirty bits, and puts them back at the end. A file system that was
// dirty before stays so: what it waits for has not been done.
func (p *planner) mark() {
	v := p.v
	state := v.boot[v.state]
	p.edit(stageDirty, v.state, []byte{state | 1})
	p.edit(stageClean, v.state, []byte{state})
	one := v.get(v.table, 1)
	p.point(stageDirty, 1, one&^v.clean())
	p.point(stageTables, 1, one)
}

// account corrects FSInfo, where there is one.
func (p *planner) account() {
	v := p.v
	if v.info == 0 {
		return
	}
	p.edit(stageInfo, v.info+488, binary.LittleEndian.AppendUint32(nil, v.free(p.table)))
	if p.last != 0 {
		p.edit(stageInfo, v.info+492, binary.LittleEndian.AppendUint32(nil, p.last))
	}
}

// sectors are the sectors that a stage changes, in ascending order.
func (p *planner) sectors(s stage, over map[int64][]byte) ([]Step, error) {
	size := int64(p.v.sector)
	before := map[int64][]byte{}
	for _, e := range p.edits[s] {
		for done := 0; done < len(e.data); {
			at := e.at + int64(done)
			n := at / size
			if over[n] == nil {
				over[n] = make([]byte, size)
				if err := p.v.read(over[n], n*size); err != nil {
					return nil, err
				}
			}
			if before[n] == nil {
				before[n] = slices.Clone(over[n])
			}
			done += copy(over[n][at%size:], e.data[done:])
		}
	}
	var out []Step
	order := make([]int64, 0, len(before))
	for n := range before {
		order = append(order, n)
	}
	sort.Slice(order, func(i, k int) bool { return order[i] < order[k] })
	for _, n := range order {
		if !slices.Equal(before[n], over[n]) {
			// Zeros for a longer folder go to a cluster that was nobody's, and are no
			// contents: what comes there later is checked like any other sector.
			out = append(out, Step{At: n * size, Old: before[n], New: slices.Clone(over[n]), stage: s})
		}
	}
	return out, nil
}
