// Package secret blanks secrets in network configuration files before they are
// shown to anybody: Wi-Fi passphrases, 802.1X and WireGuard keys, passwords in
// commands. It works line by line and without knowing the format, because what is
// shown most often is a broken file; the number of lines stays. It would rather
// blank too much than too little.
package secret

import (
	"regexp"
	"strings"
	"sync"
)

// pattern is a regular expression that is compiled when it is needed: most runs of the program show no file, and ten of
// these take as long as all of the rest that it does before main.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// Blank stands in the place of a secret.
const Blank = "***"

// words are parts of keys whose values are secret, in any of: netplan, NM keyfiles,
// systemd's files, interfaces(5) with wpa_supplicant's and wireless-tools' options,
// cloud-init user-data.
const words = `psk|passw|passphrase|passwd|secret|private[-_ ]?key|pre[-_]?shared|wep[-_]key|wireless-key|credential|api[-_]?key|access[-_]?key|auth[-_]?key|authtoken|identity|mka[-_]c|wpa-key\d|leap[-_]|phase2[-_]auth[-_]pass`

// exact are whole keys that are secret; as parts of words they mean other things
// (keyboard, key-mgmt, mapping, shared-network).
const exact = `pass|pwd|pin|puk|key|keys|key\d|private|shared|token|cak|ckn|pmk|otp|community|hash`

// key matches a key with its separator up to where the value begins. A whole word
// followed by a blank counts only where an option would stand, at the beginning of
// a line or after a dash: in prose and in most commands it is just a word.
var key = pattern(`(?i)(?:^|[^\w.])["']?([\w.\-]*?(?:` + words + `)[\w.\-]*|(?:[\w\-]*\.)?(?:` + exact + `))["']?\s*[:=][=\s]*` +
	`|(?:^|[^\w.])["']?([\w.\-]*?(?:` + words + `)[\w.\-]*)["']?\s+` +
	`|(?:^\s*|\s--?)(` + exact + `)\s+`)

// findKey returns where the first key of a secret begins and ends in s and where
// its value begins.
func findKey(s string) (begin, end, value int, ok bool) {
	loc := key().FindStringSubmatchIndex(s)
	for i := 2; i < len(loc); i += 2 {
		if loc[i] >= 0 {
			return loc[i], loc[i+1], loc[1], true
		}
	}
	return 0, 0, 0, false
}

// shapes are secrets that show by themselves, whatever key they stand under.
var shapes = []func() *regexp.Regexp{
	pattern(`[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=`),  // 32 bytes in base64: WireGuard (wg(8))
	pattern(`\b[0-9A-Fa-f]{64}\b`),                   // 32 bytes in hexadecimal: a raw PSK
	pattern(`\$(?:[0-9a-z]{1,8}|2[aby])\$[^\s"':]+`), // crypt(5)
	pattern(`://[^/\s@"']+@`),                        // user:password in a URL
}

// login is user:password after curl's and wget's options, in a command of interfaces(5).
var login = pattern(`(\s(?:-u|-U|--user|--proxy-user)(?:\s+|=)?)["']?[^\s:"']+:[^\s]+`)

// harmless are values of a key "token" that are no secret: an IPv6 interface
// identifier (systemd.network(5), nm-settings(5)).
var harmless = pattern(`^["']?(?:::[0-9A-Fa-f:]*|static:\S+?|eui64|prefixstable\S*?)["']?(?:\s*$|\s*[,}\]]|\s+#)`)

var (
	quoted = pattern(`^(?:"[^"\\]*"|'[^']*')`)
	simple = pattern(`^[^\s,{}\[\]"'&*#|>!%@\\` + "`" + `-][^\s,{}\[\]"'\\]*`)
)

// Mask returns text with its secrets blanked and whether there was any. name is
// the file's path: files that end in .yaml, .yml or .cfg are YAML, where a value
// may go on over several lines.
func Mask(name, text string) (string, bool) {
	yaml := strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".cfg")
	m := masker{yaml: yaml, indent: -1}
	out := m.run(text)
	if yaml && !verify(text, out) {
		out = everything(text)
	}
	return out, out != text
}

// masker goes over lines; its state says why the next line is secret as well.
type masker struct {
	yaml    bool
	indent  int    // YAML: lines indented deeper than this belong to a secret; -1 none
	mark    string // YAML: so do lines at indent that begin with this ("-" or ":")
	quote   byte   // an open quote of a secret
	joined  bool   // the last line was secret and ended in a backslash
	pem     bool   // inside a PEM block
	bracket int    // YAML: open brackets before this line
	flow    bool   // YAML: secret until the brackets are closed
}

func (m *masker) run(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		out.WriteString(m.line(body))
		out.WriteString(line[len(body):])
	}
	return out.String()
}

func (m *masker) line(s string) string {
	begin, depth := m.bracket, 0
	if m.yaml {
		depth = brackets(s)
		m.bracket = max(0, m.bracket+depth)
	}
	if strings.Contains(s, "-----BEGIN ") {
		m.pem = true
		return m.blankLine(s)
	}
	if m.pem {
		m.pem = !strings.Contains(s, "-----END ")
		return m.blankLine(s)
	}
	if m.quote != 0 {
		if closes(s, m.quote) {
			m.quote = 0
		}
		return m.blankLine(s)
	}
	if m.joined {
		m.joined = strings.HasSuffix(s, `\`)
		return m.blankLine(s)
	}
	if m.flow {
		m.flow = m.bracket > 0
		return m.blankLine(s)
	}
	if m.indent >= 0 && strings.TrimSpace(s) != "" {
		in := indentOf(s)
		item := m.mark != "" && in == m.indent && strings.HasPrefix(strings.TrimLeft(s, " \t"), m.mark)
		if in > m.indent || item {
			return m.blankLine(s)
		}
		m.indent = -1
	}
	if m.yaml && explicit().MatchString(s) && explicitKey().MatchString(s) {
		m.indent, m.mark = strings.IndexByte(s, '?'), ":"
		return shape(s)
	}
	return m.values(s, begin)
}

// An explicit key stands on a line of its own, its value on the next after ":".
var (
	explicit    = pattern(`^[\s-]*\?\s`)
	explicitKey = pattern(`(?i)(?:` + words + `)|(?:^|[\s"'])(?:` + exact + `)(?:$|[\s"'])`)
)

// values blanks the values of secret keys in one line, then what looks secret by
// itself.
func (m *masker) values(s string, begin int) string {
	var out strings.Builder
	rest, at := s, 0
	for {
		first, last, from, ok := findKey(rest)
		if !ok {
			break
		}
		value := rest[from:]
		if strings.Contains(strings.ToLower(rest[first:last]), "token") && harmless().MatchString(value) {
			out.WriteString(rest[:from])
			rest, at = value, at+from
			continue
		}
		if value == "" || value == `\` {
			out.WriteString(rest)
			m.joined = value == `\`
			m.follow(s, at+first, "", begin+brackets(s[:at+first]) > 0)
			return shape(out.String())
		}
		// A simple value inside a flow mapping leaves the rest of the line readable.
		inFlow := m.yaml && begin+brackets(s[:at+first]) > 0
		if inFlow {
			end := len(quoted().FindString(value))
			if end == 0 {
				end = len(simple().FindString(value))
			}
			after := strings.TrimLeft(value[end:], " \t")
			if end > 0 && after != "" && strings.ContainsRune(",}]", rune(after[0])) {
				out.WriteString(rest[:from])
				out.WriteString(m.blank())
				rest, at = value[end:], at+from+end
				continue
			}
		}
		out.WriteString(rest[:from])
		out.WriteString(m.blankValue(value))
		m.joined = strings.HasSuffix(s, `\`)
		m.follow(s, at+first, value, inFlow)
		return shape(out.String())
	}
	out.WriteString(rest)
	if m.yaml && anchored().MatchString(s) {
		// The value may be used as a secret elsewhere, by its anchor.
		loc := anchored().FindStringIndex(s)
		m.follow(s, indentOf(s), s[loc[1]:], begin > 0)
		return shape(out.String()[:min(loc[1], out.Len())]) + m.blank()
	}
	return shape(out.String())
}

var anchored = pattern(`(?:^|[\s,{\[])&[^\s,\[\]{}]+\s+(?:!\S+\s+)?`)

// follow sets what makes the next lines secret: s has a secret key at column at
// and value after it.
func (m *masker) follow(s string, at int, value string, inFlow bool) {
	if v := strings.TrimSpace(value); v != "" && (v[0] == '"' || v[0] == '\'') && !closes(v[1:], v[0]) {
		m.quote = v[0]
	}
	if !m.yaml {
		return
	}
	m.indent, m.mark = at, ""
	if strings.TrimSpace(value) == "" {
		m.mark = "-"
	}
	if q := s[:at]; strings.HasSuffix(q, `"`) || strings.HasSuffix(q, "'") {
		m.indent--
	}
	// In a flow mapping the key stands far to the right; what counts is the line.
	first := len(s) - len(strings.TrimLeft(s, " \t-"))
	if m.indent > first {
		m.indent = first
	}
	if (inFlow || strings.ContainsAny(value, "{[")) && m.bracket > 0 {
		m.flow = true
	}
}

// brackets counts how many flow brackets s opens more than it closes, quotes and
// comments left out.
func brackets(s string) int {
	n := 0
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '"' && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && (i == 0 || strings.IndexByte(" \t,{[:", s[i-1]) >= 0):
			quote = c
		case c == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return n
		case c == '{' || c == '[':
			n++
		case c == '}' || c == ']':
			n--
		}
	}
	return n
}

// closes reports whether s holds the quote that ends a scalar.
func closes(s string, quote byte) bool {
	for i := 0; i < len(s); i++ {
		switch {
		case quote == '"' && s[i] == '\\':
			i++
		case quote == '\'' && s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == quote:
			return true
		}
	}
	return false
}

func shape(s string) string {
	s = login().ReplaceAllString(s, "${1}"+Blank)
	for i, one := range shapes {
		re := one()
		if i == len(shapes)-1 {
			s = re.ReplaceAllString(s, "://"+Blank+"@")
			continue
		}
		s = re.ReplaceAllString(s, Blank)
	}
	return s
}

// blank is what stands for a value. YAML's stays YAML.
func (m *masker) blank() string {
	if m.yaml {
		return `"` + Blank + `"`
	}
	return Blank
}

// blankValue blanks the rest of a line and keeps what joins the next one to it.
func (m *masker) blankValue(v string) string {
	if !m.yaml && strings.HasSuffix(v, `\`) {
		return Blank + ` \`
	}
	return m.blank()
}

// blankLine blanks a line that is secret as a whole; in YAML it becomes a comment,
// so that what is left still reads as YAML.
func (m *masker) blankLine(s string) string {
	t := strings.TrimSpace(s)
	if t == "" {
		return s
	}
	margin := s[:len(s)-len(strings.TrimLeft(s, " \t"))]
	if m.yaml {
		return margin + "# " + Blank
	}
	return margin + m.blankValue(t)
}

func indentOf(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }

// everything blanks all lines: the last resort.
func everything(text string) string {
	m := masker{yaml: true}
	var out strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		out.WriteString(m.blankLine(body))
		out.WriteString(line[len(body):])
	}
	return out.String()
}
