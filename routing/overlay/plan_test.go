package overlay

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/vxlan"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/match"
)

func key(n byte) string {
	var k [32]byte
	k[0], k[31] = n, 1
	return base64.StdEncoding.EncodeToString(k[:])
}

// five are four nodes that can be called, one of them over IPv6 only, and one that roams.
func five(node string) Config {
	root := uint16(4096)
	return Config{Node: node, PrivateKeyFile: "/etc/provision/wireguard/overlay.key",
		Nodes: map[string]Node{
			"osaka":  {PublicKey: key(1), Endpoint: "192.0.2.1:51821", Addresses: []string{"10.97.99.1/24", "fd97::1/64"}, BridgeAddresses: []string{"10.97.100.1/24"}, Priority: &root},
			"paris":  {PublicKey: key(2), Endpoint: "paris.example.org:51821", Addresses: []string{"10.97.99.2/24", "fd97::2/64"}, BridgeAddresses: []string{"10.97.100.2/24", "fd98::2/64"}},
			"quito":  {PublicKey: key(3), Endpoint: "[2001:db8::3]:51821", Addresses: []string{"fd97::3/64"}, BridgeAddresses: []string{"10.97.100.3/24"}},
			"riga":   {PublicKey: key(4), Endpoint: "192.0.2.4:4500", ListenPort: 51821, Addresses: []string{"10.97.99.4/24", "fd97::4/64"}},
			"laptop": {PublicKey: key(5), Addresses: []string{"10.97.99.5/24"}, BridgeAddresses: []string{"10.97.100.5/24"}, To: []string{"osaka", "paris"}},
		},
		Wires: []Wire{{Between: []string{"paris", "osaka"}, Cost: 250}, {Between: []string{"riga", "paris"}, VNI: 7}}}
}

func text(t *testing.T, c Config) string {
	t.Helper()
	r, err := Plan(Input{}, c)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.WireGuard())) {
		i := c.WireGuard()[name]
		fmt.Fprintf(&b, "tunnel %s %v port=%d mtu=%d zone=%s route=%s key=%s\n", name, i.Addresses, i.ListenPort, i.MTU, i.Zone, i.Route, i.PrivateKeyFile)
		for _, n := range slices.Sorted(maps.Keys(i.Peers)) {
			p := i.Peers[n]
			fmt.Fprintf(&b, "  %s %s at %q allowed %v keepalive %d\n", n, p.PublicKey[:4], p.Endpoint, p.AllowedIPs, p.PersistentKeepalive)
		}
	}
	for _, w := range r.Desired.Wants {
		b.WriteString(w.Ref.String())
		for _, k := range slices.Sorted(maps.Keys(w.Attrs)) {
			fmt.Fprintf(&b, " %s=%s", k, w.Attrs[k])
		}
		b.WriteByte('\n')
	}
	for _, n := range r.Desired.Notes {
		fmt.Fprintf(&b, "%s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	for _, m := range r.Intents.Members {
		fmt.Fprintf(&b, "member %s %v\n", m.Zone, m.Interfaces)
	}
	for _, s := range r.Intents.Services {
		fmt.Fprintf(&b, "service %s %v %s %v\n", s.Name, s.Interfaces, s.Proto, s.Ports)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	quick := five("quito")
	quick.ForwardDelay, quick.Port, quick.MTU, quick.TxChecksum = "2s", 8472, 1400, true
	measured := five("osaka")
	measured.Costs = CostsMeasured
	for name, c := range map[string]Config{"osaka": five("osaka"), "laptop": five("laptop"), "quick": quick, "measured": measured} {
		got, path := text(t, c), "testdata/"+name+".txt"
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || string(want) != got {
			t.Errorf("%s (UPDATE_GOLDEN=1 writes it): %v\n%s", path, err, got)
		}
	}
	if r, err := Plan(Input{Facts: &facts.Facts{}}, Config{}); err != nil || len(r.Desired.Wants) != 0 || len(Config{}.WireGuard()) != 0 || len(Config{}.Guard().Chains) != 0 {
		t.Errorf("nothing is configured: %v, %v", r, err)
	}
}

// What is planned on both ends of every wire fits together.
func agree(t *testing.T, c Config) {
	type end struct {
		attrs provision.Attrs
		cost  string
		mtu   string
	}
	ends, sizes := map[string]end{}, map[string]bool{}
	for _, n := range c.names() {
		c.Node = n
		r, err := Plan(Input{}, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range r.Desired.Wants {
			dev := strings.TrimPrefix(w.Name, "name:")
			e := ends[n+" "+dev]
			switch {
			case w.Kind == vxlan.Kind:
				e.attrs = w.Attrs
			case w.Kind == "bridge-port":
				e.cost = w.Attrs["cost"]
			case w.Kind == "link" && dev == c.Switch():
				sizes[w.Attrs["mtu"]] = true
			case w.Kind == "link":
				e.mtu = w.Attrs["mtu"]
			default:
				continue
			}
			ends[n+" "+dev] = e
		}
	}
	if len(sizes) > 1 {
		t.Errorf("bridges of several sizes: %v", sizes)
	}
	vnis := map[string]int{}
	for at, e := range ends {
		node, dev, _ := strings.Cut(at, " ")
		if dev == c.Switch() {
			continue
		}
		far, ok := ends[strings.TrimPrefix(dev, "vx-")+" vx-"+node]
		if !ok || e.attrs["vni"] != far.attrs["vni"] || e.attrs["local"] != far.attrs["remote"] || e.attrs["remote"] != far.attrs["local"] || e.attrs["port"] != far.attrs["port"] ||
			e.cost != far.cost || e.mtu != far.mtu || e.attrs["mac"] == far.attrs["mac"] {
			t.Errorf("%s has %+v, its other end %+v", at, e, far)
		}
		vnis[e.attrs["vni"]]++
	}
	for v, n := range vnis {
		if n != 2 {
			t.Errorf("%d ends have the VNI %s", n, v)
		}
	}
}

func TestAgree(t *testing.T) { agree(t, five("osaka")) }

// What the job of the watch is given agrees with the plan.
func TestNeighbours(t *testing.T) {
	c := five("osaka")
	c.Costs = CostsMeasured
	got := fmt.Sprint(c.Neighbours(), c.Others(), c.OnBridge("paris"), c.OnBridge("riga"))
	want := "[{laptop vx-laptop 10.97.99.5 20100 20000 true} {paris vx-paris 10.97.99.2 250 0 false} {quito vx-quito fd97::3 100 0 true} {riga vx-riga 10.97.99.4 100 0 true}]" +
		" [laptop paris quito riga] 10.97.100.2 invalid IP"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, n := range c.names() {
		if back, ok := c.NodeOf(mac("bridge", n)); !ok || back != n {
			t.Errorf("%s is found as %q", n, back)
		}
	}
	if n, ok := c.NodeOf("02:00:00:00:00:01"); ok {
		t.Errorf("a stranger is %s", n)
	}
	c.Costs, c.Wires = "", nil
	if n := c.Neighbours()[0]; n.Cost != 1000 || n.Measured {
		t.Errorf("fixed: %v", n)
	}
	c.Node = ""
	if n := c.Neighbours(); n != nil {
		t.Errorf("of a configuration with problems: %v", n)
	}
}

func TestStable(t *testing.T) {
	if VNI("osaka", "paris") != VNI("paris", "osaka") || VNI("osaka", "paris") == VNI("osaka", "pari") {
		t.Error("a VNI depends on both names, and on no order")
	}
	// Written down: another version of the program on one end would not be understood.
	if v, m := VNI("osaka", "paris"), mac("bridge", "osaka"); v != 9018797 || m != "42:95:0f:ed:d8:f0" {
		t.Errorf("%d %s", v, m)
	}
}

func TestGuard(t *testing.T) {
	g := five("osaka").Guard()
	if len(g.Problems()) > 0 || len(g.Chains) != 1 || len(g.Chains[0].Rules) != 1 {
		t.Fatalf("%+v %v", g, g.Problems())
	}
	if got, want := g.Chains[0].Rules[0].Exprs, match.Rule("", match.Not(match.IIFName("wg-overlay")), match.DPort(match.UDP, 4789), match.Drop()).Exprs; !reflect.DeepEqual(got, want) || g.Chains[0].Base.Hook != "input" {
		t.Errorf("%v at %s, want %v", got, g.Chains[0].Base.Hook, want)
	}
}

func TestKey(t *testing.T) {
	k, err := wgresource.ParseKey(key(40))
	if err != nil {
		t.Fatal(err)
	}
	c := five("osaka")
	for _, tc := range []struct{ owner, text string }{{"", "none of the nodes"}, {"riga", "is that of riga, and not of osaka"}, {"osaka", ""}} {
		if n, ok := c.Nodes[tc.owner]; ok {
			n.PublicKey = k.Public().String()
			c.Nodes[tc.owner] = n
		}
		_, err := Plan(Input{PrivateKey: k}, c)
		if tc.text == "" && err != nil || tc.text != "" && (err == nil || !strings.Contains(err.Error(), tc.text)) {
			t.Errorf("%q: %v", tc.owner, err)
		}
		if n, ok := c.Nodes[tc.owner]; ok {
			n.PublicKey = key(99)
			c.Nodes[tc.owner] = n
		}
	}
}

// clash finds two pairs of names with one VNI.
func clash(t *testing.T) (a, b, c, d string) {
	seen := map[uint32][2]string{}
	for i := range 400 {
		for j := range i {
			x, y := fmt.Sprintf("n%d", j), fmt.Sprintf("n%d", i)
			if was, ok := seen[VNI(x, y)]; ok {
				return was[0], was[1], x, y
			}
			seen[VNI(x, y)] = [2]string{x, y}
		}
	}
	t.Fatal("80,000 wires without a VNI twice")
	return
}

func TestProblems(t *testing.T) {
	change := func(name string, f func(n *Node)) func(*Config) {
		return func(c *Config) { n := c.Nodes[name]; f(&n); c.Nodes[name] = n }
	}
	a1, b1, a2, b2 := clash(t)
	for _, tc := range []struct {
		change     func(c *Config)
		path, text string
	}{
		{func(c *Config) { c.Node = "" }, "node", "is missing"},
		{func(c *Config) { c.Node = "rome" }, "node", "none of the nodes: laptop, osaka"},
		{func(c *Config) { c.PrivateKeyFile = "" }, "private-key-file", "is missing"},
		{func(c *Config) { c.PrivateKeyFile = "x" }, "private-key-file", "no whole path"},
		{func(c *Config) { c.Interface = "a/b" }, "interface", "no name"},
		{func(c *Config) { c.Bridge = "wg-overlay" }, "bridge", "another name"},
		{func(c *Config) { c.Bridge = "vx-paris" }, "nodes.paris", "as another device"},
		{func(c *Config) { c.MTU = 1349 }, "mtu", "at least 1350"},
		{func(c *Config) { c.ForwardDelay = "1s" }, "forward-delay", "2s to 30s"},
		{func(c *Config) { c.HelloTime = "often" }, "hello-time", "1s to 10s"},
		{func(c *Config) { c.HelloTime = "3s" }, "max-age", "less than twice"},
		{func(c *Config) { c.Costs = "guessed" }, "costs", "neither fixed nor measured"},
		{func(c *Config) { c.Nodes["Big"] = c.Nodes["riga"] }, "nodes.Big", "no name of a node"},
		{func(c *Config) { c.Nodes["thirteen-long"] = c.Nodes["riga"] }, "nodes.thirteen-long", "no name of a node"},
		{change("riga", func(n *Node) { n.PublicKey = "x" }), "nodes.riga.public-key", "no key"},
		{change("riga", func(n *Node) { n.PublicKey = key(1) }), "nodes.riga.public-key", "that of osaka"},
		{change("riga", func(n *Node) { n.Endpoint = "192.0.2.4" }), "nodes.riga.endpoint", "no port"},
		{change("riga", func(n *Node) { n.Addresses = nil }), "nodes.riga.addresses", "is missing"},
		{change("riga", func(n *Node) { n.Addresses = []string{"10.97.99.1/24"} }), "nodes.riga.addresses[0]", "of osaka already"},
		{change("riga", func(n *Node) { n.Addresses = []string{"10.97.99.0/24"} }), "nodes.riga.addresses[0]", "is the network"},
		{change("riga", func(n *Node) { n.BridgeAddresses = []string{"fe80::1/64"} }), "nodes.riga.bridge-addresses[0]", "no address of a node"},
		{change("riga", func(n *Node) { n.Addresses = []string{"10.97.99.4/24"} }), "nodes.riga.addresses", "no address of a family that quito"},
		{change("riga", func(n *Node) { n.Endpoint, n.To = "", []string{"laptop"} }), "nodes.riga.to[0]", "neither riga nor laptop"},
		{change("riga", func(n *Node) { n.To = []string{"riga"} }), "nodes.riga.to[0]", "none of the other nodes"},
		{change("osaka", func(n *Node) { n.To = []string{"laptop"} }), "wires[0].between", "there is no wire"},
		{change("paris", func(n *Node) { n.To = []string{"osaka"} }), "wires[1].between", "there is no wire"},
		{func(c *Config) { c.Wires[0].Between = []string{"osaka"} }, "wires[0].between", "want two nodes"},
		{func(c *Config) { c.Wires[0].Between = []string{"osaka", "rome"} }, "wires[0].between", "none of the nodes"},
		{func(c *Config) { c.Wires[1].Between = []string{"osaka", "paris"} }, "wires[1].between", "wires[0]"},
		{func(c *Config) { c.Wires[1].VNI = 1 << 24 }, "wires[1].vni", "more than"},
		{func(c *Config) { c.Wires[1].VNI = VNI("osaka", "riga") }, "wires[1].vni", "both have the network identifier"},
		{func(c *Config) {
			for i, n := range []string{a1, b1, a2, b2} {
				c.Nodes[n] = Node{PublicKey: key(byte(50 + i)), Endpoint: "192.0.2.9:1", Addresses: []string{fmt.Sprintf("fd97::9:%d/64", i), fmt.Sprintf("10.97.99.%d/24", 90+i)}}
			}
		}, "wires", "write another vni"},
	} {
		c := five("osaka")
		tc.change(&c)
		found := false
		for _, p := range c.Problems() {
			found = found || p.Path == tc.path && strings.Contains(p.Text, tc.text)
		}
		if !found {
			t.Errorf("want %s: %s, got %v", tc.path, tc.text, c.Problems())
		}
	}
	c := five("osaka")
	if p := c.Problems(); len(p) > 0 {
		t.Errorf("nothing is wrong: %v", p)
	}
	c.Wires = nil
	for _, name := range c.names() {
		change(name, func(n *Node) { n.To = nil })(&c)
		if name != "osaka" {
			change(name, func(n *Node) { n.Endpoint = "" })(&c)
		}
	}
	change("osaka", func(n *Node) { n.To = []string{"paris"} })(&c)
	if got := fmt.Sprint(c.Problems()); !strings.Contains(got, "there is no way from laptop to it") {
		t.Error(got)
	}
}

// FuzzPlan: whoever is called what, with or without endpoints: what has no problems fits together.
func FuzzPlan(f *testing.F) {
	f.Add("osaka,paris,riga", uint16(5), uint16(1420), "2s", uint8(3))
	f.Add("a,b,c,d,e,f", uint16(1), uint16(0), "", uint8(0))
	f.Fuzz(func(t *testing.T, names string, ends, mtu uint16, delay string, six uint8) {
		c := Config{PrivateKeyFile: "/k", MTU: mtu, ForwardDelay: delay, Nodes: map[string]Node{}}
		for i, n := range strings.Split(names, ",") {
			if i == 9 {
				break
			}
			c.Node = n
			node := Node{PublicKey: key(byte(i + 1)), Addresses: []string{fmt.Sprintf("10.0.0.%d/24", i+1), fmt.Sprintf("fd00::%d/64", i+1)}}
			if six>>(i%8)&1 != 0 {
				node.Addresses = node.Addresses[1:]
			}
			if ends>>i&1 != 0 {
				node.Endpoint = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 51821).String()
			}
			c.Nodes[n] = node
		}
		if len(c.Problems()) > 0 {
			return
		}
		agree(t, c)
		for name, i := range c.WireGuard() {
			i.PrivateKeyFile = "/k"
			if p := c.WireGuard().Problems(); len(p) > 0 {
				t.Errorf("%s: %v", name, p)
			}
		}
	})
}
