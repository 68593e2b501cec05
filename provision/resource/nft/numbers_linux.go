package nft

import "golang.org/x/sys/unix"

// What include/uapi/linux/netfilter/nf_tables.h has and golang.org/x/sys/unix not (yet).
const (
	nftaBitwiseOp         = 6  // NFTA_BITWISE_OP
	nftaDynsetExpressions = 10 // NFTA_DYNSET_EXPRESSIONS
	dynsetManyExprs       = 2  // NFT_DYNSET_F_EXPR
	nftaHookDevs          = 4  // NFTA_HOOK_DEVS
	nftaDeviceName        = 1  // NFTA_DEVICE_NAME
	nftaTableUserdata     = 6  // NFTA_TABLE_USERDATA
	nftaTableOwner        = 7  // NFTA_TABLE_OWNER
	nftaChainFlags        = 10 // NFTA_CHAIN_FLAGS
	nftaChainID           = 11 // NFTA_CHAIN_ID
	nftaChainUserdata     = 12 // NFTA_CHAIN_USERDATA
	nftaSetElemKeyEnd     = 10 // NFTA_SET_ELEM_KEY_END
	nftaSetDescConcat     = 2  // NFTA_SET_DESC_CONCAT
	nftaSetFieldLen       = 1  // NFTA_SET_FIELD_LEN
	setConcat             = 0x80
	elemCatchall          = 2 // NFT_SET_ELEM_CATCHALL
	tableOwner            = 2 // NFT_TABLE_F_OWNER
	tableDormant          = 1 // NFT_TABLE_F_DORMANT
	nftDataVerdict        = 0xffffff00
)

// families are NFPROTO_* (include/uapi/linux/netfilter.h).
var families = []struct {
	name   string
	number uint8
}{{"inet", 1}, {"ip", 2}, {"arp", 3}, {"netdev", 5}, {"bridge", 7}, {"ip6", 10}}

func familyNumber(name string) (uint8, bool) {
	for _, f := range families {
		if f.name == name {
			return f.number, true
		}
	}
	return 0, false
}

func familyName(n uint8) (string, bool) {
	for _, f := range families {
		if f.number == n {
			return f.name, true
		}
	}
	return "", false
}

// verdicts are NF_* (include/uapi/linux/netfilter.h) and NFT_*.
var verdicts = []struct {
	name string
	code int32
}{
	{"accept", 1}, {"drop", 0}, {"continue", unix.NFT_CONTINUE}, {"return", unix.NFT_RETURN},
	{"jump", unix.NFT_JUMP}, {"goto", unix.NFT_GOTO},
}

func verdictCode(name string) (int32, bool) {
	for _, v := range verdicts {
		if v.name == name {
			return v.code, true
		}
	}
	return 0, false
}

func verdictName(code int32) (string, bool) {
	for _, v := range verdicts {
		if v.code == code {
			return v.name, true
		}
	}
	return "", false
}
