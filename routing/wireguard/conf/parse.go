// Package conf reads and writes the files of wg(8) and wg-quick(8), and turns them into the words of
// the configuration and back. Nothing in such a file is ever run.
package conf

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// File is one file.
type File struct {
	Interface Interface
	Peers     []Peer
}

// Interface is the section [Interface].
type Interface struct {
	PrivateKey wireguard.Key // zero for none
	ListenPort uint16
	FwMark     uint32
	Addresses  []netip.Prefix // with their host bits
	DNS        []netip.Addr
	Search     []string // domains among DNS
	MTU        uint16
	Table      string // empty, auto, off, a number or a name
	SaveConfig bool
	Hooks      []Hook
	at         map[string]int // lines of keys, in small letters
}

// Hook is a command of wg-quick.
type Hook struct {
	Line    int
	Key     string // PreUp, PostUp, PreDown, PostDown
	Command string
}

// Peer is one section [Peer].
type Peer struct {
	// Name is what a comment at the section calls it, empty where there is none.
	Name                string
	PublicKey           wireguard.Key
	PresharedKey        wireguard.Key
	Endpoint            string // host:port as it is written
	PersistentKeepalive uint16
	AllowedIPs          []netip.Prefix // masked
	Line                int            // of the section
	cut                 []string       // allowed IPs that had bits behind their length
}

// Problem is a line that cannot be understood. No text has a key in it.
type Problem struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// MaxBytes is the most that Parse takes.
const MaxBytes = 1 << 20

// Parse reads a file as wg-quick and wg do: # begins a comment, keys and sections are in any case,
// lists may be one line or several. Everything that is wrong comes back at once.
func Parse(text []byte) (File, []Problem) {
	p := parser{}
	p.f.Interface.at = map[string]int{}
	if len(text) > MaxBytes {
		return p.f, []Problem{{0, fmt.Sprintf("larger than %d bytes", MaxBytes)}}
	}
	for line := range strings.Lines(string(text)) {
		p.line++
		p.one(line)
	}
	p.end()
	if !p.seen {
		p.bad("there is no section [Interface]")
	}
	return p.f, p.problems
}

type parser struct {
	f        File
	line     int
	section  string // interface, peer
	seen     bool
	peer     Peer
	comment  string // the last one, if it is at the present place
	set      map[string]bool
	problems []Problem
}

func (p *parser) bad(format string, args ...any) {
	p.problems = append(p.problems, Problem{p.line, fmt.Sprintf(format, args...)})
}

func (p *parser) end() {
	if p.section == "peer" {
		if p.peer.PublicKey == (wireguard.Key{}) && !p.set["publickey"] {
			p.problems = append(p.problems, Problem{p.peer.Line, "this peer has no PublicKey"})
		}
		p.f.Peers = append(p.f.Peers, p.peer)
	}
}

func (p *parser) one(line string) {
	text, comment, commented := strings.Cut(line, "#")
	text = strings.TrimSpace(text)
	if commented && text == "" {
		p.note(comment)
		return
	}
	if text == "" {
		return
	}
	if strings.HasPrefix(text, "[") {
		p.end()
		p.set = map[string]bool{}
		switch strings.ToLower(text) {
		case "[interface]":
			p.section, p.seen = "interface", true
		case "[peer]":
			p.section = "peer"
			p.peer = Peer{Line: p.line, Name: peerName(p.comment)}
		default:
			p.section = "?"
			p.bad("%q is no section: there are [Interface] and [Peer]", text)
		}
		p.comment = ""
		return
	}
	p.comment = ""
	key, value, ok := strings.Cut(text, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !ok:
		p.bad("this line has no =")
	case p.section == "":
		p.bad("%s stands before any section", shown(key))
	case p.section == "interface":
		p.ofInterface(key, value)
	case p.section == "peer":
		p.ofPeer(key, value)
	}
}

// note keeps a comment that may be a peer's name: right before its section, or first in it.
func (p *parser) note(comment string) {
	comment = strings.TrimSpace(strings.TrimLeft(comment, "# "))
	if p.section == "peer" && len(p.set) == 0 && p.peer.Name == "" {
		p.peer.Name = peerName(comment)
	}
	p.comment = comment
}

// shown is a key as it is told, unless somebody wrote a secret in its place.
func shown(key string) string {
	if len(key) > 32 || strings.ContainsFunc(key, func(r rune) bool { return (r|0x20 < 'a' || r|0x20 > 'z') && (r < '0' || r > '9') }) {
		return "what"
	}
	return key
}

// once refuses a second value of a key that has one.
func (p *parser) once(key, lower string) {
	if p.set[lower] {
		p.bad("%s is given twice", key)
	}
	p.set[lower] = true
}

func (p *parser) ofInterface(key, value string) {
	i, lower := &p.f.Interface, strings.ToLower(key)
	if i.at[lower] == 0 {
		i.at[lower] = p.line
	}
	switch lower {
	case "privatekey":
		p.once(key, lower)
		i.PrivateKey = p.key(key, value)
	case "listenport":
		p.once(key, lower)
		i.ListenPort = uint16(p.number(key, value, 65535))
	case "fwmark":
		p.once(key, lower)
		if value != "off" {
			i.FwMark = uint32(p.number(key, value, 1<<32-1))
		}
	case "address":
		for _, a := range list(value) {
			if x, err := prefix(a); err != nil {
				p.bad("Address: %q is no address", a)
			} else {
				i.Addresses = append(i.Addresses, x)
			}
		}
	case "dns":
		for _, d := range list(value) {
			if a, err := netip.ParseAddr(d); err == nil {
				i.DNS = append(i.DNS, a)
			} else {
				i.Search = append(i.Search, d)
			}
		}
	case "mtu":
		p.once(key, lower)
		i.MTU = uint16(p.number(key, value, 65535))
	case "table":
		p.once(key, lower)
		i.Table = value
	case "saveconfig":
		p.once(key, lower)
		i.SaveConfig = value == "true"
	case "preup", "postup", "predown", "postdown":
		name := map[string]string{"preup": "PreUp", "postup": "PostUp", "predown": "PreDown", "postdown": "PostDown"}[lower]
		i.Hooks = append(i.Hooks, Hook{p.line, name, value})
	default:
		p.bad("%s is no key of [Interface] that wg-quick knows", shown(key))
	}
}

func (p *parser) ofPeer(key, value string) {
	lower := strings.ToLower(key)
	switch lower {
	case "publickey":
		p.once(key, lower)
		p.peer.PublicKey = p.key(key, value)
	case "presharedkey":
		p.once(key, lower)
		p.peer.PresharedKey = p.key(key, value)
	case "endpoint":
		p.once(key, lower)
		p.peer.Endpoint = value
	case "persistentkeepalive":
		p.once(key, lower)
		if value != "off" {
			p.peer.PersistentKeepalive = uint16(p.number(key, value, 65535))
		}
	case "allowedips":
		p.set[lower] = true
		for _, a := range list(value) {
			x, err := prefix(a)
			if err != nil {
				p.bad("AllowedIPs: %q is no prefix", a)
				continue
			}
			if x != x.Masked() {
				p.peer.cut = append(p.peer.cut, a)
			}
			p.peer.AllowedIPs = append(p.peer.AllowedIPs, x.Masked())
		}
	default:
		p.bad("%s is no key of [Peer] that wg knows", shown(key))
	}
}
