package bootfile

import (
	"strconv"
	"strings"
)

// mark begins what this program appends and says how many lines follow; joint says
// that the text before it had no line end of its own, so that taking the lines away
// gives back every byte.
const (
	mark  = "# added by provision: lines "
	joint = " and the line end before"
)

// marked reads such a line.
func marked(s string) (n int, joined, ok bool) {
	s, ok = strings.CutPrefix(s, mark)
	if !ok {
		return 0, false, false
	}
	s, joined = strings.CutSuffix(s, joint)
	n, err := strconv.Atoi(s)
	return n, joined, err == nil && n > 0 && n < 100
}

// EnsureOverlay makes an overlay with these parameters ("dr_mode=peripheral") count
// on every board: where the last word on it is not already that, it appends the line
// under [all]. Doing it again changes nothing; RemoveAdded takes it back.
func EnsureOverlay(text, name string, params ...string) (string, bool) {
	line := "dtoverlay=" + name
	for _, p := range params {
		line += "," + p
	}
	return ensure(text, []string{line}, func(l Line) bool {
		if l.Key != "dtoverlay" {
			return l.Key == "dtparam" && has(parameters(l.Value), "dr_mode") && name == "dwc2"
		}
		n, _ := overlay(l.Value)
		return n == name
	})
}

// EnsurePeripheral makes the USB controller of any board a device: the overlay dwc2
// with dr_mode=peripheral, and otg_mode=0 where the file says otg_mode=1 somewhere.
func EnsurePeripheral(text string) (string, bool) {
	bare, _ := RemoveAdded(text)
	want := []string{"dtoverlay=dwc2,dr_mode=peripheral"}
	for _, l := range ParseConfig(bare) {
		if l.Kind == Setting && l.Key == "otg_mode" && l.Value == "1" {
			want = append(want, "otg_mode=0")
			break
		}
	}
	return ensure(text, want, func(l Line) bool {
		switch l.Key {
		case "dtoverlay":
			n, _ := overlay(l.Value)
			return n == "dwc2" || n == "dwc-otg" || strings.HasPrefix(n, "upstream")
		case "dtparam":
			return has(parameters(l.Value), "dr_mode")
		}
		return l.Key == "otg_mode"
	})
}

// ensure appends lines unless they are, in this order, the last ones that speak of
// the same thing, and stand under no filter.
func ensure(text string, want []string, same func(Line) bool) (string, bool) {
	last := make([]string, 0, len(want))
	filtered, included := false, false
	for _, l := range ParseConfig(text) {
		switch {
		case l.Kind == Filter:
			filtered = l.Key != "all"
		case l.Kind == Include:
			included = true // what is in it may speak of it too
		case l.Kind == Setting && same(l):
			s := strings.TrimSpace(text[l.Start:l.End])
			if filtered || l.Cut {
				s = ""
			}
			last, included = append(last, s), false
		}
	}
	if n := len(last) - len(want); n >= 0 && !included {
		equal := true
		for i, w := range want {
			equal = equal && last[n+i] == w
		}
		if equal {
			return text, false
		}
	}
	base, _ := RemoveAdded(text)
	eol := endOfLine(base)
	m := mark + strconv.Itoa(len(want)+1)
	if base != "" && !strings.HasSuffix(base, "\n") {
		base += eol
		m += joint
	}
	return base + m + eol + "[all]" + eol + strings.Join(want, eol) + eol, true
}

// RemoveAdded takes away what EnsureOverlay and EnsurePeripheral appended, wherever
// it stands now, and reports whether there was any. Lines that somebody wrote after
// it keep the filter under which they stand.
func RemoveAdded(text string) (string, bool) {
	var out strings.Builder
	lines := ParseConfig(text)
	changed, filtered := false, false
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		if l.Kind == Filter {
			filtered = l.Key != "all"
		}
		n, joined, ok := marked(strings.TrimRight(text[l.Start:l.End], "\r\n"))
		if !ok || i+n >= len(lines) || !ours(lines[i+1:i+1+n]) {
			out.WriteString(text[l.Start:l.End])
			continue
		}
		changed = true
		all := lines[i+1]
		i += n
		switch {
		case joined && i+1 == len(lines):
			// The line end before the mark was ours as well.
			t := strings.TrimSuffix(out.String(), "\n")
			if endOfLine(text) == "\r\n" {
				t = strings.TrimSuffix(t, "\r")
			}
			out.Reset()
			out.WriteString(t)
		case filtered && settings(lines[i+1:]):
			out.WriteString(text[all.Start:all.End])
			filtered = false
		}
	}
	return out.String(), changed
}

// ours reports whether lines look like what ensure appends; what somebody changed
// is theirs.
func ours(lines []Line) bool {
	if lines[0].Kind != Filter || lines[0].Key != "all" || len(lines) < 2 {
		return false
	}
	for _, l := range lines[1:] {
		if l.Kind != Setting || l.Key != "dtoverlay" && l.Key != "otg_mode" {
			return false
		}
	}
	return true
}

// settings reports whether a line before the next filter means something.
func settings(lines []Line) bool {
	for _, l := range lines {
		switch l.Kind {
		case Filter:
			return false
		case Setting, Include, Other:
			return true
		}
	}
	return false
}
