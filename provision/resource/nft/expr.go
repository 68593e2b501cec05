package nft

// Expr is one expression of the kernel's: exactly one of the pointers below is set. Registers
// are numbered as the kernel's 16-byte ones are (NFT_REG_VERDICT 0, NFT_REG_1 1 ... 4) and, for
// parts of a concatenation, as its 4-byte ones (NFT_REG32_00 8 ... 23). Data is in the byte order
// in which the kernel compares it: network order for packet fields, host order for marks,
// connection tracking states and device indexes.
type Expr struct {
	Meta      *Meta      `json:"meta,omitempty"`
	Payload   *Payload   `json:"payload,omitempty"`
	Cmp       *Cmp       `json:"cmp,omitempty"`
	Range     *Range     `json:"range,omitempty"`
	Bitwise   *Bitwise   `json:"bitwise,omitempty"`
	Byteorder *Byteorder `json:"byteorder,omitempty"`
	Lookup    *Lookup    `json:"lookup,omitempty"`
	Immediate *Immediate `json:"immediate,omitempty"`
	Verdict   *Verdict   `json:"verdict,omitempty"`
	Ct        *Ct        `json:"ct,omitempty"`
	Fib       *Fib       `json:"fib,omitempty"`
	Rt        *Rt        `json:"rt,omitempty"`
	Exthdr    *Exthdr    `json:"exthdr,omitempty"`
	Counter   *Counter   `json:"counter,omitempty"`
	Limit     *Limit     `json:"limit,omitempty"`
	Log       *Log       `json:"log,omitempty"`
	Reject    *Reject    `json:"reject,omitempty"`
	NAT       *NAT       `json:"nat,omitempty"`
	Masq      *Masq      `json:"masq,omitempty"`
	Redir     *Redir     `json:"redir,omitempty"`
	Notrack   *Notrack   `json:"notrack,omitempty"`
	DynSet    *DynSet    `json:"dynset,omitempty"`
	Unknown   *Unknown   `json:"unknown,omitempty"` // read from the kernel, never sent
}

// Meta loads a packet's metadata into Reg or, with Set, sets it from Reg (nft_meta.c). Keys by
// nft's names: iifname, oifname, iif, oif, iiftype, oiftype, nfproto, l4proto, protocol, mark,
// pkttype, length, skuid, skgid, priority, cgroup, iifgroup, oifgroup, iifkind, oifkind.
type Meta struct {
	Key string `json:"key"`
	Reg uint32 `json:"reg"`
	Set bool   `json:"set,omitempty"`
}

// Payload loads bytes of the packet (nft_payload.c).
type Payload struct {
	Base   string `json:"base"` // link, network, transport
	Offset uint32 `json:"offset"`
	Len    uint32 `json:"len"`
	Reg    uint32 `json:"reg"`
}

// Cmp goes on if the comparison holds (nft_cmp.c). Op: ==, !=, <, <=, >, >=.
type Cmp struct {
	Op   string `json:"op"`
	Reg  uint32 `json:"reg"`
	Data []byte `json:"data"`
}

// Range goes on if From <= Reg <= To, or with Op "!=" if not (nft_range.c).
type Range struct {
	Op   string `json:"op"` // ==, !=
	Reg  uint32 `json:"reg"`
	From []byte `json:"from"`
	To   []byte `json:"to"`
}

// Bitwise is Dst = Src & Mask ^ Xor over Len bytes (nft_bitwise.c, NFT_BITWISE_MASK_XOR).
type Bitwise struct {
	Src  uint32 `json:"src"`
	Dst  uint32 `json:"dst"`
	Len  uint32 `json:"len"`
	Mask []byte `json:"mask"`
	Xor  []byte `json:"xor"`
}

// Byteorder turns Len bytes in units of Size (nft_byteorder.c). Op: hton, ntoh.
type Byteorder struct {
	Op   string `json:"op"`
	Src  uint32 `json:"src"`
	Dst  uint32 `json:"dst"`
	Len  uint32 `json:"len"`
	Size uint32 `json:"size"`
}

// Lookup goes on if the register's value is in the set, or with Invert if it is not; Map loads
// the element's data into Dst, which is 0 for verdict maps (nft_lookup.c).
type Lookup struct {
	Set    string `json:"set"`
	Reg    uint32 `json:"reg"`
	Map    bool   `json:"map,omitempty"`
	Dst    uint32 `json:"dst,omitempty"`
	Invert bool   `json:"invert,omitempty"`
}

// Immediate puts Data into Reg (nft_immediate.c).
type Immediate struct {
	Reg  uint32 `json:"reg"`
	Data []byte `json:"data"`
}

// Verdict ends the rule. Kind: accept, drop, continue, return, jump, goto.
type Verdict struct {
	Kind  string `json:"kind"`
	Chain string `json:"chain,omitempty"` // of jump and goto
}

// Ct loads from connection tracking into Reg, or with Set sets from it (nft_ct.c). Keys by nft's
// names: state, mark, status, direction, expiration, zone, helper, l3proto, proto; and, with
// Dir "original" or "reply", saddr, daddr, proto-src, proto-dst.
type Ct struct {
	Key string `json:"key"`
	Reg uint32 `json:"reg"`
	Dir string `json:"dir,omitempty"`
	Set bool   `json:"set,omitempty"`
}

// Bits of ct state and of ct status, as nft_ct.c puts them into a register in host order.
const (
	StateInvalid     = 1
	StateEstablished = 2
	StateRelated     = 4
	StateNew         = 8
	StateUntracked   = 64

	StatusSNAT = 0x10 // IPS_SRC_NAT
	StatusDNAT = 0x20 // IPS_DST_NAT
)

// Fib asks the routing tables about the packet (nft_fib.c). Result: type (RTN_* in host order),
// oif, oifname, present. Flags: saddr, daddr, mark, iif, oif.
type Fib struct {
	Result string   `json:"result"`
	Flags  []string `json:"flags"`
	Reg    uint32   `json:"reg"`
}

// Rt loads from the packet's route (nft_rt.c). Key: tcpmss (host order), classid, nexthop4, nexthop6.
type Rt struct {
	Key string `json:"key"`
	Reg uint32 `json:"reg"`
}

// Exthdr loads from, or with Set writes to, an extension header or TCP option (nft_exthdr.c).
// With Present Reg gets whether there is one.
type Exthdr struct {
	Op      string `json:"op"`   // ipv6, tcpopt, ipv4
	Type    uint8  `json:"type"` // TCP option kind (2 is MSS), next-header number
	Offset  uint32 `json:"offset"`
	Len     uint32 `json:"len"`
	Reg     uint32 `json:"reg"`
	Set     bool   `json:"set,omitempty"`
	Present bool   `json:"present,omitempty"`
}

// Counter counts; what it has counted is read, and never compared.
type Counter struct {
	Packets uint64 `json:"-"`
	Bytes   uint64 `json:"-"`
}

// Limit goes on while the rate is not exceeded, with Over only when it is (nft_limit.c).
type Limit struct {
	Rate  uint64 `json:"rate"`  // packets, or with Bytes bytes
	Per   uint64 `json:"per"`   // seconds: 1, 60, 3600, 86400, 604800
	Burst uint32 `json:"burst"` // packets or bytes
	Bytes bool   `json:"bytes,omitempty"`
	Over  bool   `json:"over,omitempty"`
}

// Log writes a line to the kernel's log, or with Group to that nflog group (nft_log.c).
type Log struct {
	Prefix  string  `json:"prefix,omitempty"`
	Level   *uint32 `json:"level,omitempty"` // syslog's numbers, nil is the kernel's own default (4, warning)
	Group   *uint16 `json:"group,omitempty"`
	Snaplen uint32  `json:"snaplen,omitempty"`
	Flags   uint32  `json:"flags,omitempty"`
}

// Reject refuses with a message. Type: icmp, icmpv6 (code of that family), icmpx (NFT_REJECT_ICMPX_*),
// tcp reset.
type Reject struct {
	Type string `json:"type"` // icmp, tcp reset, icmpx
	Code uint8  `json:"code,omitempty"`
}

// NAT rewrites an address, a port or both; registers that are 0 are not given (nft_nat.c).
type NAT struct {
	Kind    string   `json:"kind"`   // snat, dnat
	Family  string   `json:"family"` // ip, ip6
	AddrMin uint32   `json:"addr_min,omitempty"`
	AddrMax uint32   `json:"addr_max,omitempty"`
	PortMin uint32   `json:"port_min,omitempty"`
	PortMax uint32   `json:"port_max,omitempty"`
	Flags   []string `json:"flags,omitempty"` // random, fully-random, persistent, prefix (netmap)
}

// Masq is snat to the outgoing device's address (nft_masq.c).
type Masq struct {
	PortMin uint32   `json:"port_min,omitempty"`
	PortMax uint32   `json:"port_max,omitempty"`
	Flags   []string `json:"flags,omitempty"`
}

// Redir is dnat to this machine (nft_redir.c).
type Redir struct {
	PortMin uint32   `json:"port_min,omitempty"`
	PortMax uint32   `json:"port_max,omitempty"`
	Flags   []string `json:"flags,omitempty"`
}

// Notrack keeps connection tracking off the packet (nft_ct.c, notrack).
type Notrack struct{}

// DynSet adds the register's value to a set (nft_dynset.c).
type DynSet struct {
	Op      string `json:"op"` // add, update, delete
	Set     string `json:"set"`
	Reg     uint32 `json:"reg"`
	Data    uint32 `json:"data,omitempty"`    // register with a map's value
	Timeout uint64 `json:"timeout,omitempty"` // milliseconds
	Invert  bool   `json:"invert,omitempty"`
	Exprs   []Expr `json:"exprs,omitempty"` // limit, counter
}

// Unknown is an expression of somebody else's that this package cannot read (xt matches of
// iptables-nft, for example). A rule of ours never has one.
type Unknown struct {
	Name string `json:"name"`
	Data []byte `json:"data,omitempty"`
}
