package watch

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// bigState is a machine with 1,000 NICs, 500 tables and 10,000 rules, all well.
func bigState() *State {
	s := &State{Live: &facts.Live{}, Now: time.Unix(1000, 0)}
	for i := range 1000 {
		s.Links = append(s.Links, facts.Link{Index: i + 1, Name: fmt.Sprintf("eth%d", i), MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256), Up: true, ARPHRD: 1})
		s.Conf = append(s.Conf, facts.DeviceConf{})
		s.Addrs = append(s.Addrs, facts.Address{Link: i + 1, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i / 250), byte(i % 250), 2}), 24)})
	}
	for i := range 500 {
		gw := netip.AddrFrom4([4]byte{10, byte(i / 250), byte(i % 250), 1})
		k := tableKey{4, uint32(1000 + i)}
		host := defaultRoute(k, i+1, netip.Addr{})
		host.Dst = netip.PrefixFrom(gw, 32)
		s.Routes = append(s.Routes, host, defaultRoute(k, i+1, gw))
	}
	for i := range 10000 {
		s.Rules = append(s.Rules, facts.Rule{Family: 4, Action: "lookup", Table: uint32(1000 + i/20), From: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i / 5000), byte(i / 20 % 250), byte(i % 20)}), 32)})
	}
	return s
}

// BenchmarkLook is what the jobs cost beside the reading.
func BenchmarkLook(b *testing.B) {
	s := bigState()
	for _, j := range (Config{Preset: "eks"}).Jobs() {
		b.Run(j.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := j.Look(s); got != nil {
					b.Fatalf("%+v", got[0])
				}
			}
		})
	}
}
