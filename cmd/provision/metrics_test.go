package main

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/routing/tunnel"
)

// What the resources write is what facts take for ours: by it own routes are told from those that others bring.
func TestOneProtocol(t *testing.T) {
	for what, number := range map[string]int{"route": route.Protocol, "address": address.Protocol, "rule": rule.Protocol} {
		if number != facts.ProtoOurs {
			t.Errorf("kind %s writes protocol %d, and facts look for %d", what, number, facts.ProtoOurs)
		}
	}
}

// The wings know nothing of each other's metrics: a tunnel's route has to be behind the uplinks and before a NIC behind NAT.
func TestTunnelIsBeforeNAT(t *testing.T) {
	metric := func(of any, field string) int {
		f, _ := reflect.TypeOf(of).FieldByName(field)
		n, err := strconv.Atoi(f.Tag.Get("default"))
		if err != nil {
			t.Fatalf("%T.%s has no default: %v", of, field, err)
		}
		return n
	}
	const uplinks = 10 + 256 // the row begins at 10, one for each NIC
	if tun, nat := metric(tunnel.Tunnel{}, "Metric"), metric(backends.Config{}, "NATMetric"); tun <= uplinks || tun >= nat {
		t.Errorf("a tunnel's route has the metric %d, and a NIC behind NAT %d", tun, nat)
	}
}
