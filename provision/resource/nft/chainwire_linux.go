package nft

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// hooksOf lists a family's hooks by number (include/uapi/linux/netfilter.h,
// netfilter_arp.h).
func hooksOf(family string) []string {
	switch family {
	case "netdev":
		return []string{"ingress", "egress"}
	case "arp":
		return []string{"input", "output", "forward"}
	}
	return []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
}

// putChain is the body of NFT_MSG_NEWCHAIN.
func putChain(b []byte, family, table string, c *Chain) ([]byte, error) {
	b = nfnl.PutString(b, unix.NFTA_CHAIN_TABLE, table)
	b = nfnl.PutString(b, unix.NFTA_CHAIN_NAME, c.Name)
	if c.Base != nil {
		hook, ok := number(hooksOf(family), c.Base.Hook)
		if !ok {
			return nil, fmt.Errorf("family %s has no hook %q", family, c.Base.Hook)
		}
		var at int
		b, at = nfnl.Open(b, unix.NFTA_CHAIN_HOOK)
		b = nfnl.Put32(b, unix.NFTA_HOOK_HOOKNUM, hook)
		b = nfnl.Put32(b, unix.NFTA_HOOK_PRIORITY, uint32(c.Base.Priority))
		if c.Base.Device != "" {
			b = nfnl.PutString(b, unix.NFTA_HOOK_DEV, c.Base.Device)
		}
		b = nfnl.Close(b, at)
		policy, ok := verdictCode(c.Base.Policy)
		if !ok || policy < 0 {
			return nil, fmt.Errorf("policy %q is neither accept nor drop", c.Base.Policy)
		}
		b = nfnl.Put32(b, unix.NFTA_CHAIN_POLICY, uint32(policy))
		b = nfnl.PutString(b, unix.NFTA_CHAIN_TYPE, c.Base.Type)
	}
	if c.Comment != "" {
		b = nfnl.Put(b, nftaChainUserdata, putUserText(nil, udComment, c.Comment))
	}
	return b, nil
}

// readChain reads NFT_MSG_NEWCHAIN.
func readChain(family string, b []byte) (table string, c Chain, ok bool) {
	var a attrs
	a.read(b)
	table, c.Name = a.text(unix.NFTA_CHAIN_TABLE), a.text(unix.NFTA_CHAIN_NAME)
	c.Comment = userText(a.tb[nftaChainUserdata], udComment)
	if a.has(unix.NFTA_CHAIN_HOOK) {
		var h attrs
		a.in(unix.NFTA_CHAIN_HOOK, &h)
		c.Base = &Base{Type: "filter", Policy: "accept"}
		n := h.u32(unix.NFTA_HOOK_HOOKNUM)
		if name, ok := word(hooksOf(family), n); ok {
			c.Base.Hook = name
		} else {
			c.Base.Hook = fmt.Sprintf("#%d", n)
		}
		c.Base.Priority = int32(h.u32(unix.NFTA_HOOK_PRIORITY))
		if h.has(unix.NFTA_HOOK_DEV) {
			c.Base.Device = h.text(unix.NFTA_HOOK_DEV)
		} else if h.has(nftaHookDevs) {
			var all []string
			_ = nfnl.Each(h.tb[nftaHookDevs], func(_ uint16, d []byte) error {
				s, _ := cstring(d)
				all = append(all, s)
				return nil
			})
			c.Base.Device = strings.Join(all, ",")
		}
		if a.has(unix.NFTA_CHAIN_TYPE) {
			c.Base.Type = a.text(unix.NFTA_CHAIN_TYPE)
		}
		if a.has(unix.NFTA_CHAIN_POLICY) {
			c.Base.Policy, _ = verdictName(int32(a.u32(unix.NFTA_CHAIN_POLICY)))
		}
		a.odd = a.odd || h.odd
	}
	return table, c, !a.odd && c.Name != ""
}

// putRule is the body of NFT_MSG_NEWRULE. before is the handle of the rule that it goes before,
// 0 for the end of the chain.
func putRule(b []byte, table, chain string, r *Rule, before uint64, ids map[string]uint32) ([]byte, error) {
	b = nfnl.PutString(b, unix.NFTA_RULE_TABLE, table)
	b = nfnl.PutString(b, unix.NFTA_RULE_CHAIN, chain)
	if before != 0 {
		b = nfnl.Put64(b, unix.NFTA_RULE_POSITION, before)
	}
	var at int
	b, at = nfnl.Open(b, unix.NFTA_RULE_EXPRESSIONS)
	w := encoder{b: b, ids: ids}
	w.exprs(r.Exprs)
	if len(w.b)-at > nfnl.MaxAttr {
		return nil, fmt.Errorf("a rule of more than 64 KiB")
	}
	b = nfnl.Close(w.b, at)
	if r.Comment != "" {
		b = nfnl.Put(b, unix.NFTA_RULE_USERDATA, putUserText(nil, udComment, r.Comment))
	}
	return b, w.err
}
