package qr

// Numbers of ISO/IEC 18004:2015 table 9, by level and version.
var (
	checkBytes = [2][maxVersion]byte{
		{7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30},
		{10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28},
	}
	blocks = [2][maxVersion]byte{
		{1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19, 19, 20, 21, 22, 24, 25},
		{1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49},
	}
)

// centres are the middles of alignment patterns in each direction (annex E).
func centres(version int) []int {
	if version == 1 {
		return nil
	}
	n := version/7 + 2
	step := 2 * ((version*4 + n*2 + 1) / (2*n - 2)) // even, rounded up
	if version == 32 {
		step = 26 // the one that follows no rule
	}
	out := make([]int, n)
	out[0] = 6
	for i, at := n-1, size(version)-7; i > 0; i, at = i-1, at-step {
		out[i] = at
	}
	return out
}

// function reports whether a module is no data: finders with their borders and the format beside them,
// timing, alignment, version.
func function(version int) func(x, y int) bool {
	n, mid := size(version), centres(version)
	return func(x, y int) bool {
		switch {
		case x < 9 && y < 9, x >= n-8 && y < 9, x < 9 && y >= n-8, x == 6, y == 6:
			return true
		case version >= 7 && (x < 6 && y >= n-11 || y < 6 && x >= n-11):
			return true
		}
		near := func(v int) int {
			for _, c := range mid {
				if v >= c-2 && v <= c+2 {
					return c
				}
			}
			return 0
		}
		cx, cy := near(x), near(y)
		// None stands on a finder.
		return cx != 0 && cy != 0 && (cx != 6 || cy != 6) && (cx != 6 || cy != n-7) && (cx != n-7 || cy != 6)
	}
}

// codewords is how many bytes a version has, data and check.
func codewords(version int) int {
	n := size(version)
	no, count := function(version), 0
	for y := range n {
		for x := range n {
			if !no(x, y) {
				count++
			}
		}
	}
	return count / 8
}

// total is codewords in closed form (ISO/IEC 18004 7.10 counts the same).
func total(version int) int {
	n := (16*version+128)*version + 64
	if version >= 2 {
		align := version/7 + 2
		n -= (25*align-10)*align - 55
		if version >= 7 {
			n -= 36
		}
	}
	return n / 8
}

// capacity is how many bytes of text fit: mode and length take 12 bits, from version 10 on 20.
func capacity(version int, l Level) int {
	data := total(version) - int(checkBytes[l][version-1])*int(blocks[l][version-1])
	if version < 10 {
		return (data*8 - 12) / 8
	}
	return (data*8 - 20) / 8
}
