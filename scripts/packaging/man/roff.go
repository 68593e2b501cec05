package main

import (
	"fmt"
	"strings"
)

// roff is the page in the language of man(7).
func (p page) roff(version, date string) string {
	var b strings.Builder
	title := p.name()
	short := p.short
	if short == "" {
		short = "make a machine's network right and keep it right"
	}
	fmt.Fprintf(&b, ".TH %s 8 %s %s \"System Administration\"\n", quote(strings.ToUpper(title)), quote(date), quote(p.words[0]+" "+version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escape(title), escape(short))
	b.WriteString(".SH SYNOPSIS\n")
	for i, u := range p.usage {
		if i > 0 {
			b.WriteString(".br\n")
		}
		b.WriteString(`\fB` + escape(u) + "\\fR\n")
	}
	b.WriteString(".SH DESCRIPTION\n")
	prose(&b, p.long)
	for i, heading := range []string{"OPTIONS", "OPTIONS OF ALL COMMANDS"} {
		if len(p.options[i]) == 0 {
			continue
		}
		b.WriteString(".SH " + quote(heading) + "\n")
		for _, o := range p.options[i] {
			b.WriteString(".TP\n\\fB" + escape(o.names) + `\fR`)
			if o.value != "" {
				b.WriteString(` \fI` + escape(o.value) + `\fR`)
			}
			b.WriteString("\n" + guard(escape(o.text)) + "\n")
		}
	}
	if len(p.below) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, e := range p.below {
			fmt.Fprintf(&b, ".TP\n.BR %s (8)\n%s\n", escape(title+"-"+e.name), guard(escape(e.short)))
		}
	}
	if len(p.status) > 0 {
		b.WriteString(".SH \"EXIT STATUS\"\n")
		first := strings.TrimSpace(strings.TrimPrefix(p.status[0], "Exit status:"))
		prose(&b, append([]string{first}, p.status[1:]...))
	}
	if len(p.words) == 1 {
		b.WriteString(".SH FILES\n.TP\n.I /etc/provision/provision.yaml\nthe configuration\n" +
			".TP\n.I /var/lib/provision\nsnapshots, and what is remembered; readable by root only\n")
	} else {
		b.WriteString(".SH \"SEE ALSO\"\n")
		fmt.Fprintf(&b, ".BR %s (8)\n", escape(strings.Join(p.words[:len(p.words)-1], "-")))
	}
	return b.String()
}

// prose writes paragraphs; lines that begin with a blank stay as they are, for they are commands or tables. A heading
// stands before it, which begins the first paragraph.
func prose(b *strings.Builder, lines []string) {
	begun, blank, kept := false, false, false // kept: within lines that stay as they are
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			blank = true
			continue
		}
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if kept && !indented {
			b.WriteString(".fi\n")
		}
		if begun && (blank || kept != indented) {
			b.WriteString(".PP\n")
		}
		if indented && !kept {
			b.WriteString(".nf\n")
		}
		begun, blank, kept = true, false, indented
		b.WriteString(guard(escape(strings.ReplaceAll(line, "\t", "  "))) + "\n")
	}
	if kept {
		b.WriteString(".fi\n")
	}
}

// escape makes hyphens that can be copied, and takes the meaning from backslashes (groff_char(7)).
func escape(s string) string { return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s) }

// guard takes the meaning from a control character at the start of a line.
func guard(s string) string {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\(dq`) + `"` }
