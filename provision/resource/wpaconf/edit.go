package wpaconf

import (
	"encoding/hex"
	"strings"
)

// document is a configuration file of wpa_supplicant, cut into what its reader takes as one
// (wpa_supplicant/config_file.c, wpa_config_read): lines, and blocks of lines from "network={" or
// another opening to "}". Joined, the pieces are the file.
type document struct{ pieces []piece }

type piece struct {
	text  string
	block string   // "network={", "cred={", "blob-base64-x={"; empty for a line by itself
	lines []string // of a block or the line itself, as the reader sees them: without blanks around and comments
}

// parse cuts text. It cannot fail: what wpa_supplicant refuses stays where it is.
func parse(text string) document {
	var d document
	var open *piece
	for line := range strings.Lines(text) {
		seen := clean(line)
		switch {
		case open != nil:
			open.text += line
			if seen == "}" {
				d.pieces = append(d.pieces, *open)
				open = nil
			} else if seen != "" {
				open.lines = append(open.lines, seen)
			}
		case opens(seen):
			open = &piece{text: line, block: seen}
		default:
			p := piece{text: line}
			if seen != "" {
				p.lines = []string{seen}
			}
			d.pieces = append(d.pieces, p)
		}
	}
	if open != nil { // without an end: wpa_supplicant refuses the file
		d.pieces = append(d.pieces, *open)
	}
	return d
}

// open reports whether the last block has no end.
func (d document) open() bool {
	if len(d.pieces) == 0 || d.pieces[len(d.pieces)-1].block == "" {
		return false
	}
	last := ""
	for line := range strings.Lines(d.pieces[len(d.pieces)-1].text) {
		last = clean(line)
	}
	return last != "}"
}

func opens(line string) bool {
	return line == "network={" || line == "cred={" || strings.HasPrefix(line, "blob-base64-") && strings.HasSuffix(line, "={")
}

// clean is what wpa_config_get_line makes of a line: without leading blanks, without a comment
// that is not inside quotes, without blanks at the end.
func clean(line string) string {
	s := strings.TrimLeft(line, " \t\r\n")
	if s == "" || s[0] == '#' {
		return ""
	}
	// A "#" counts behind the second quote, or from the beginning where there are less than two.
	from := 0
	if first := strings.IndexByte(s, '"'); first >= 0 {
		if second := strings.IndexByte(s[first+1:], '"'); second >= 0 {
			from = first + 1 + second
		}
	}
	if i := strings.IndexByte(s[from:], '#'); i >= 0 {
		s = s[:from+i]
	}
	return strings.TrimRight(s, " \t\r\n")
}

func (d document) String() string {
	var b strings.Builder
	for _, p := range d.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// value is that of a key in a block, the last one, as it is written.
func (p piece) value(key string) (string, bool) {
	for i := len(p.lines) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(p.lines[i], "="); ok && strings.TrimRight(k, " \t") == key {
			return strings.TrimLeft(v, " \t"), true
		}
	}
	return "", false
}

// SSIDOf reads a value of ssid: text in quotes, or hexadecimal.
func SSIDOf(value string) (string, bool) {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1], true
	}
	b, err := hex.DecodeString(value)
	return string(b), err == nil && len(b) > 0
}

func (p piece) ours(ssid string) bool {
	if p.block != "network={" {
		return false
	}
	id, _ := p.value("id_str")
	value, _ := p.value("ssid")
	name, ok := SSIDOf(value)
	return "id_str="+id == IDString && ok && name == ssid
}

// body is a network of ours in canonical form. wpa_supplicant writes an SSID of plain characters
// in quotes, whatever form it was given.
func (p piece) body(ssid string) string {
	var rest []string
	for _, line := range p.lines {
		if k, v, ok := strings.Cut(line, "="); ok {
			k, v = strings.TrimRight(k, " \t"), strings.TrimLeft(v, " \t")
			if k != "ssid" && k != "id_str" {
				line = k + "=" + v
				rest = append(rest, line)
			}
			continue
		}
		rest = append(rest, line)
	}
	return Body(ssid, rest)
}

// Known is a network of a file.
type Known struct {
	SSID string
	Ours bool
	Open bool // key_mgmt=NONE
}

// Networks lists the networks of a file in their order.
func Networks(text string) []Known {
	var out []Known
	for _, p := range parse(text).pieces {
		if p.block != "network={" {
			continue
		}
		value, _ := p.value("ssid")
		ssid, ok := SSIDOf(value)
		if !ok {
			continue
		}
		id, _ := p.value("id_str")
		mgmt, _ := p.value("key_mgmt")
		out = append(out, Known{SSID: ssid, Ours: "id_str="+id == IDString, Open: mgmt == "NONE"})
	}
	return out
}

// CountryOf is the country that a file names.
func CountryOf(text string) string {
	v, _ := parse(text).get(target{kind: kindCountry})
	return v
}

func (d document) get(t target) (string, bool) {
	for _, p := range d.pieces {
		if t.kind == kindNetwork && p.ours(t.ssid) {
			return p.body(t.ssid), true
		}
	}
	if t.kind == kindCountry {
		for i := len(d.pieces) - 1; i >= 0; i-- { // the last one counts
			if p := d.pieces[i]; p.block == "" {
				if v, ok := p.value("country"); ok {
					return v, true
				}
			}
		}
	}
	return "", false
}

// set gives back the file with the named thing as text says, or without it.
func (d document) set(t target, text string, there bool) document {
	is := func(p piece) bool { return t.kind == kindNetwork && p.ours(t.ssid) }
	made := Block(text)
	if t.kind == kindCountry {
		is = func(p piece) bool {
			_, ok := p.value("country")
			return p.block == "" && ok
		}
		made = "country=" + text + "\n"
	}
	var out document
	done := !there
	// The country stands before the first network; a network goes to the end.
	put := func() {
		if !done {
			out.pieces = append(out.pieces, parse(made).pieces...)
			done = true
		}
	}
	for _, p := range d.pieces {
		switch {
		case is(p):
			put()
			continue
		case t.kind == kindCountry && p.block == "network={" && !d.has(is):
			put()
		}
		out.pieces = append(out.pieces, p)
	}
	if !done {
		if n := len(out.pieces); n > 0 && !strings.HasSuffix(out.pieces[n-1].text, "\n") {
			out.pieces[n-1].text += "\n"
		}
		put()
	}
	return out
}

func (d document) has(is func(piece) bool) bool {
	for _, p := range d.pieces {
		if is(p) {
			return true
		}
	}
	return false
}
