package main

import "strings"

// edit is one line of a difference: kept (' '), taken away ('-') or added ('+').
type edit struct {
	op   byte
	line string
}

// maxTable bounds the table of lineDiff in cells; larger texts are compared by their
// common beginning and end alone.
const maxTable = 1 << 20

// lineDiff is the shortest way from a to b in lines.
func lineDiff(a, b []string) []edit {
	var out, tail []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		out = append(out, edit{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		tail = append([]edit{{' ', a[len(a)-1]}}, tail...)
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if (len(a)+1)*(len(b)+1) > maxTable {
		for _, l := range a {
			out = append(out, edit{'-', l})
		}
		for _, l := range b {
			out = append(out, edit{'+', l})
		}
		return append(out, tail...)
	}
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, edit{' ', a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, edit{'-', a[i]})
			i++
		default:
			out = append(out, edit{'+', b[j]})
			j++
		}
	}
	return append(out, tail...)
}

// drawLines shows the lines that differ between two texts, each change with one line
// around it.
func drawLines(p *page, have, want string) {
	edits := lineDiff(splitLines(have), splitLines(want))
	changed := func(i int) bool { return i >= 0 && i < len(edits) && edits[i].op != ' ' }
	gap := false
	for i, e := range edits {
		switch {
		case e.op == '-':
			p.verbatim("    %s %s", p.red("-"), e.line)
		case e.op == '+':
			p.verbatim("    %s %s", p.green("+"), e.line)
		case changed(i-1) || changed(i+1):
			if gap && !changed(i-1) {
				p.verbatim("      %s", p.dim("..."))
			}
			p.verbatim("      %s", p.dim(e.line))
		default:
			gap = true
			continue
		}
		gap = false
	}
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}
