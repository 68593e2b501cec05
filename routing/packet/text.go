package packet

import (
	"fmt"
	"net/netip"
	"strings"
)

// Text writes the trace for people: one line for each decision, under the hook and the chain
// where it was taken, and the verdict at the end.
func (r Result) Text() string {
	var b strings.Builder
	r.write(&b, "")
	if r.Reply != nil {
		b.WriteString("\nthe answer:\n")
		r.Reply.write(&b, "")
	}
	return b.String()
}

func (r Result) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s\n", indent, r.packet)
	hook, chain := "", ""
	for _, s := range r.Steps {
		if s.Hook != hook {
			fmt.Fprintf(b, "%s%s\n", indent, s.Hook)
			hook, chain = s.Hook, ""
		}
		if s.Table == "" {
			line := s.Text
			if s.Effect != "" {
				line += ": " + s.Effect
			}
			fmt.Fprintf(b, "%s  %s\n", indent, line)
			chain = ""
			continue
		}
		if c := s.Family + " " + s.Table + " " + s.Chain; c != chain {
			fmt.Fprintf(b, "%s  %s%s\n", indent, strings.Repeat("  ", s.Depth), c)
			chain = c
		}
		fmt.Fprintf(b, "%s    %s%s\n", indent, strings.Repeat("  ", s.Depth), s.line())
	}
	fmt.Fprintf(b, "%s=> %s\n", indent, r.Sentence())
	for _, d := range r.Doubts {
		fmt.Fprintf(b, "%s   but: %s\n", indent, d)
	}
}

func (s Step) line() string {
	text := s.Text
	if s.Rule > 0 {
		text = fmt.Sprintf("%d: %s", s.Rule, s.Text)
	}
	if s.Effect != "" && s.Effect != "goes on" && !strings.HasSuffix(s.Text, s.Effect) {
		text += "  -> " + s.Effect
	}
	if s.Comment != "" {
		text += fmt.Sprintf("  # %s", s.Comment)
	}
	return text
}

// Sentence is the verdict in words.
func (r Result) Sentence() string {
	var b strings.Builder
	if !r.Certain {
		b.WriteString("uncertain: ")
	}
	switch r.Verdict {
	case Leaves:
		fmt.Fprintf(&b, "leaves by %s", r.Dev)
		if r.Gateway.IsValid() {
			fmt.Fprintf(&b, " via %v", r.Gateway)
		}
		fmt.Fprintf(&b, " as %s to %s", r.ends(r.Src, r.Sport), r.ends(r.Dst, r.Dport))
		if r.Mark != 0 {
			fmt.Fprintf(&b, " with mark %#x", r.Mark)
		}
		fmt.Fprintf(&b, " (route of table %s)", tableName(r.Table))
	case Delivered:
		fmt.Fprintf(&b, "delivered to this machine as %s to %s", r.ends(r.Src, r.Sport), r.ends(r.Dst, r.Dport))
	default:
		fmt.Fprintf(&b, "%s: %s", r.Verdict, r.Why)
		if r.By != nil && r.By.Text != "policy" {
			fmt.Fprintf(&b, ": %s", r.By.Text)
		}
	}
	return b.String()
}

func (r Result) ends(a netip.Addr, port uint16) string { return end(a, port, port != 0) }

func tableName(n uint32) string {
	switch n {
	case 253:
		return "default"
	case 254:
		return "main"
	case 255:
		return "local"
	}
	return fmt.Sprint(n)
}

// String writes the packet as it sets out.
func (p Packet) String() string {
	six := p.To.Is6() && !p.To.Is4In6()
	number, _ := protocol(p.Proto, six)
	s := &skb{proto: number}
	proto := p.Proto
	if proto == "" || proto == "icmp" && six {
		proto = map[bool]string{false: "icmp", true: "icmpv6"}[six]
	}
	from := "this machine"
	if p.From.IsValid() {
		from = end(p.From, p.Sport, s.ported() && p.Sport != 0)
	}
	where := "sent here"
	if p.In != "" {
		where = "in by " + p.In
	}
	state := p.State
	if state == "" {
		state = New
	}
	out := fmt.Sprintf("%s from %s to %s, %s, %s", proto, from, end(p.To, p.Dport, s.ported()), where, state)
	if p.Mark != 0 {
		out += fmt.Sprintf(", mark %#x", p.Mark)
	}
	return out
}
