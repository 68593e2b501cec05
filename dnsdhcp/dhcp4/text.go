package dhcp4

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
)

// Describe writes a message as text, one field or option a line, in the order in which the options are in it. Fields
// that are zero are left out. It is stable, and safe to print: what is not plain text is quoted or hexadecimal.
func Describe(raw []byte) (string, error) {
	var p wire.Packet
	err := p.Decode(raw)
	if err != nil {
		return "", err
	}
	var s strings.Builder
	op := map[uint8]string{wire.BootRequest: "request", wire.BootReply: "reply"}[p.Op]
	if op == "" {
		op = fmt.Sprintf("op %d", p.Op)
	}
	fmt.Fprintf(&s, "%s xid %#08x, %d bytes\n", op, p.XID, len(raw))
	if p.HLen > 0 {
		fmt.Fprintf(&s, "chaddr %s\n", hwString(string(p.HW())))
	}
	if p.Flags != 0 {
		fmt.Fprintf(&s, "flags %#04x\n", p.Flags)
	}
	for _, f := range [...]struct {
		name string
		addr netip.Addr
	}{{"ciaddr", p.CIAddr}, {"yiaddr", p.YIAddr}, {"siaddr", p.SIAddr}, {"giaddr", p.GIAddr}} {
		if !f.addr.IsUnspecified() {
			fmt.Fprintf(&s, "%s %s\n", f.name, f.addr)
		}
	}
	for _, f := range [...]struct {
		name string
		v    []byte
	}{{"sname", p.SName}, {"file", p.File}} {
		if len(f.v) > 0 {
			fmt.Fprintf(&s, "%s %q\n", f.name, f.v)
		}
	}
	for _, c := range p.Codes() {
		v := p.Get(c)
		if c == wire.OptMessageType {
			fmt.Fprintf(&s, "message-type %s\n", wire.TypeName(p.Type()))
			continue
		}
		fmt.Fprintln(&s, option.Option{Code: c, Data: v})
	}
	return s.String(), nil
}

// String says where a reply goes.
func (d Dest) String() string {
	switch d.Path {
	case Unicast:
		return "unicast to " + d.To.String()
	case Broadcast:
		return "broadcast to " + d.To.String()
	case Direct:
		return "frame to " + hwString(d.HW.Addr) + " for " + d.To.String()
	}
	return "nowhere"
}
