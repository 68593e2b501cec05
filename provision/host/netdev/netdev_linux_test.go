package netdev

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
)

// ip(8) is the judge.
func TestRead(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 address 08:00:27:00:00:0a type veth peer name veth1")
	nstest.IP(t, "link property add dev veth0 altname a-rather-long-alternative-name")
	nstest.IP(t, "link add br0 type bridge")
	nstest.IP(t, "link set veth1 master br0")
	nstest.IP(t, "link set veth0 up")
	table, err := Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Devices) < 4 {
		t.Fatalf("got %+v", table.Devices)
	}
	d, ok, err := table.Find("name:a-rather-long-alternative-name")
	if err != nil || !ok || d.Name != "veth0" || d.MAC != "08:00:27:00:00:0a" || d.Kind != "veth" || !d.Up || d.Type != Ethernet {
		t.Errorf("got %+v, %v, %v", d, ok, err)
	}
	if out := nstest.IP(t, "-o link show veth0"); !strings.HasPrefix(out, strconv.Itoa(d.Index)+": ") {
		t.Errorf("index %d, ip says %s", d.Index, out)
	}
	br, _, _ := table.Find("name:br0")
	if d, _, _ := table.Find("name:veth1"); d.Master != br.Index || br.Index == 0 || d.Up {
		t.Errorf("got %+v, bridge %d", d, br.Index)
	}
	if d, ok, err := table.Find("mac:08:00:27:00:00:0a"); ok || err != nil {
		t.Errorf("a veth was taken for hardware: %+v, %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(append(make([]byte, 16), 6, 0, 3, 0, 'e', 0))
	f.Add(append(make([]byte, 16), 12, 0, 18, 128, 8, 0, 1, 0, 'v', 'e', 't', 'h'))
	f.Fuzz(func(t *testing.T, msg []byte) {
		d, err := decode(msg)
		if err == nil && strings.HasSuffix(d.Name, "\x00") {
			t.Fatalf("%q", d.Name)
		}
	})
}
