package update

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Kind is what an answer means for the next one.
type Kind string

const (
	Good    Kind = "good"    // the address is the new one
	Same    Kind = "nochg"   // it was that already
	Refused Kind = "refused" // nothing will change until the configuration does
	Abuse   Kind = "abuse"   // locked out for having asked too often
	Trouble Kind = "trouble" // of the server or the way to it: it may pass
)

// Answer is what a server said.
type Answer struct {
	Kind Kind
	Addr netip.Addr // that it has now, if it says so
	Text string     // for people
	// After is how long the server asks to be left alone; 0: it does not say.
	After time.Duration
}

// Parse reads an answer: its first line. Status is that of HTTP.
func Parse(status int, body string) Answer {
	line, _, _ := strings.Cut(strings.TrimSpace(body), "\n")
	line = strings.TrimSpace(line)
	word, rest, _ := strings.Cut(line, " ")
	a := Answer{Kind: Trouble}
	if addr, err := netip.ParseAddr(strings.TrimSpace(rest)); err == nil {
		a.Addr = addr
	}
	switch strings.ToLower(word) {
	case "good":
		// 127.0.0.1 is how some servers say that the client is not taken seriously.
		if a.Addr.IsLoopback() {
			a.Kind, a.Text = Abuse, "the server takes the updates for abuse (good 127.0.0.1)"
			return a
		}
		a.Kind = Good
		return a
	case "nochg":
		a.Kind = Same
		return a
	case "abuse":
		a.Kind, a.Text = Abuse, "the server has locked the tunnel for too many updates (abuse)"
		return a
	case "badauth":
		a.Kind, a.Text = Refused, "the server does not take the user and the key (badauth): user and key-file have to be those of the tunnel"
		return a
	case "nohost", "!yours", "notfqdn", "numhost":
		a.Kind, a.Text = Refused, "the server knows no such tunnel of this user ("+word+"): id has to be its number"
		return a
	case "badagent", "!donator", "badsys":
		a.Kind, a.Text = Refused, "the server does not take updates of this kind ("+word+")"
		return a
	case "911", "dnserr":
		a.Text, a.After = "the server is in trouble ("+word+")", 30*time.Minute
		return a
	}
	switch {
	case status == 401 || status == 403:
		a.Kind, a.Text = Refused, fmt.Sprintf("the server does not take the user and the key (status %d)", status)
	case status == 429:
		a.Kind, a.Text = Abuse, "the server says that it is asked too often (status 429)"
	case strings.Contains(strings.ToLower(line), "not icmp pingable"):
		a.Text = "the server cannot ping this machine, and takes no end that it cannot ping: let ICMP in from it, on the router before this machine too"
	case line == "" || status != 200:
		a.Text = fmt.Sprintf("the server gives no answer of the protocol (status %d)", status)
	default:
		a.Text = "the server says: " + shown(line)
	}
	return a
}

// shown is a server's word that a terminal can bear.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 120 {
		s = s[:120] + "..."
	}
	return s
}
