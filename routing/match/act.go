package match

import "github.com/provision-net/provision/provision/resource/nft"

// Accept ends this base chain's say; those of a later priority still have theirs.
//
//go:noinline
func Accept() []nft.Expr { return verdict("accept", "") }

// Drop is final.
//
//go:noinline
func Drop() []nft.Expr { return verdict("drop", "") }

// Return goes back to the rule after the jump.
func Return() []nft.Expr { return verdict("return", "") }

// Jump goes to a chain and comes back.
//
//go:noinline
func Jump(chain string) []nft.Expr { return verdict("jump", chain) }

// Goto goes to a chain and does not come back to this one.
func Goto(chain string) []nft.Expr { return verdict("goto", chain) }

//go:noinline
func verdict(kind, chain string) []nft.Expr {
	return []nft.Expr{{Verdict: &nft.Verdict{Kind: kind, Chain: chain}}}
}

// Counter counts packets and bytes.
//
//go:noinline
func Counter() []nft.Expr { return []nft.Expr{{Counter: &nft.Counter{}}} }

// Limit goes on while there were no more than rate packets per so many seconds (1, 60, 3600 ...),
// with a burst on top.
//
//go:noinline
func Limit(rate, per uint64, burst uint32) []nft.Expr {
	return []nft.Expr{{Limit: &nft.Limit{Rate: rate, Per: per, Burst: burst}}}
}

// LimitSource is Limit for each source address by itself. The set has the key of that family's
// addresses, a timeout and a size, and is Learnt; a source that finds it full is not logged.
func LimitSource(family int, set string, rate, per uint64, burst uint32) []nft.Expr {
	n := uint32(4)
	if family == 6 {
		n = 16
	}
	return append(nfproto(family, 2), source.load(family, n), nft.Expr{DynSet: &nft.DynSet{
		Op: "update", Set: set, Reg: 1, Exprs: Limit(rate, per, burst)}})
}

// MaxPrefix is the longest prefix of a line in the log (NF_LOG_PREFIXLEN of
// linux/netfilter/nf_log.h counts the final zero).
const MaxPrefix = 127

// Log writes a line with the prefix to the kernel's log.
//
//go:noinline
func Log(prefix string) []nft.Expr {
	if len(prefix) > MaxPrefix {
		prefix = prefix[:MaxPrefix]
	}
	return []nft.Expr{{Log: &nft.Log{Prefix: prefix}}}
}

// LogGroup sends the packet with the prefix to an nflog group, for a daemon that listens there.
func LogGroup(prefix string, group uint16) []nft.Expr {
	out := Log(prefix)
	out[0].Log.Group = &group
	return out
}

// Reject refuses with "port unreachable" of the packet's family (NFT_REJECT_ICMPX_PORT_UNREACH).
func Reject() []nft.Expr { return reject("icmpx", 1) }

// RejectAdmin refuses with "administratively prohibited" (NFT_REJECT_ICMPX_ADMIN_PROHIBITED).
//
//go:noinline
func RejectAdmin() []nft.Expr { return reject("icmpx", 3) }

// RejectTCP refuses a TCP connection with a reset: clients stop at once, which they do not
// after every ICMP error.
func RejectTCP() []nft.Expr { return Join(L4Proto(TCP), reject("tcp reset", 0)) }

//go:noinline
func reject(typ string, code uint8) []nft.Expr {
	return []nft.Expr{{Reject: &nft.Reject{Type: typ, Code: code}}}
}
