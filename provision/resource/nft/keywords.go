package nft

import "strings"

// keywords are the words that nft's scanner takes for something else than a name wherever they
// stand (nftables src/scanner.l, what has no start condition, and two that are words behind an
// @). The kernel takes them as names all the same, and then `nft -f` cannot read what `nft list`
// has printed.
const keywords = ` eq ne le lt ge gt lshift rshift xor and or not vmap include define redefine undefine describe hook device
 devices table chain rule set element map flowtable handle ruleset socket tproxy accept drop continue jump goto return inet
 netdev add replace update create insert delete get list reset flush rename import export monitor destroy position index
 comment constant interval dynamic auto-merge timeout gc-interval elements expires policy size flow offload meter counter
 last log queue limit quota hour day reject snat dnat masquerade redirect random th ll nh bridge ether type typeof vlan 8021ad
 8021q arp ip ecn time icmp icmpv6 igmp ip6 priority ah esp comp flags udp udplite vxlan vni geneve gre gretap tcp dccp sctp
 rt rt0 rt2 srh hbh frag dst mh meta mark iif iifname iiftype oif oifname oiftype skuid skgid nftrace rtclassid ibriport ibrname
 obriport obrname pkttype cpu iifgroup oifgroup cgroup ct numgen jhash symhash dup fwd fib osf synproxy tunnel notrack all
 exists missing exthdr ipsec secmark xt `

// nameProblem says why a table, chain or set cannot have this name, empty if it can.
func nameProblem(name string) string {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
	switch {
	case name == "":
		return "it has no name"
	case len(name) > maxName:
		return "its name is longer than 255 bytes"
	case strings.HasPrefix(name, anonymous), strings.HasPrefix(name, "__map"):
		return "nft names nameless sets so: begin it with another word"
	case !letter(name[0]):
		return "its name must begin with a letter"
	}
	for i := range len(name) {
		if c := name[i]; !letter(c) && (c < '0' || c > '9') && !strings.ContainsRune("-./", rune(c)) {
			return "its name may have letters, digits and -_./ only, for nft to be able to read it"
		}
	}
	if strings.Contains(strings.ReplaceAll(keywords, "\n", " "), " "+name+" ") {
		return "its name is a word of nft's language, which nft could not read back: choose another, such as " + name + "-1"
	}
	return ""
}

// textProblem says why a comment or a log prefix cannot be kept, empty if it can.
func textProblem(s string) string {
	if len(s) > MaxComment {
		return "it is longer than 127 bytes"
	}
	for _, c := range s {
		if c == '"' || c == '\\' || c < ' ' || c == 0x7f || c == '\uFFFD' {
			return "it has a quotation mark, a backslash or bytes that are no text, which nft could not read back"
		}
	}
	return ""
}
