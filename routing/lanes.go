package routing

import (
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/rule"
)

// Lanes are the numbers that a tunnel's traffic goes by.
type Lanes struct {
	Table      uint32 // whose default route is the tunnel
	Mark, Mask uint32 // of packets that must not take it: the tunnel's own outer ones
	Priority   uint32 // of the first rule
}

// DefaultLanes are far from what other programs use (research of their sources: wg-quick 51820,
// VPC-CNI 512 to 1536, ec2-net-utils 10000 and up, Tailscale 5210 to 5270 and 52, NetBird 105 and
// 110; marks of Kubernetes 0xc000, Cilium 0xf00, Calico 0xffff0000, Tailscale 0xff0000).
func DefaultLanes() Lanes { return Lanes{Table: 15800, Mark: 0x2a, Mask: 0xff, Priority: 5790} }

// Offsets of the rules' priorities; the first three are those of the kill switch's detours.
const (
	offsetMain   = 10
	offsetTunnel = 20
)

// rules lead everything but what has a more exact route, or carries the mark, into the tunnel's
// table: both families.
func (l Lanes) rules(why string) []provision.Want {
	var out []provision.Want
	none := 0
	for _, family := range []int{4, 6} {
		out = append(out,
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: l.Priority + offsetMain, Target: 254}, Suppress: &none}, why),
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: l.Priority + offsetTunnel, Not: true, Mark: l.Mark, Mask: l.Mask, Target: l.Table}}, why))
	}
	return out
}
