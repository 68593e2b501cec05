package conf

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Standings of a line that has no key of its own in the configuration.
const (
	Policy  = "policy"   // it is a key of the configuration now
	BuiltIn = "built in" // this program does it anyway
	Partly  = "partly"   // not all of it
	Left    = "left out" // nothing does it
)

// Line is what became of one command or key of a file.
type Line struct {
	Line     int    `json:"line"`
	Text     string `json:"text"` // the key and what of its value is no secret
	Standing string `json:"standing"`
	Became   string `json:"became"` // for people
}

// rule is a call of iptables or ip6tables, as far as it is understood.
type rule struct {
	six                  bool
	table, op, chain     string
	in, out, src         string
	proto, target, dport string
	known                bool // for answers only
	clamp                bool
	other                bool // something that is not understood
}

// commands takes a hook apart at ; && and new lines, and each command at blanks. A command with
// anything of a shell in it is one word.
func commands(text, device string) [][]string {
	var out [][]string
	text = strings.ReplaceAll(text, "%i", device)
	for _, c := range strings.FieldsFunc(strings.ReplaceAll(text, "&&", ";"), func(r rune) bool { return r == ';' || r == '\n' }) {
		// Whether it fails is nobody's business here.
		c = strings.TrimSuffix(strings.TrimSpace(c), "|| true")
		if c = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(c), "2>/dev/null")); c == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(c, "echo 1 > /proc/sys/"); ok {
			out = append(out, []string{"sysctl", "-w", strings.ReplaceAll(rest, "/", ".") + "=1"})
			continue
		}
		if strings.ContainsAny(c, "|<>$`\\*?&()") {
			out = append(out, []string{c})
			continue
		}
		words := strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(c))
		if len(words) == 0 {
			continue
		}
		if len(words) > 1 && words[0] == "sudo" {
			words = words[1:]
		}
		if strings.HasPrefix(words[0], "/") {
			words[0] = path.Base(words[0])
		}
		out = append(out, words)
	}
	return out
}

// iptables reads the arguments of iptables(8).
func iptables(words []string) rule {
	r := rule{six: words[0] == "ip6tables", table: "filter"}
	not := false
	for n := 1; n < len(words); n++ {
		w := words[n]
		next := func() string {
			if n++; n < len(words) {
				return words[n]
			}
			r.other = true
			return ""
		}
		if w == "!" {
			not = true
			continue
		}
		switch w {
		case "-w", "--wait":
			if n+1 < len(words) {
				if _, err := strconv.Atoi(words[n+1]); err == nil {
					n++
				}
			}
		case "-t", "--table":
			r.table = next()
		case "-A", "--append", "-I", "--insert", "-D", "--delete":
			r.op = strings.TrimLeft(w, "-")[:1]
			if len(w) > 2 {
				r.op = strings.ToUpper(w[2:3])
			}
			r.chain = next()
			if n+1 < len(words) {
				if _, err := strconv.Atoi(words[n+1]); err == nil {
					n++
				}
			}
		case "-i", "--in-interface":
			r.in = next()
		case "-o", "--out-interface":
			r.out = next()
		case "-s", "--source":
			r.src = next()
		case "-p", "--protocol":
			r.proto = next()
		case "--dport", "--dports", "--destination-port":
			r.dport = next()
		case "-j", "--jump":
			r.target = next()
		case "-m", "--match":
			if m := next(); !slices.Contains([]string{"conntrack", "state", "udp", "tcp", "comment", "multiport"}, m) {
				r.other = true
			}
		case "--ctstate", "--state":
			v := strings.ToUpper(next())
			r.known = !strings.Contains(v, "NEW")
		case "--comment":
			next()
		case "--tcp-flags":
			next()
			next()
		case "--clamp-mss-to-pmtu":
			r.clamp = true
		case "--set-mss":
			next()
			r.clamp = true
		default:
			r.other = true
		}
		if not {
			r.other, not = true, false
		}
	}
	return r
}
