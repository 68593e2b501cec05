package vxlan

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// with is s with what want, which is judged, says otherwise.
func (s state) with(want provision.Attrs) state {
	for k, v := range want {
		switch k {
		case AttrVNI:
			n, _ := strconv.ParseUint(v, 10, 24)
			s.vni = uint32(n)
		case AttrPort:
			n, _ := strconv.ParseUint(v, 10, 16)
			s.port = uint16(n)
		case AttrRemote:
			s.remote, _ = address(v)
		case AttrLocal:
			s.local, _ = address(v)
		case AttrDev:
			s.dev = v
		case AttrMAC:
			s.mac = v
		case AttrTxSum:
			s.sum = v
		}
	}
	return s
}

// compose is the request that makes s, a port of what it was a port of, of its size, and up if it was.
func compose(s state) []byte {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	if s.up {
		h.Flags, h.Change = unix.IFF_UP, unix.IFF_UP
	}
	body := rtnl.AppendAttr(h.Serialize(), unix.IFLA_IFNAME, append([]byte(s.name), 0))
	if mac, ok := parseMAC(s.mac); ok {
		body = rtnl.AppendAttr(body, unix.IFLA_ADDRESS, mac)
	}
	if s.mtu != 0 {
		body = rtnl.AppendAttr(body, unix.IFLA_MTU, rtnl.U32(s.mtu))
	}
	if s.master != 0 {
		body = rtnl.AppendAttr(body, unix.IFLA_MASTER, rtnl.U32(s.master))
	}
	data := rtnl.AppendAttr(nil, vxlanID, rtnl.U32(s.vni))
	data = rtnl.AppendAttr(data, family(s.remote, vxlanGroup, vxlanGroup6), s.remote.AsSlice())
	if s.local.IsValid() {
		data = rtnl.AppendAttr(data, family(s.local, vxlanLocal, vxlanLocal6), s.local.AsSlice())
	}
	if s.link != 0 {
		data = rtnl.AppendAttr(data, vxlanLink, rtnl.U32(uint32(s.link)))
	}
	data = rtnl.AppendAttr(data, vxlanPort, binary.BigEndian.AppendUint16(nil, s.port))
	// A wire has one other end: nothing is to be learnt of who sent a frame.
	data = rtnl.AppendAttr(data, vxlanLearn, []byte{0})
	info := rtnl.AppendAttr(nil, unix.IFLA_INFO_KIND, []byte(Kind+"\x00"))
	info = rtnl.AppendAttr(info, unix.IFLA_INFO_DATA, data)
	return rtnl.AppendAttr(body, unix.IFLA_LINKINFO, info)
}

func family(a netip.Addr, four, six uint16) uint16 {
	if a.Is4() {
		return four
	}
	return six
}

// request is a struct ifinfomsg.
func request(index int) []byte {
	h := nl.NewIfInfomsg(unix.AF_UNSPEC)
	h.Index = int32(index)
	return h.Serialize()
}
