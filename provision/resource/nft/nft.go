// Package nft is a whole nf_tables table as one piece of state: kind "nft", name
// "inet provision". A table is changed in one transaction (man 8 nft, "atomic rule
// replacement"; net/netfilter/nf_tables_api.c): all of it holds or none.
//
// A rule is the list of the kernel's own expressions (include/uapi/linux/netfilter/nf_tables.h),
// not of a language above them. What is compiled, sent, read back, compared, printed and
// simulated is the same list, so nothing can be lost between two forms of it.
package nft

// Kind of reference. The name is "FAMILY TABLE".
const Kind = "nft"

// OwnTable is the table that is ours; nothing of ours is ever put elsewhere unless the
// configuration asks for an adapter to a foreign firewall.
const (
	OwnFamily = "inet"
	OwnTable  = "provision"
)

// Table is one table with everything in it. Order means something for chains (they are
// created in this order) and for rules.
type Table struct {
	Family string  `json:"family"` // inet, ip, ip6, arp, bridge, netdev
	Name   string  `json:"name"`
	Sets   []Set   `json:"sets,omitempty"`
	Chains []Chain `json:"chains,omitempty"`
	// Dormant: all of its base chains are switched off (NFT_TABLE_F_DORMANT).
	Dormant bool `json:"dormant,omitempty"`
	// Owner: it belongs to one process, goes with its socket, and nobody else can change it
	// (NFT_TABLE_F_OWNER). Only read, never made: a kill switch must outlive its maker.
	Owner bool `json:"owner,omitempty"`
}

// Chain is a list of rules; a base chain is one that packets enter by a hook.
type Chain struct {
	Name    string `json:"name"`
	Comment string `json:"comment,omitempty"`
	Base    *Base  `json:"base,omitempty"` // nil: reached by jump and goto only
	Rules   []Rule `json:"rules,omitempty"`
}

// Base is what makes a base chain.
type Base struct {
	Type     string `json:"type"` // filter, nat, route
	Hook     string `json:"hook"` // prerouting, input, forward, output, postrouting, ingress
	Priority int32  `json:"priority"`
	Policy   string `json:"policy"`           // accept, drop
	Device   string `json:"device,omitempty"` // ingress only
}

// Rule is a list of expressions that are run in order until one does not match or gives a
// verdict. The comment is kept in the kernel with the rule (NFTNL_UDATA_RULE_COMMENT, at most
// 127 bytes there) and is part of what is compared.
type Rule struct {
	Exprs   []Expr `json:"exprs"`
	Comment string `json:"comment,omitempty"`
	Handle  uint64 `json:"-"` // of a rule that was read: the kernel's name for it
}

// Types of set keys and map data, by nft's names. Concatenations are several of them: each
// part takes a multiple of 4 bytes.
const (
	TypeIPv4    = "ipv4_addr"
	TypeIPv6    = "ipv6_addr"
	TypePort    = "inet_service"
	TypeProto   = "inet_proto"
	TypeIfname  = "ifname" // 16 bytes, padded with zeros
	TypeMark    = "mark"   // host byte order
	TypeVerdict = "verdict"
	TypeMAC     = "ether_addr"
)

// Set is a set or, with Data, a map.
type Set struct {
	Name     string    `json:"name"`
	Key      []string  `json:"key"`            // one type, or the parts of a concatenation
	Data     []string  `json:"data,omitempty"` // a map's values; TypeVerdict for a verdict map
	Interval bool      `json:"interval,omitempty"`
	Timeout  uint64    `json:"timeout,omitempty"` // default timeout of elements in milliseconds
	Size     uint32    `json:"size,omitempty"`    // most elements, 0 no limit
	Comment  string    `json:"comment,omitempty"`
	Elements []Element `json:"elements,omitempty"`
	// Learnt: elements are added at run time (by a daemon or by rules). They survive a change
	// of the table, and are neither compared nor part of a snapshot. To the kernel these are the
	// sets with timeouts (and, without Interval, those that rules may add to): a set of ours
	// has the one or the other.
	Learnt bool `json:"learnt,omitempty"`
	// Anonymous: made by nft for one rule ("{ 22, 80 }"), nameless and constant. Only read; no
	// table of ours has one.
	Anonymous bool `json:"anonymous,omitempty"`
	// Count and SHA256 stand for the elements of a large set where a table is an attribute.
	Count  int    `json:"count,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// Element is one key, or with To a range of keys (both ends are in it). All bytes are in
// network order but for TypeMark. Elements are sorted by Key and do not overlap. The parts of a
// concatenation are each padded with zeros to a multiple of 4 bytes, data's too. No Key at all
// stands for every key that has no element ("*").
type Element struct {
	Key     []byte   `json:"key"`
	To      []byte   `json:"to,omitempty"`
	Data    []byte   `json:"data,omitempty"`
	Verdict *Verdict `json:"verdict,omitempty"`
	Comment string   `json:"comment,omitempty"`
	// Timeout is how long an element lives, in milliseconds; of learnt sets only.
	Timeout uint64 `json:"timeout,omitempty"`
	// Expires is how long this one still has, in milliseconds; of learnt sets only.
	Expires uint64 `json:"-"`
}
