package foreign

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Notes tells people what there is beside rules that drop packets now.
func Notes(s Seen) []provision.Note {
	var out []provision.Note
	add := func(level, subject, format string, args ...any) {
		out = append(out, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
	}
	if slices.Contains(s.Units, "nftables.service") && flushes(s.Files["/etc/nftables.conf"]) {
		add("warning", "nftables.service", "/etc/nftables.conf begins with flush ruleset: each start or reload of nftables.service empties every table, ours too. "+
			"`provision watch` puts ours back at once; better, let the file replace its own tables only (table inet filter; delete table inet filter; table inet filter { ... })")
	}
	for _, path := range []string{"/etc/iptables/rules.v4", "/etc/iptables/rules.v6"} {
		if saved := savedBy(s.Files[path]); saved != "" && slices.Contains(s.Units, "netfilter-persistent.service") {
			add("warning", path, "it holds the chains of %s as they were when somebody saved them (chain %s): each boot brings those back beside the present ones. "+
				"Take them out of the file", saved, firstChain(s.Files[path], saved))
		}
	}
	if b := Bridged(s); len(b) > 0 {
		add("info", "bridge netfilter", "frames between the ports of %s pass the forward chains of iptables and of inet tables (net.bridge.bridge-nf-call-iptables=1): "+
			"a policy for routed packets has to accept first what comes in and leaves by one and the same bridge", strings.Join(b, ", "))
	}
	if len(s.Legacy4)+len(s.Legacy6) > 0 && slices.ContainsFunc(s.Tables, compat) {
		add("warning", "iptables", "the old x_tables (%s) and iptables-nft are both in use: rules of both filter, and each tool shows its own only",
			strings.Join(append(slices.Clone(s.Legacy4), s.Legacy6...), ", "))
	}
	return out
}

// savedBy finds chains of a running product in a file of iptables-save.
func savedBy(file string) string {
	for _, g := range signatures() {
		if g.name == "oracle-cloud" {
			continue // it is that file's own
		}
		if firstChain(file, g.name) != "" {
			return g.name
		}
	}
	return ""
}

func firstChain(file, product string) string {
	for line := range strings.Lines(file) {
		name, _, ok := strings.Cut(strings.TrimPrefix(line, ":"), " ")
		if !ok || !strings.HasPrefix(line, ":") {
			continue
		}
		for _, g := range signatures() {
			if g.name == product && fits(name, g.chains) {
				return name
			}
		}
	}
	return ""
}
