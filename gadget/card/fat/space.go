package fat

import "fmt"

// take allocates n clusters as a chain, from those that are free now: what this plan
// gives back is in use until it is done.
func (p *planner) take(n int) ([]uint32, error) {
	v := p.v
	chain := make([]uint32, 0, min(n, int(v.clusters)))
	for ; p.at < v.clusters+2 && len(chain) < n; p.at++ {
		if v.get(v.table, p.at) == 0 {
			chain = append(chain, p.at)
		}
	}
	if len(chain) < n {
		return nil, fmt.Errorf("%w: there are %d bytes free, and it takes %d more", ErrFull, v.Free(), (n-len(chain))*v.cluster)
	}
	for i, c := range chain {
		next := v.mask()
		if i+1 < n {
			next = chain[i+1]
		}
		p.point(stageChains, c, next)
		p.last = c
	}
	return chain, nil
}

// point changes an entry of all tables in a stage.
func (p *planner) point(s stage, n, value uint32) {
	v := p.v
	data := v.put(p.table, n, value)
	copy(p.table[int(n)*v.width():], data)
	for _, k := range v.fats {
		p.edit(s, v.fatStart+int64(k)*v.fatSize+int64(n)*int64(v.width()), data)
	}
}

// release gives a file's clusters back, at the end; wiped with zeros at the beginning.
func (p *planner) release(e Entry, wipe bool) error {
	if e.first == 0 {
		return nil
	}
	chain, err := p.v.chain(e.first, int(p.v.clusters))
	if err != nil {
		return err
	}
	for _, c := range chain {
		if wipe {
			p.edit(stageWipe, p.v.at(c), make([]byte, p.v.cluster))
		}
		p.point(stageFree, c, 0)
	}
	return nil
}

// releaseTree gives a folder's clusters back and those of all that is in it. Check
// has seen that it is a tree.
func (p *planner) releaseTree(f *folder, wipe bool) error {
	for _, e := range f.entries {
		if !e.Dir {
			if err := p.release(e, wipe); err != nil {
				return err
			}
			continue
		}
		sub, err := p.folder(e.first)
		if err != nil {
			return err
		}
		if err := p.releaseTree(sub, wipe); err != nil {
			return err
		}
	}
	for _, c := range f.chain {
		p.point(stageFree, c, 0)
	}
	return nil
}

// secret plans zeros for a chain's clusters, and the contents for when an entry leads there.
func (p *planner) secret(chain []uint32, data []byte) {
	for i, c := range chain {
		p.edit(stageData, p.v.at(c), make([]byte, p.v.cluster))
		p.edit(stageFill, p.v.at(c), data[i*p.v.cluster:min(len(data), (i+1)*p.v.cluster)])
	}
}

// contents plans the writes of a chain's clusters, those in a row in one go. The rest
// of the last one is zeros.
func (p *planner) contents(chain []uint32, data []byte) error {
	v := p.v
	for i := 0; i < len(chain); {
		n := 1
		for i+n < len(chain) && chain[i+n] == chain[i]+uint32(n) && n*v.cluster < 1<<20 {
			n++
		}
		s := Step{At: v.at(chain[i]), Fresh: true, Old: make([]byte, n*v.cluster), New: make([]byte, n*v.cluster)}
		copy(s.New, data[i*v.cluster:])
		if err := v.read(s.Old, s.At); err != nil {
			return err
		}
		p.extents = append(p.extents, s)
		i += n
	}
	return nil
}
