package bootfile

import (
	"path"
	"strings"
)

// Mode is what config.txt makes of the USB controller that can be a device.
type Mode string

// Modes.
const (
	ModePeripheral Mode = "peripheral" // always a device
	ModeOTG        Mode = "otg"        // device or host, as the ID pin or the role switch says
	ModeHost       Mode = "host"       // dr_mode=host
	ModeXHCI       Mode = "xhci"       // otg_mode=1: the port belongs to another controller
	ModeNone       Mode = "none"       // no overlay dwc2: the kernel's host driver, or none at all
)

// Place is a line of a boot file.
type Place struct {
	File string `json:"file"` // its name beside config.txt
	Line int    `json:"line"` // from 1
	Text string `json:"text"` // the line without its end
}

// Note is a line that speaks of the USB controller and what becomes of it.
type Note struct {
	Place
	Counts Answer `json:"counts"`
	Says   string `json:"says"` // why it does not count, or what it does
}

// USB is what the boot files say about the USB controller.
type USB struct {
	// Device says whether the controller can be a USB device: Yes for ModePeripheral
	// and ModeOTG. Unknown where it hangs on a filter that cannot be judged from here.
	Device Answer `json:"device"`
	Mode   Mode   `json:"mode"`
	// By is the line that decides, absent for ModeNone.
	By *Place `json:"by,omitempty"`
	// Notes are all the lines that speak of the controller, in reading order.
	Notes []Note `json:"notes,omitempty"`
}

// maxDepth of includes; maxLines of all files together.
const (
	maxDepth = 8
	maxLines = 20000
)

// ReadUSB says what config.txt, with the files that it includes, makes of the
// controller on a board. files holds the texts by their names beside config.txt
// ("config.txt", "usercfg.txt").
func ReadUSB(files map[string]string, b Board) USB {
	w := walk{files: files, board: b, section: section{}, mode: ModeNone}
	w.file("config.txt", 0)
	u := USB{Mode: w.mode, By: w.by, Notes: w.notes, Device: No}
	if w.xhci != nil {
		u.Mode, u.By = ModeXHCI, w.xhci
	}
	switch {
	case w.xhci != nil && !w.unsureXHCI:
	case w.unsureXHCI || w.unsureMode:
		u.Device = Unknown
	case u.Mode.device():
		u.Device = Yes
	}
	return u
}

type walk struct {
	files   map[string]string
	board   Board
	section section
	lines   int

	current string // the overlay that dtparam speaks to
	mode    Mode
	by      *Place
	xhci    *Place
	// What hangs on a filter that cannot be judged.
	unsureMode, unsureXHCI bool
	notes                  []Note
	// For Bits.
	kernel, wide string
	unsureBits   bool
}

func (w *walk) file(name string, depth int) {
	text, ok := w.files[name]
	if !ok || depth > maxDepth {
		return
	}
	for _, l := range ParseConfig(text) {
		if w.lines++; w.lines > maxLines {
			return
		}
		place := Place{name, l.Number, strings.TrimRight(text[l.Start:l.End], "\r\n")}
		switch l.Kind {
		case Filter:
			w.section.enter(w.board, l.Key)
		case Include:
			w.include(l, place, depth)
		case Comment:
			w.comment(place)
		case Setting:
			w.setting(l, place)
		}
	}
}

func (w *walk) include(l Line, p Place, depth int) {
	name := strings.TrimPrefix(path.Clean("/"+l.Key), "/")
	a, _ := w.section.counts()
	if _, ok := w.files[name]; !ok {
		if a != No {
			w.note(p, a, "the file is not there")
		}
		return
	}
	if a == No {
		return // nothing of it counts
	}
	w.file(name, depth+1)
}

func (w *walk) note(p Place, a Answer, says string) {
	w.notes = append(w.notes, Note{p, a, says})
}

// comment notes a line that is only commented out.
func (w *walk) comment(p Place) {
	s := strings.TrimLeft(p.Text, "# \t")
	if strings.HasPrefix(s, "dtoverlay=dwc2") {
		w.note(p, No, "it is commented out")
	}
}

func (w *walk) setting(l Line, p Place) {
	key := strings.TrimSpace(l.Key)
	name, params := "", []parameter(nil)
	switch key {
	case "dtoverlay", "device_tree_overlay":
		name, params = overlay(l.Value)
	case "dtparam", "device_tree_param":
		if w.current != "dwc2" {
			return
		}
		params = parameters(l.Value)
	case "otg_mode":
	case "kernel", "arm_64bit":
		w.width(l)
		return
	default:
		return
	}
	a, by := w.section.counts()
	relevant := name == "dwc2" || name == "dwc-otg" || strings.HasPrefix(name, "upstream") || key == "otg_mode" || name == "" && has(params, "dr_mode")
	if key != l.Key || strings.HasPrefix(l.Value, " ") {
		if relevant {
			w.note(p, No, "there must be no blank beside the =")
		}
		return
	}
	if key == "dtoverlay" || key == "device_tree_overlay" {
		if a != No {
			w.current = name
		}
	}
	if !relevant {
		return
	}
	if l.Cut {
		by = strings.TrimSpace(by + " and only its first 98 characters")
	}
	switch a {
	case No:
		w.note(p, No, "it stands under "+by+", which is not this board")
		if strings.HasPrefix(by, "[none]") {
			w.notes[len(w.notes)-1].Says = "it stands under [none]"
		} else if strings.HasPrefix(by, "[0x") {
			w.notes[len(w.notes)-1].Says = "it stands under " + by + ", which is another board's serial number"
		} else if strings.HasPrefix(by, "[tryboot]") {
			w.notes[len(w.notes)-1].Says = "it stands under [tryboot]"
		}
		return
	case Unknown:
		w.note(p, Unknown, "it stands under "+by+": whether that holds cannot be told from here")
		w.perhaps(key, name, params, l.Value, p)
		return
	}
	if key == "otg_mode" && w.board.Type < 0 {
		w.note(p, Unknown, "on a Raspberry Pi 4 or Compute Module 4 it gives the port to the host controller xHCI")
		w.perhaps(key, name, params, l.Value, p)
		return
	}
	// A line that counts and decides settles what was unsure before it.
	if key == "otg_mode" {
		w.unsureXHCI = false
	} else {
		w.unsureMode = false
	}
	w.apply(key, name, params, l.Value, p)
	w.note(p, Yes, w.effect(key, name))
	if l.Cut {
		w.notes[len(w.notes)-1].Says += "; only its first 98 characters are read"
	}
}

// perhaps remembers that a line would change the answer if it counted.
func (w *walk) perhaps(key, name string, params []parameter, value string, p Place) {
	if key == "otg_mode" {
		w.unsureXHCI = w.unsureXHCI || (w.board.XHCI || w.board.Type < 0) && (value == "1") != (w.xhci != nil)
		return
	}
	then := walk{board: w.board, mode: w.mode}
	then.apply(key, name, params, value, p)
	w.unsureMode = w.unsureMode || then.mode.device() != w.mode.device()
}

func (m Mode) device() bool { return m == ModePeripheral || m == ModeOTG }

// apply makes a line count.
func (w *walk) apply(key, name string, params []parameter, value string, p Place) {
	switch {
	case key == "otg_mode":
		if !w.board.XHCI {
			return
		}
		w.xhci = nil
		if value == "1" {
			w.xhci = &p
		}
		return
	case name == "dwc2":
		w.mode, w.by = ModeOTG, &p // the overlay's own default
	case strings.HasPrefix(name, "upstream"):
		w.mode, w.by = ModeOTG, &p // the overlay contains dwc2,dr_mode=otg
	case name == "dwc-otg":
		w.mode, w.by = ModeHost, &p // the driver that only knows the host's side
		return
	}
	for _, x := range params {
		if x.key != "dr_mode" {
			continue
		}
		switch x.value {
		case "peripheral":
			w.mode, w.by = ModePeripheral, &p
		case "host":
			w.mode, w.by = ModeHost, &p
		case "otg":
			w.mode, w.by = ModeOTG, &p
		}
	}
}

func (w *walk) effect(key, name string) string {
	switch {
	case key == "otg_mode" && !w.board.XHCI:
		return "it means nothing on this board"
	case key == "otg_mode" && w.xhci != nil:
		return "it gives the port to the host controller xHCI"
	case key == "otg_mode":
		return "it leaves the port to dwc2"
	case name == "dwc-otg":
		return "it takes the driver that only knows the host's side"
	case w.mode == ModePeripheral:
		return "it makes the controller a device"
	case w.mode == ModeHost:
		return "it makes the controller a host"
	}
	return "it makes the controller a device or a host, as the port's ID pin says"
}

func has(params []parameter, key string) bool {
	for _, p := range params {
		if p.key == key {
			return true
		}
	}
	return false
}
