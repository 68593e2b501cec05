package qr

import (
	"errors"
	"fmt"
)

// Decode reads the text of a code from its modules, without repairing anything: every check byte has to
// be right. It knows what Encode makes: levels L and M, bytes in one piece.
func Decode(side int, dark func(x, y int) bool) (string, error) {
	version := (side - 17) / 4
	if version < 1 || version > maxVersion || size(version) != side {
		return "", fmt.Errorf("%d modules are no side of a QR code", side)
	}
	if err := finders(side, dark); err != nil {
		return "", err
	}
	level, mask, err := format(side, dark)
	if err != nil {
		return "", err
	}
	data, err := gather(bytesOf(version, mask, dark), int(blocks[level][version-1]), int(checkBytes[level][version-1]))
	if err != nil {
		return "", err
	}
	r := bits{data: data}
	if mode := r.take(4); mode != 4 {
		return "", fmt.Errorf("mode %d is not that of bytes", mode)
	}
	count := 8
	if version >= 10 {
		count = 16
	}
	n := r.take(count)
	if r.at+8*n > 8*len(data) {
		return "", errors.New("the text is longer than the code")
	}
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(r.take(8))
	}
	if left := min(4, 8*len(data)-r.at); r.take(left) != 0 {
		return "", errors.New("something follows the text")
	}
	return string(text), nil
}

// finders looks for the three squares and the timing lines by which a camera finds a code.
func finders(n int, dark func(x, y int) bool) error {
	for _, at := range [][2]int{{0, 0}, {n - 7, 0}, {0, n - 7}} {
		for y := -1; y < 8; y++ {
			for x := -1; x < 8; x++ {
				px, py := at[0]+x, at[1]+y
				if px < 0 || py < 0 || px >= n || py >= n {
					continue
				}
				ring := max(x-3, 3-x, y-3, 3-y)
				if dark(px, py) != (ring <= 1 || ring == 3) {
					return errors.New("a finder pattern is not right")
				}
			}
		}
	}
	for i := 8; i < n-8; i++ {
		if dark(i, 6) != (i%2 == 0) || dark(6, i) != (i%2 == 0) {
			return errors.New("a timing pattern is not right")
		}
	}
	return nil
}

// format reads level and mask, which stand twice (7.9).
func format(n int, dark func(x, y int) bool) (Level, int, error) {
	var one, two int
	bit := func(v *int, i, x, y int) {
		if dark(x, y) {
			*v |= 1 << i
		}
	}
	for i := range 15 {
		switch {
		case i < 6:
			bit(&one, i, 8, i)
		case i < 8:
			bit(&one, i, 8, i+1)
		case i == 8:
			bit(&one, i, 7, 8)
		default:
			bit(&one, i, 14-i, 8)
		}
		if i < 8 {
			bit(&two, i, n-1-i, 8)
		} else {
			bit(&two, i, 8, n-15+i)
		}
	}
	if one != two || !dark(8, n-8) {
		return 0, 0, errors.New("the two copies of the format differ")
	}
	one ^= 0x5412
	rem := one
	for i := 14; i >= 10; i-- {
		if rem>>i&1 != 0 {
			rem ^= 0x537 << (i - 10)
		}
	}
	if rem != 0 {
		return 0, 0, errors.New("the format is damaged")
	}
	level, ok := map[int]Level{1: L, 0: M}[one>>13]
	if !ok {
		return 0, 0, errors.New("the level is neither L nor M")
	}
	return level, one >> 10 & 7, nil
}

// masked are the modules that a mask turns round (7.8.2).
func masked(mask, x, y int) bool {
	switch mask {
	case 0:
		return (x+y)%2 == 0
	case 1:
		return y%2 == 0
	case 2:
		return x%3 == 0
	case 3:
		return (x+y)%3 == 0
	case 4:
		return (y/2+x/3)%2 == 0
	case 5:
		return x*y%2+x*y%3 == 0
	case 6:
		return (x*y%2+x*y%3)%2 == 0
	}
	return ((x+y)%2+x*y%3)%2 == 0
}

// bytesOf walks the data modules: two columns at a time from the right, up and down in turn (7.7.3).
func bytesOf(version, mask int, dark func(x, y int) bool) []byte {
	n, no := size(version), function(version)
	out := make([]byte, total(version))
	at := 0
	up := true
	for right := n - 1; right > 0; right -= 2 {
		if right == 6 {
			right--
		}
		for i := range n {
			y := i
			if up {
				y = n - 1 - i
			}
			for _, x := range []int{right, right - 1} {
				if no(x, y) || at >= 8*len(out) {
					continue
				}
				if dark(x, y) != masked(mask, x, y) {
					out[at/8] |= 0x80 >> (at % 8)
				}
				at++
			}
		}
		up = !up
	}
	return out
}

// gather puts blocks together that were interleaved (7.6), and checks each.
func gather(all []byte, count, check int) ([]byte, error) {
	short := len(all)/count - check
	long := len(all) % count // that many blocks, the last ones, have a byte more
	list := make([][]byte, count)
	at := 0
	for i := range short + 1 {
		for b := range list {
			if i < short || b >= count-long {
				list[b] = append(list[b], all[at])
				at++
			}
		}
	}
	var data []byte
	for _, b := range list {
		data = append(data, b...)
	}
	for range check {
		for b := range list {
			list[b] = append(list[b], all[at])
			at++
		}
	}
	for _, b := range list {
		if !sound(b, check) {
			return nil, errors.New("the check bytes are not right")
		}
	}
	return data, nil
}

// sound reports whether a block is a multiple of the generator: it is zero at the first powers of 2 in
// GF(256) with x^8+x^4+x^3+x^2+1 (7.5.2).
func sound(block []byte, check int) bool {
	root := byte(1)
	for range check {
		var sum byte
		for _, b := range block {
			sum = mul(sum, root) ^ b
		}
		if sum != 0 {
			return false
		}
		root = mul(root, 2)
	}
	return true
}

func mul(a, b byte) byte {
	var out byte
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			out ^= a
		}
		carry := a & 0x80
		if a <<= 1; carry != 0 {
			a ^= 0x1d
		}
	}
	return out
}

type bits struct {
	data []byte
	at   int
}

func (b *bits) take(n int) int {
	v := 0
	for range n {
		v = v<<1 | int(b.data[b.at/8]>>(7-b.at%8)&1)
		b.at++
	}
	return v
}
