package bridge

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

// judged is how ip(8) prints a device with all its details.
type judged struct {
	Name string `json:"ifname"`
	Info struct {
		Data struct {
			Own      string `json:"bridge_id"`
			RootPort uint16 `json:"root_port"`
			RootCost uint32 `json:"root_path_cost"`
		} `json:"info_data"`
		Port struct {
			State      string `json:"state"`
			Cost       uint32 `json:"cost"`
			No         string `json:"no"`
			Root       string `json:"root_id"` // of the bridge itself, iproute2 6.1 prints its own identifier there
			Designated string `json:"bridge_id"`
			From       uint32 `json:"designated_cost"`
		} `json:"info_slave_data"`
	} `json:"linkinfo"`
}

// spanningOfIP is the tree of a bridge as ip(8) tells it, in our form.
func spanningOfIP(t *testing.T, name string) (s Spanning) {
	t.Helper()
	show := func(what string) (out []judged) {
		if err := json.Unmarshal([]byte(nstest.IP(t, "-d -j link show "+what)), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	form := func(text string) ID {
		var i ID
		prio, mac, _ := strings.Cut(text, ".")
		if _, err := fmt.Sscanf(prio, "%x", &i.Priority); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for n, part := range strings.Split(mac, ":") { // ip prints 2:0:5e:0:0:1
			if n > 0 {
				i.MAC += ":"
			}
			i.MAC += strings.Repeat("0", 2-len(part)) + part
		}
		return i
	}
	d := show(name)[0].Info.Data
	s = Spanning{Own: form(d.Own), RootCost: d.RootCost, RootPort: d.RootPort}
	for _, l := range show("master " + name) {
		p := l.Info.Port
		s.Root = form(p.Root)
		var no uint16
		if _, err := fmt.Sscanf(p.No, "0x%x", &no); err != nil {
			t.Fatal(err)
		}
		s.Ports = append(s.Ports, SpanningPort{l.Name, no, p.State, p.Cost, form(p.Designated), p.From})
	}
	return s
}

// ip(8) is the judge of what is read of two bridges with two wires between them: each end of each wire, the
// root, and the wire that is blocked.
func TestSpanning(t *testing.T) {
	nstest.Network(t)
	if s, err := ReadSpanning(t.Context(), "br-a"); s != nil || err != nil {
		t.Fatalf("there is no such bridge: %v, %v", s, err)
	}
	for n, name := range []string{"br-a", "br-b"} {
		set(t, Resource{}, WantTree(name, []string{mac1, mac2}[n], Tree{uint16(4096 * (n + 1)), 2 * time.Second, time.Second, 6 * time.Second}, ""))
		nstest.IP(t, "link set up "+name)
	}
	for _, n := range []string{"1", "2"} {
		nstest.IP(t, "link add a"+n+" type veth peer name b"+n)
		set(t, Ports{}, CostPort("name:a"+n, "br-a", 9, ""))
		set(t, Ports{}, CostPort("name:b"+n, "br-b", 30, ""))
		nstest.IP(t, "link set up a"+n)
		nstest.IP(t, "link set up b"+n)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		before := spanningOfIP(t, "br-b")
		a, err := ReadSpanning(t.Context(), "br-a")
		if err != nil || a == nil {
			t.Fatal(a, err)
		}
		b, err := ReadSpanning(t.Context(), "br-b")
		if err != nil || b == nil {
			t.Fatal(b, err)
		}
		ipA, ipB := spanningOfIP(t, "br-a"), spanningOfIP(t, "br-b")
		settled := b.RootCost == 30 && b.Ports[0].State == Forwarding && b.Ports[1].State == Blocking && a.Ports[0].State == Forwarding
		if fmt.Sprint(before) == fmt.Sprint(ipB) && fmt.Sprint(*b) != fmt.Sprint(ipB) {
			t.Fatalf("read\n%v\nip says\n%v", *b, ipB)
		}
		if settled {
			if fmt.Sprint(*a) != fmt.Sprint(ipA) {
				t.Errorf("read\n%v\nip says\n%v", *a, ipA)
			}
			if a.Root != a.Own || a.Ports[0].Cost != 9 || b.Root != a.Own || b.RootPort != b.Ports[0].No || b.Ports[1].Designated != a.Own || a.Own.String() != "1000."+mac1 {
				t.Errorf("%v and %v", a, b)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no tree: %v and %v", *a, *b)
		}
		time.Sleep(50 * time.Millisecond) // the kernel tells nobody of states but by a message of its own
	}
}
