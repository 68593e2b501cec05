package strict

import (
	"fmt"
	"sort"
	"strings"
)

// suggest names the known key that was probably meant, or lists the known ones.
func suggest(got string, fields []field) string {
	best, at := "", 3
	names := make([]string, 0, len(fields))
	for i := range fields {
		names = append(names, fields[i].name)
	}
	sort.Strings(names)
	for _, name := range names {
		if d := distance(strings.ToLower(got), name); d < at {
			best, at = name, d
		}
	}
	if best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return " (known: " + strings.Join(names, ", ") + ")"
}

// distance is the Levenshtein distance, good enough for keys; longer input is
// never similar.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, prev+cost)
			prev, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
