package conf

import (
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/routing/wireguard"
)

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// peerName makes the name of a peer of a comment: "### Client phone" of one script, "BEGIN_PEER phone"
// or "Name = phone" of others, or "phone".
func peerName(comment string) string {
	for _, word := range []string{"begin_peer", "client", "peer", "name", "user", "device"} {
		if rest, ok := cutWord(comment, word); ok {
			comment = rest
			break
		}
	}
	var b strings.Builder
	for _, r := range comment {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-':
			b.WriteRune(r)
		case r == ' ' || r == '\'' || r == '(' || r == ')' || r == '@':
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-_.")
	for strings.Contains(name, "--") {
		name = strings.ReplaceAll(name, "--", "-")
	}
	// A whole sentence is no name.
	if len(name) > 40 || strings.Count(name, "-") > 4 || wireguard.BadPeer(name) != "" {
		return ""
	}
	return name
}

// cutWord takes a first word, in any case, and what parts it from the rest.
func cutWord(s, word string) (string, bool) {
	if len(s) <= len(word) || !strings.EqualFold(s[:len(word)], word) || !strings.ContainsAny(s[len(word):len(word)+1], " :=\t") {
		return s, false
	}
	rest := strings.TrimLeft(s[len(word):], " :=\t")
	return rest, rest != ""
}

// names are the peers' names, each its own: that of the file, or peer1, peer2 ...
func (f File) names() []string {
	out := make([]string, len(f.Peers))
	used := map[string]bool{}
	for n, p := range f.Peers {
		name := p.Name
		if name == "" || used[name] {
			base := name
			if base == "" {
				base = "peer"
			}
			for k := n + 1; name == "" || used[name]; k++ {
				name = base + strconv.Itoa(k)
			}
		}
		used[name] = true
		out[n] = name
	}
	return out
}
