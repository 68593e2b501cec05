package main

import (
	"strings"
	"unicode"
)

// A table for a terminal is laid out in one of four ways, the first that fits. None of them cuts or breaks a word: names, addresses and
// keys are there to be copied. A word that is longer than the terminal is left to it.
//
//  1. aligned columns, one line a row: always so where the width is not known, since a pipe's reader wants whole lines
//  2. the same, and cells of several words go on below themselves
//  3. the last column, which is the longest or the least needed in most of our tables, stands below its row
//  4. each row is a paragraph: its first cell, and below it each other one with its heading
const (
	gap    = 2  // columns between two cells
	below  = 4  // how far in stands what belongs to the line above
	narrow = 10 // a column of several words is not made narrower than this
	phrase = 20 // nor is the last one, which often is a sentence, than this
)

// layOut gives the lines of a table. The first row may be its heading; all have as many cells, which are harmless already.
func layOut(rows [][]string, heading bool, width int) []string {
	if len(rows) == 0 {
		return nil
	}
	n := len(rows[0])
	full := natural(rows)
	if width <= 0 || total(full) <= width {
		return aligned(rows, full, width, false)
	}
	if w, ok := squeeze(full, least(rows, full, heading), width); ok {
		return aligned(rows, w, width, false)
	}
	if n > 2 {
		short := make([][]string, len(rows))
		for i, r := range rows {
			short[i] = r[:n-1]
		}
		full = full[:n-1]
		if w, ok := squeeze(full, least(short, full, heading), width); ok {
			return aligned(rows, w, width, true)
		}
	}
	return stacked(rows, heading, width)
}

// natural is how wide the columns are when nothing is wrapped.
func natural(rows [][]string) []int {
	out := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			out[i] = max(out[i], columns(c))
		}
	}
	return out
}

func total(widths []int) int {
	n := -gap
	for _, w := range widths {
		n += w + gap
	}
	return n
}

// least is how narrow the columns may become: their longest words fit, and what stands in them can be read.
func least(rows [][]string, full []int, heading bool) []int {
	out := make([]int, len(full))
	for r, row := range rows {
		for i, c := range row {
			first := len(c) - len(strings.TrimLeft(c, " "))
			for _, word := range strings.Fields(c) {
				out[i] = max(out[i], first+columns(word))
				first = 0
			}
			readable := narrow
			if i == len(row)-1 {
				readable = phrase
			}
			if r > 0 || !heading {
				out[i] = max(out[i], min(columns(c), readable))
			}
		}
	}
	return out
}

// squeeze takes from the widest column until all fit into width.
func squeeze(full, least []int, width int) ([]int, bool) {
	w := append([]int(nil), full...)
	for over := total(w) - width; over > 0; over-- {
		widest := -1
		for i := range w {
			if w[i] > least[i] && (widest < 0 || w[i] > w[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return nil, false
		}
		w[widest]--
	}
	return w, true
}

// aligned puts the cells below each other; hang: the last one stands below its row.
func aligned(rows [][]string, widths []int, width int, hang bool) []string {
	var out []string
	for len(rows) > 0 {
		r := rows[0]
		n := len(r) - 1
		room := width - below
		if !hang {
			room = widths[n]
		}
		// What has nothing but a last cell goes on with that of the row above.
		last := fold(r[n], room)
		for rows = rows[1:]; len(rows) > 0 && strings.Join(rows[0][:n], "") == "" && n > 0; rows = rows[1:] {
			last = append(last, fold(rows[0][n], room)...)
		}
		cells, height := make([][]string, n, n+1), 1
		for i, c := range r[:n] {
			cells[i] = fold(c, widths[i])
			height = max(height, len(cells[i]))
		}
		if !hang {
			cells = append(cells, last)
			height = max(height, len(last))
			last = nil
		}
		for line := range height {
			var b strings.Builder
			at := 0
			for i, c := range cells {
				if line < len(c) {
					b.WriteString(c[line])
					at = columns(c[line])
				} else {
					at = 0
				}
				if i < len(cells)-1 {
					b.WriteString(strings.Repeat(" ", max(0, widths[i]-at)+gap))
				}
			}
			out = append(out, strings.TrimRight(b.String(), " "))
		}
		for _, l := range last {
			out = append(out, strings.Repeat(" ", below)+l)
		}
	}
	return out
}

// stacked makes a paragraph of each row.
func stacked(rows [][]string, heading bool, width int) []string {
	var names, out []string
	if heading {
		names, rows = rows[0], rows[1:]
	}
	for _, r := range rows {
		for i, c := range r {
			if c == "" {
				continue
			}
			if i > 0 {
				if heading && names[i] != "" {
					c = names[i] + ": " + c
				}
				c = strings.Repeat(" ", below) + c
			}
			out = append(out, strings.Split(wrap(c, width), "\n")...)
		}
	}
	return out
}

// fold breaks text at blanks into lines of at most width columns; none of an empty one. A word that is longer stays whole, and so do
// blanks, which a name may have, but for those at a break.
func fold(s string, width int) []string {
	if s == "" {
		return nil
	}
	if columns(s) <= width {
		return []string{s}
	}
	var out []string
	line := ""
	for _, word := range strings.SplitAfter(s, " ") {
		bare := strings.TrimRight(word, " ")
		if text := strings.TrimRight(line, " "); text != "" && bare != "" && columns(line+bare) > width {
			out = append(out, text)
			line = ""
		}
		line += word
	}
	return append(out, strings.TrimRight(line, " "))
}

// runeColumns is how many columns a terminal gives to a printable character: two to those of East Asia and to pictures (Unicode Standard
// Annex 11, "W" and "F", by their blocks), none to marks that are set on the one before.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me), r == 0x200d, r >= 0xfe00 && r <= 0xfe0f:
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf && r != 0x303f, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1f64f,
		r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f900 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
