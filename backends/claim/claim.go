// Package claim says which configuration files speak for a NIC: the netplan ids, the
// .network files, the interfaces(5) stanzas, the NetworkManager profiles and the
// dhcpcd.conf lines that would match it if their manager looked. A claim is no proof
// of ownership: a running daemon may have taken another file, or not be there at all.
//
// Everything is a pure function of facts; files are bounded, and one that cannot be
// parsed is a problem with its place and never a guess.
package claim

import (
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// MaxFile is the size in bytes beyond which a file is not parsed.
const MaxFile = 1 << 20

// Claim is one piece of configuration that fits a link.
type Claim struct {
	ID       string // netplan id, profile id, .network file name, logical interface
	Renderer string // netplan only: "networkd" or "NetworkManager"
	File     string // file that holds the definition (the last one that adds to it)
	Line     int    // 1-based, 0 unknown
	Method   string // "dhcp", "static", "manual", "auto"; empty when it does not say
	Text     string // for people
}

// Source is "file:line", or the file where the line is not known.
func (c Claim) Source() string {
	if c.Line == 0 {
		return c.File
	}
	return fmt.Sprintf("%s:%d", c.File, c.Line)
}

// Error is a file that could not be understood.
type Error struct {
	File string
	Line int
	Err  error
}

// Error names file and line.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// text returns the contents of a file that was read, and whether it may be parsed.
func text(f *facts.Facts, name string) (string, bool) {
	file, ok := f.Files[name]
	if !ok || len(file.Text) > MaxFile {
		return "", false
	}
	return file.Text, true
}

// glob reports whether a shell pattern fits name. networkd and netplan use
// fnmatch(3), whose patterns for interface names are those of path.Match; a broken
// pattern fits nothing.
func glob(pattern, name string) bool {
	// fnmatch negates a class with "!", path.Match only with "^".
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return err == nil && ok
}

// names are the names a link answers to.
func names(l facts.Link) []string { return append([]string{l.Name}, l.Alt...) }

func globAny(pattern string, l facts.Link) bool {
	for _, n := range names(l) {
		if glob(pattern, n) {
			return true
		}
	}
	return false
}

// sameMAC compares two addresses without regard to case.
func sameMAC(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// Wlan reports whether l is a Wi-Fi device.
func Wlan(l facts.Link) bool { return l.DevType == "wlan" }

// Ethernet reports whether l is something that netplan's ethernets, networkd's
// Type=ether and NetworkManager's 802-3-ethernet can mean: Ethernet framing and no
// virtual kind of its own but veth.
func Ethernet(l facts.Link) bool {
	return l.ARPHRD == 1 && (l.Kind == "" || l.Kind == "veth") && !Wlan(l) && l.DevType != "bridge" && l.DevType != "vlan"
}
