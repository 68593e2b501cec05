package bridge

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/host/rtnl"
)

const mac1, mac2 = "02:00:5e:00:00:01", "02:00:5e:00:00:02"

func TestConformance(t *testing.T) {
	value := func(mac, delay, snooping string) provision.Attrs {
		a := Want("br-usb", mac, "").Attrs
		a[AttrDelay], a[AttrSnooping] = delay, snooping
		return a
	}
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		nstest.Network(t)
		return enginetest.ResourceCase{Resource: Resource{}, Name: "br-usb", Values: []provision.Attrs{value(mac1, "0", "1"), value(mac2, "1500", "0")}}
	})
}

func TestTreeConformance(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		nstest.Network(t)
		return enginetest.ResourceCase{Resource: Resource{}, Name: "br-ring", Values: []provision.Attrs{
			WantTree("", mac1, Tree{4096, 2 * time.Second, time.Second, 6 * time.Second}, "").Attrs,
			WantTree("", mac2, Tree{65535, 30 * time.Second, 10 * time.Second, 40 * time.Second}, "").Attrs,
			WantTree("", mac2, Tree{0, 15 * time.Second, 2 * time.Second, 20 * time.Second}, "").Attrs}}
	})
}

func TestCostConformance(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		nstest.Network(t)
		nstest.IP(t, "link add veth0 type veth peer name veth1")
		nstest.IP(t, "link add br0 type bridge")
		nstest.IP(t, "link add br1 type bridge")
		value := func(bridge string, cost uint16, priority string) provision.Attrs {
			w := CostPort("", bridge, cost, "")
			w.Attrs[AttrPriority] = priority
			return w.Attrs
		}
		return enginetest.ResourceCase{Resource: Ports{}, Name: "name:veth0", Fixed: true, Values: []provision.Attrs{
			value("br0", 20, "5"), value("br0", 65535, "63"), value("br1", 1, "0")}}
	})
}

// ip(8) is the judge: a bridge without a tree gets one, and its port a cost.
func TestTree(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	set(t, Resource{}, Want("br-ring", mac1, ""))
	set(t, Resource{}, WantTree("br-ring", mac1, Tree{8192, 4 * time.Second, time.Second, 6 * time.Second}, ""))
	set(t, Ports{}, CostPort("name:veth0", "br-ring", 42, ""))
	out := nstest.IP(t, "-d link show br-ring")
	for _, want := range []string{"forward_delay 400 hello_time 100 max_age 600", "stp_state 1 priority 8192 ", "bridge_id 2000."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out := nstest.IP(t, "-d link show veth0"); !strings.Contains(out, "cost 42 ") || !strings.Contains(out, "master br-ring") {
		t.Errorf("ip says %s", out)
	}
	have, err := Resource{}.Get(t.Context(), "br-ring")
	if err != nil {
		t.Fatal(err)
	}
	err = Resource{}.Set(t.Context(), "br-ring", have, provision.Attrs{AttrDelay: "100"})
	if err == nil || !strings.Contains(err.Error(), "2 to 30 s") {
		t.Errorf("a delay of 1 s: %v", err)
	}
}

func TestPortConformance(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		nstest.Network(t)
		nstest.IP(t, "link add veth0 type veth peer name veth1")
		nstest.IP(t, "link add br0 type bridge")
		nstest.IP(t, "link add br1 type bridge")
		return enginetest.ResourceCase{Resource: Ports{}, Name: "name:veth0", Fixed: true, Values: []provision.Attrs{
			Port("", "br0", "").Attrs, Port("", "br1", "").Attrs, Port("", "", "").Attrs}}
	})
}

func set(t *testing.T, r provision.Resource, w provision.Want) {
	t.Helper()
	have, err := r.Get(t.Context(), w.Name)
	if err == nil {
		err = r.Set(t.Context(), w.Name, have, w.Attrs)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ip(8) is the judge: a bridge keeps its MAC whatever its ports have, and does without a spanning
// tree also where it had one.
func TestBridge(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 address 02:00:00:00:00:01 type veth peer name veth1")
	set(t, Resource{}, Want("br-usb", mac1, ""))
	set(t, Ports{}, Port("name:veth0", "br-usb", ""))
	nstest.IP(t, "link set br-usb type bridge stp_state 1")
	nstest.IP(t, "link set br-usb type bridge forward_delay 1500")
	set(t, Resource{}, Want("br-usb", mac1, ""))
	out := nstest.IP(t, "-d link show br-usb")
	for _, want := range []string{"link/ether " + mac1, "forward_delay 0 ", "stp_state 0 ", "alias provision"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if out := nstest.IP(t, "link show veth0"); !strings.Contains(out, "master br-usb") {
		t.Errorf("ip says %s", out)
	}
}

// A process that died between making and marking a bridge comes back to it.
func TestUnmarked(t *testing.T) {
	nstest.Network(t)
	w := Want("br-usb", mac1, "")
	c, err := rtnl.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := append(rtnl.AppendAttr(request(0), unix.IFLA_IFNAME, []byte("br-usb\x00")), info(state{}, w.Attrs)...)
	for range 2 {
		if err := c.Do(t.Context(), unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
			t.Fatal(err)
		}
		set(t, Resource{}, provision.Want{Ref: w.Ref})
	}
	if err := c.Do(t.Context(), unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
		t.Fatal(err)
	}
	set(t, Resource{}, w)
}

func TestRefusals(t *testing.T) {
	nstest.Network(t)
	nstest.IP(t, "link add veth0 type veth peer name veth1")
	nstest.IP(t, "link add br0 up type bridge")
	var r Resource
	foreign, err := r.Get(t.Context(), "br0")
	if err != nil || foreign == nil {
		t.Fatal(foreign, err)
	}
	if r.Wrote(foreign) || !r.Wrote(Want("", mac1, "").Attrs) {
		t.Error("own work is told by its owner")
	}
	port := Port("", "br9", "").Attrs
	for _, tc := range []struct {
		r          provision.Resource
		name       string
		have, want provision.Attrs
		err        error
		text       string
	}{
		{r, "br0", foreign, Want("", mac1, "").Attrs, nil, "somebody else's"},
		{r, "br0", foreign, nil, nil, "somebody else's"},
		{r, "br0", foreign, provision.Attrs{AttrSTP: foreign[AttrSTP]}, nil, ""},
		{r, "veth0", nil, Want("", mac1, "").Attrs, nil, "another device is called that"},
		{r, "br0", nil, Want("", mac1, "").Attrs, provision.ErrStale, ""},
		{r, "none", foreign, nil, provision.ErrStale, ""},
		{r, "none", nil, nil, nil, ""},
		{r, "a b", nil, nil, nil, "a device's name"},
		{r, "none", nil, provision.Attrs{AttrMAC: "01:00:5e:00:00:01"}, nil, "no address that a device can have"},
		{r, "none", nil, provision.Attrs{AttrSTP: "on"}, nil, "want 0 or 1"},
		{r, "none", nil, provision.Attrs{AttrDelay: "01"}, nil, "no number"},
		{r, "none", nil, provision.Attrs{AttrOwner: "me"}, nil, "somebody else's"},
		{r, "none", nil, provision.Attrs{"mtu": "1"}, nil, "unknown attribute"},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: ""}, port, provision.ErrPending, ""},
		{Ports{}, "name:none", nil, port, provision.ErrPending, ""},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: ""}, nil, provision.ErrPending, ""},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: "br0"}, port, provision.ErrStale, ""},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: ""}, provision.Attrs{"mtu": "1"}, nil, "unknown attribute"},
		{r, "none", nil, provision.Attrs{AttrPriority: "65536"}, nil, "no number"},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: ""}, provision.Attrs{AttrCost: "0"}, nil, "want 1 to 65535"},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: ""}, provision.Attrs{AttrPriority: "64"}, nil, "want 0 to 63"},
		{Ports{}, "name:veth0", provision.Attrs{AttrBridge: ""}, provision.Attrs{AttrCost: "7"}, nil, "has to be a port of a bridge"},
		{Ports{}, "veth0", nil, port, nil, "device selector"},
	} {
		err := tc.r.Set(t.Context(), tc.name, tc.have, tc.want)
		switch {
		case tc.text != "":
			if err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s %v: got %v, want it to say %q", tc.name, tc.want, err, tc.text)
			}
		case !errors.Is(err, tc.err):
			t.Errorf("%s %v: got %v, want %v", tc.name, tc.want, err, tc.err)
		}
	}
	if out := nstest.IP(t, "-o link"); strings.Contains(out, "none") || !strings.Contains(out, "br0") {
		t.Errorf("a refused change was made: %s", out)
	}
}

// FuzzDecode: whatever comes, decoding ends, and a name that is taken for one is a word.
func FuzzDecode(f *testing.F) {
	body := append(rtnl.AppendAttr(request(3), unix.IFLA_IFNAME, []byte("br-usb\x00")), info(state{}, Want("", mac1, "").Attrs)...)
	f.Add(body, "br-usb")
	f.Add(append(request(4), info(state{}, WantTree("", mac1, Tree{1, time.Second, time.Second, time.Second}, "").Attrs)...), "br-ring")
	f.Fuzz(func(t *testing.T, msg []byte, name string) {
		if s, _, err := decode(msg); err == nil && s.kind == "bridge" {
			if a := s.attrs(); len(a) != 8 {
				t.Errorf("%v", a)
			}
		}
		if checkName(name) == nil && (len(name) > 15 || strings.ContainsAny(name, "/:% \t\n\x00")) {
			t.Errorf("%q is taken", name)
		}
	})
}
