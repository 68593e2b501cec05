package lease

import "github.com/provision-net/provision/dnsdhcp/clock"

// deadlines is a binary heap of entries by Expiry. Entries know their place, so that a renewal moves one in log n.
type deadlines []*entry

// set puts e where its Expiry belongs, or takes it out if that is Forever.
func (h *deadlines) set(e *entry) {
	if e.Expiry == Forever {
		h.remove(e)
		return
	}
	if e.pos < 0 {
		e.pos = int32(len(*h))
		*h = append(*h, e)
	}
	if !h.up(int(e.pos)) {
		h.down(int(e.pos))
	}
}

func (h *deadlines) remove(e *entry) {
	if e.pos < 0 {
		return
	}
	i, last := int(e.pos), len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	e.pos = -1
	if i < last && !h.up(i) {
		h.down(i)
	}
}

// due returns the first entry if its time has come.
func (h deadlines) due(now clock.Instant) *entry {
	if len(h) == 0 || h[0].Expiry > now {
		return nil
	}
	return h[0]
}

func (h deadlines) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i), int32(j)
}

func (h deadlines) up(i int) bool {
	moved := false
	for i > 0 && h[i].Expiry < h[(i-1)/2].Expiry {
		h.swap(i, (i-1)/2)
		i, moved = (i-1)/2, true
	}
	return moved
}

func (h deadlines) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(h); c++ {
			if h[c].Expiry < h[least].Expiry {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
