package bootfile

import (
	"slices"
	"strconv"
	"strings"
)

// Answer is yes, no or unknown.
type Answer string

// Answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Board is a Raspberry Pi as far as config.txt cares.
type Board struct {
	Name    string   // "Raspberry Pi Zero W"
	Filters []string // the model filters that it sees: pi0, pi0w
	Type    int      // of its revision code (raspberry-pi/revision-codes), for board-type=; -1 unknown
	Serial  string   // hexadecimal; empty when unknown
	// Device says whether it has a port on which it can be a USB device.
	Device Answer
	// PD: its port is USB-C and is also the power supply.
	PD bool
	// XHCI: otg_mode=1 gives the port to the xHCI controller (BCM2711).
	XHCI bool
}

// known is a model.
type known struct {
	model  string
	filter string // separated by blanks
	kind   int
	device Answer
	pd     bool
	xhci   bool
}

// boards are known by how their device-tree model begins; a longer name stands
// before a shorter one that it begins with.
var boards = []known{
	{"Raspberry Pi Zero 2 W", "pi0 pi0w pi02", 0x12, Yes, false, false},
	{"Raspberry Pi Zero W", "pi0 pi0w", 0x0c, Yes, false, false},
	{"Raspberry Pi Zero", "pi0", 0x09, Yes, false, false},
	{"Raspberry Pi 500", "pi5 pi500", 0x19, Yes, true, false},
	{"Raspberry Pi 5", "pi5", 0x17, Yes, true, false},
	{"Raspberry Pi Compute Module 5 Lite", "pi5 cm5", 0x1a, Yes, true, false},
	{"Raspberry Pi Compute Module 5", "pi5 cm5", 0x18, Yes, true, false},
	{"Raspberry Pi 400", "pi4 pi400", 0x13, Yes, true, true},
	{"Raspberry Pi 4", "pi4", 0x11, Yes, true, true},
	{"Raspberry Pi Compute Module 4S", "pi4 cm4s", 0x15, Yes, false, true},
	{"Raspberry Pi Compute Module 4", "pi4 cm4", 0x14, Yes, false, true},
	{"Raspberry Pi Compute Module 3 Plus", "pi3", 0x10, Yes, false, false},
	{"Raspberry Pi Compute Module 3", "pi3", 0x0a, Yes, false, false},
	{"Raspberry Pi Compute Module", "pi1", 0x06, Yes, false, false},
	{"Raspberry Pi 3 Model A Plus", "pi3 pi3+", 0x0e, Yes, false, false},
	{"Raspberry Pi 3 Model B Plus", "pi3 pi3+", 0x0d, No, false, false},
	{"Raspberry Pi 3 Model B", "pi3", 0x08, No, false, false},
	{"Raspberry Pi 2 Model B", "pi2", 0x04, No, false, false},
	{"Raspberry Pi Model A Plus", "pi1", 0x02, Yes, false, false},
	{"Raspberry Pi Model A", "pi1", 0x00, Yes, false, false},
	{"Raspberry Pi Model B Plus", "pi1", 0x03, No, false, false},
	{"Raspberry Pi Model B", "pi1", 0x01, No, false, false},
}

// BoardOf knows a board by its device-tree model (facts.Machine.Board) and serial
// number. ok is false for what is no Raspberry Pi that is known here; filters by
// model are then Unknown.
func BoardOf(model, serial string) (Board, bool) {
	for _, b := range boards {
		if rest, ok := strings.CutPrefix(model, b.model); ok && (rest == "" || rest[0] == ' ') {
			return Board{b.model, strings.Fields(b.filter), b.kind, serial, b.device, b.pd, b.xhci}, true
		}
	}
	return Board{Name: model, Type: -1, Serial: serial, Device: Unknown}, false
}

// modelFilter tells filters by model from the others.
func modelFilter(f string) bool {
	return f == "cm0" || slices.ContainsFunc(boards, func(k known) bool { return slices.Contains(strings.Fields(k.filter), f) })
}

// sees reports whether what stands under a filter counts on the board, and the sort
// of the filter: those of one sort replace each other.
func (b Board) sees(f string) (sort string, a Answer) {
	key, value, _ := strings.Cut(f, "=")
	switch {
	case f == "none":
		return "none", No
	case modelFilter(f):
		if b.Type < 0 {
			return "model", Unknown
		}
		return "model", answer(slices.Contains(b.Filters, f))
	case key == "board-type":
		n, err := strconv.ParseUint(value, 0, 16)
		if err != nil || b.Type < 0 {
			return "model", Unknown
		}
		return "model", answer(int(n) == b.Type)
	case strings.HasPrefix(f, "0x"):
		want, err1 := strconv.ParseUint(f[2:], 16, 64)
		have, err2 := strconv.ParseUint(b.Serial, 16, 64)
		if err1 != nil || err2 != nil {
			return "serial", Unknown
		}
		return "serial", answer(want == have)
	case f == "tryboot":
		return "tryboot", No // a boot that was asked for by reboot '0 tryboot', once
	}
	sort, _, _ = strings.Cut(key, ":")
	return strings.TrimRight(sort, "0123456789"), Unknown // gpio4, EDID, HDMI:0, partition ...
}

func answer(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

// section is the filters in force.
type section map[string]filter

type filter struct {
	text string
	a    Answer
}

// enter applies a filter line.
func (s section) enter(b Board, f string) {
	if f == "all" {
		clear(s)
		return
	}
	sort, a := b.sees(f)
	s[sort] = filter{f, a}
}

// counts says whether what stands here counts, and the filters that decide it.
func (s section) counts() (Answer, string) {
	a, by := Yes, ""
	for _, k := range keys(s) {
		switch f := s[k]; f.a {
		case No:
			if f.text == "none" && len(s) > 1 {
				// Whether a further filter lifts [none] is not documented.
				return Unknown, "[none] and other filters after it"
			}
			a, by = No, "["+f.text+"]"
		case Unknown:
			if a == Yes {
				a, by = Unknown, "["+f.text+"]"
			}
		}
	}
	return a, by
}

func keys(s section) []string {
	out := make([]string, 0, len(s))
	for k := range s {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
