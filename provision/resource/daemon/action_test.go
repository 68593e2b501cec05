package daemon

import (
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
)

func TestActionsParseBack(t *testing.T) {
	for _, c := range []struct {
		a    provision.Action
		want request
	}{
		{NetworkdReload("mac:08:00:27:aa:bb:cc", "name:eth1"),
			request{kind: KindNetworkdReload, selectors: []string{"mac:08:00:27:aa:bb:cc", "name:eth1"}}},
		{NetworkdReload("name:a,name:b", "name:a"),
			request{kind: KindNetworkdReload, selectors: []string{"name:a", "name:b"}}},
		{Probe(NetworkdRestart("name:eth0")),
			request{kind: KindNetworkdRestart, selectors: []string{"name:eth0"}, probe: true}},
		{NMReload(), request{kind: KindNMReload}},
		{NMReapply("name:eth0"), request{kind: KindNMReapply, selectors: []string{"name:eth0"}}},
		{NMRestart(), request{kind: KindNMRestart}},
		{NMReloadConnections("name:eth0"), request{kind: KindNMReloadConnections, selectors: []string{"name:eth0"}}},
		{DhcpcdRestart("name:eth0", "eth0", 1000, false),
			request{kind: KindDhcpcdRestart, selectors: []string{"name:eth0"}, ifname: "eth0", metric: 1000}},
		{Ifup("eth1"), request{kind: KindIfup, ifname: "eth1"}},
	} {
		got, err := parse(c.a)
		if err != nil {
			t.Errorf("%v: %v", c.a, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: got %+v, want %+v", c.a, got, c.want)
		}
	}
}

func TestActionsRefused(t *testing.T) {
	for _, c := range []struct {
		a    provision.Action
		want string
	}{
		{provision.Action{Kind: "reboot"}, "unknown kind"},
		{NetworkdReload("eth0"), "device selector"},
		{Ifup("-a"), "is no interface name"},
		{Ifup("../../x"), "is no interface name"},
		{provision.Action{Kind: KindIfup}, "no interface name"},
		{provision.Action{Kind: KindDhcpcdRestart, Args: map[string]string{"metric": "4294967296"}}, "out of range"},
		{provision.Action{Kind: KindNMReload, Args: map[string]string{"shell": "x"}}, "unknown argument"},
	} {
		if _, err := parse(c.a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want an error with %q", c.a, err, c.want)
		}
	}
}

func TestIfupFileIsReadBySourceDirectory(t *testing.T) {
	if got := IfupFile("eth0.10"); got != "/etc/network/interfaces.d/provision-eth0_10" {
		t.Error(got)
	}
}
