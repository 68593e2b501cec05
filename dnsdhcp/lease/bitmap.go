package lease

import "math/bits"

// bitmap is a set of small integers with a fast "next one from here": level 0 has a bit for each integer, each level
// above a bit for each word below that is not zero.
type bitmap struct {
	levels [][]uint64
	count  int
}

// newBitmap returns the full set of 0 to n-1.
func newBitmap(n int) bitmap {
	b := bitmap{count: n}
	for {
		words := make([]uint64, (n+63)/64)
		for i := range words {
			words[i] = ^uint64(0)
		}
		if rest := n % 64; rest != 0 {
			words[len(words)-1] = 1<<rest - 1
		}
		b.levels = append(b.levels, words)
		if n = len(words); n <= 1 {
			return b
		}
	}
}

func (b *bitmap) has(i int) bool { return b.levels[0][i/64]&(1<<(i%64)) != 0 }

func (b *bitmap) add(i int) {
	if b.has(i) {
		return
	}
	b.count++
	for _, words := range b.levels {
		words[i/64] |= 1 << (i % 64)
		i /= 64
	}
}

func (b *bitmap) remove(i int) {
	if !b.has(i) {
		return
	}
	b.count--
	for _, words := range b.levels {
		words[i/64] &^= 1 << (i % 64)
		if words[i/64] != 0 {
			return
		}
		i /= 64
	}
}

// next returns the smallest member that is at least i.
func (b *bitmap) next(i int) (int, bool) {
	level := 0
	for {
		if level == len(b.levels) || i/64 >= len(b.levels[level]) {
			return 0, false
		}
		if word := b.levels[level][i/64] >> (i % 64); word != 0 {
			i += bits.TrailingZeros64(word)
			break
		}
		i = i/64 + 1
		level++
	}
	for ; level > 0; level-- {
		i = i*64 + bits.TrailingZeros64(b.levels[level-1][i])
	}
	return i, true
}
