package dockeruser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/provision-net/provision/provision/host/netdev"
	"golang.org/x/sys/unix"
)

const (
	table     = "filter"
	chainName = "DOCKER-USER"
)

// found is one rule of the chain.
type found struct {
	handle uint64
	rule   rule
	ours   bool
	plain  bool // docker's RETURN
}

// conn is a connection to nf_tables for one look and at most one transaction.
type conn struct {
	fd     int
	seq    uint32
	family uint8
}

func dial(name string) (*conn, error) {
	family := map[string]uint8{"ip": unix.NFPROTO_IPV4, "ip6": unix.NFPROTO_IPV6}[name]
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("cannot reach nf_tables: %w", err)
	}
	c := &conn{fd: fd, family: family}
	// The kernel answers at once; what it does not answer must not hang a machine.
	limit := unix.NsecToTimeval(int64(5 * time.Second))
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)); err != nil {
		c.close()
		return nil, fmt.Errorf("cannot reach nf_tables: %w", err)
	}
	return c, nil
}

func (c *conn) close() { _ = unix.Close(c.fd) }

// message is one message with nlmsghdr and nfgenmsg before its attributes.
func (c *conn) message(kind uint16, flags uint16, family uint8, resource uint16, attrs ...[]byte) []byte {
	c.seq++
	b := make([]byte, unix.SizeofNlMsghdr+4)
	native.PutUint16(b[4:], kind)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	native.PutUint32(b[8:], c.seq)
	b[16] = family
	binary.BigEndian.PutUint16(b[18:], resource)
	for _, a := range attrs {
		b = append(b, a...)
	}
	native.PutUint32(b, uint32(len(b)))
	return b
}

func (c *conn) nft(kind int, flags uint16, attrs ...[]byte) []byte {
	return c.message(unix.NFNL_SUBSYS_NFTABLES<<8|uint16(kind), flags, c.family, 0, attrs...)
}

// ask sends and calls each for every answer, until n messages were acknowledged or the dump is done.
func (c *conn) ask(request []byte, n int, each func(kind uint16, body []byte) error) error {
	if err := unix.Sendto(c.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for n > 0 {
		size, _, err := unix.Recvfrom(c.fd, buf, unix.MSG_TRUNC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return os.ErrDeadlineExceeded
		}
		if err != nil {
			return err
		}
		if size > len(buf) {
			return errors.New("an answer of the kernel is too long")
		}
		for b := buf[:size]; len(b) >= unix.SizeofNlMsghdr; {
			length := int(native.Uint32(b))
			if length < unix.SizeofNlMsghdr || length > len(b) {
				return errors.New("an answer of the kernel is cut")
			}
			body, kind, flags := b[unix.SizeofNlMsghdr:length], native.Uint16(b[4:]), native.Uint16(b[6:])
			b = b[min((length+3)&^3, len(b)):]
			if flags&unix.NLM_F_DUMP_INTR != 0 {
				return errAgain
			}
			switch {
			case kind == unix.NLMSG_DONE, kind == unix.NLMSG_ERROR:
				if len(body) >= 4 {
					if code := int32(native.Uint32(body)); code != 0 {
						return unix.Errno(-code)
					}
				}
				n--
			case each != nil:
				if err := each(kind, body); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// errAgain says that the tables changed while they were read or written.
var errAgain = errors.New("the kernel's tables are changing")

// generation is the number of the last transaction (NFTA_GEN_ID): a batch that names it is
// refused with ERESTART when there has been another one since.
func (c *conn) generation() (uint32, error) {
	var id uint32
	err := c.ask(c.nft(unix.NFT_MSG_GETGEN, unix.NLM_F_ACK), 1, func(_ uint16, body []byte) error {
		attrs, err := attributes(body)
		id = number(attrs[unix.NFTA_GEN_ID])
		return err
	})
	return id, err
}

// exists reports whether docker's chain is there.
func (c *conn) exists() (bool, error) {
	err := c.ask(c.nft(unix.NFT_MSG_GETCHAIN, unix.NLM_F_ACK, text(unix.NFTA_CHAIN_TABLE, table), text(unix.NFTA_CHAIN_NAME, chainName)), 1, nil)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) && !supported() {
		return false, nil
	}
	return err == nil, err
}

// supported reports whether the kernel has nf_tables at all.
func supported() bool {
	_, err := os.Stat("/proc/sys/net/netfilter")
	return err == nil
}

// rules lists the rules of the chain in order.
func (c *conn) rules() ([]found, error) {
	var out []found
	request := c.nft(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, text(unix.NFTA_RULE_TABLE, table), text(unix.NFTA_RULE_CHAIN, chainName))
	err := c.ask(request, 1, func(_ uint16, body []byte) error {
		attrs, err := attributes(body)
		if err != nil {
			return err
		}
		// Kernels before 4.7 do not filter by chain.
		if zero(attrs[unix.NFTA_RULE_TABLE]) != table || zero(attrs[unix.NFTA_RULE_CHAIN]) != chainName || len(body) > 0 && body[0] != c.family {
			return nil
		}
		f := found{plain: plainReturn(attrs[unix.NFTA_RULE_EXPRESSIONS])}
		if h := attrs[unix.NFTA_RULE_HANDLE]; len(h) == 8 {
			f.handle = binary.BigEndian.Uint64(h)
		}
		f.rule, f.ours = decode(attrs[unix.NFTA_RULE_EXPRESSIONS])
		out = append(out, f)
		return nil
	})
	return out, err
}

// change removes rules and adds others before the one with the handle, or at the end when that is 0, in one transaction.
func (c *conn) change(generation uint32, remove []uint64, add []rule, before uint64) error {
	where := []([]byte){text(unix.NFTA_RULE_TABLE, table), text(unix.NFTA_RULE_CHAIN, chainName)}
	batch := c.message(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, be32(unix.NFNL_BATCH_GENID, generation))
	n := 0
	for _, r := range add {
		attrs := append(where[:2:2], attr(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, r.exprs()), r.compat())
		flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_ACK)
		if before == 0 {
			flags |= unix.NLM_F_APPEND
		} else {
			attrs = append(attrs, be64(unix.NFTA_RULE_POSITION, before))
		}
		batch = append(batch, c.nft(unix.NFT_MSG_NEWRULE, flags, attrs...)...)
		n++
	}
	for _, h := range remove {
		batch = append(batch, c.nft(unix.NFT_MSG_DELRULE, unix.NLM_F_ACK, append(where[:2:2], be64(unix.NFTA_RULE_HANDLE, h))...)...)
		n++
	}
	batch = append(batch, c.message(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)...)
	err := c.ask(batch, n, nil)
	if errors.Is(err, unix.ERESTART) || errors.Is(err, unix.EAGAIN) {
		return errAgain
	}
	return err
}

func attributes(body []byte) (map[uint16][]byte, error) {
	if len(body) < 4 {
		return nil, errors.New("an answer of the kernel is short")
	}
	list, err := netdev.ParseAttrs(body[4:])
	m := make(map[uint16][]byte, len(list))
	for _, a := range list {
		m[a.Kind&^unix.NLA_F_NESTED] = a.Data
	}
	return m, err
}

func text(kind uint16, s string) []byte { return attr(kind, append([]byte(s), 0)) }

func zero(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
