package firewall

import (
	"fmt"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/packet"
)

// Cut is a session of somebody who manages this machine that the table would end.
type Cut struct {
	Session facts.Session `json:"session"`
	Why     string        `json:"why"` // a sentence, with the chain and the policy's line where one decides
}

// Cuts says which SSH sessions would not come back through the table: the one that the command
// runs in, or all of them when it runs in none. A new connection of the same peer is what is
// asked: an established one goes on only as long as connection tracking knows it, which it does
// not when nobody asked it to track before, and after a reboot.
func Cuts(t nft.Table, f *facts.Facts) []Cut {
	if f == nil {
		return nil
	}
	asked := make([]facts.Session, 0, len(f.SSH))
	for _, s := range f.SSH {
		if s.Mine {
			asked = append(asked, s)
		}
	}
	if len(asked) == 0 {
		asked = f.SSH
	}
	var out []Cut
	w := packet.World{Facts: f, Tables: []nft.Table{t}, Planned: true}
	for _, s := range asked {
		from := s.Remote.Addr().Unmap()
		dev, ok := packet.GuessIn(w, from)
		if !ok {
			continue // from this machine itself
		}
		p := packet.Packet{From: from, Sport: s.Remote.Port(), To: s.Local.Addr().Unmap(), Dport: s.Local.Port(), Proto: "tcp", In: dev, Reply: true}
		r := packet.Explain(w, p)
		switch {
		case r.Verdict == packet.Dropped || r.Verdict == packet.Rejected || r.Verdict == packet.Leaves:
			out = append(out, Cut{s, fmt.Sprintf("a new connection from %s by %s to port %d %s", from, dev, s.Local.Port(), becomes(r))})
		case r.Reply != nil && (r.Reply.Verdict == packet.Dropped || r.Reply.Verdict == packet.Rejected):
			out = append(out, Cut{s, fmt.Sprintf("the answer to a new connection from %s %s", from, becomes(*r.Reply))})
		}
	}
	return out
}

// becomes says what the packet meets.
func becomes(r packet.Result) string {
	if r.Verdict == packet.Leaves {
		return "would be sent on to another machine by " + r.Dev
	}
	text := fmt.Sprintf("would be %s", r.Verdict)
	if r.By == nil {
		return text + ": " + r.Why
	}
	text += " in chain " + r.By.Chain
	if r.By.Comment != "" {
		text += " (" + r.By.Comment + ")"
	}
	return text
}
