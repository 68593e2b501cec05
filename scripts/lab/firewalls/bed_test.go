//go:build lab

package firewalls

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/resource/dockeruser"
	"github.com/provision-net/provision/provision/resource/firewalld"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/ufw"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/scripts/lab"
)

// bed is a router with all three firewalls installed, between a client and a server.
type bed struct {
	*lab.Machine
	t              *testing.T
	client, server *lab.NetNS
	engine         *provision.Engine
}

// The devices and addresses: the client has .2, the router .1 on each side.
const (
	inside, outside = "lan0", "wan0"
	port            = 8080
)

func addr(family, net, host int) string {
	if family == 4 {
		return fmt.Sprintf("10.77.%d.%d", net, host)
	}
	return fmt.Sprintf("2001:db8:77:%d::%d", net, host)
}

func newBed(t *testing.T, suite string) *bed {
	t.Helper()
	lab.Need(t, lab.Tier2)
	w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{}})
	b := &bed{t: t, client: lab.NewNS(t), server: lab.NewNS(t)}
	// They start when a test says so. docker makes no images here, so any file system will do. From
	// version 27 on it filters IPv6 without being asked.
	daemon := `{"storage-driver": "vfs"}`
	if suite == "trixie" {
		daemon = `{"storage-driver": "vfs", "experimental": true, "ip6tables": true}`
	}
	wait := func(name string) lab.File {
		return lab.File{Content: "[Unit]\nConditionPathExists=/run/lab-" + name + "\n"}
	}
	b.Machine = lab.Boot(t, lab.Root(t, suite+"-base+docker.io+ufw+firewalld+nftables"), w, lab.BootOpts{Config: lab.NoConfig, Overlay: lab.Overlay{
		"/etc/systemd/system/docker.service.d/lab.conf":    wait("docker"),
		"/etc/systemd/system/firewalld.service.d/lab.conf": wait("firewalld"),
		"/etc/docker/daemon.json":                          {Content: daemon},
	}})
	for _, ns := range []*lab.NetNS{b.client, b.server, w.Machine} {
		b.on(ns, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
	}
	for i, side := range []struct {
		ns  *lab.NetNS
		dev string
	}{{b.client, inside}, {b.server, outside}} {
		b.on(side.ns, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", side.dev, "netns", fmt.Sprint(w.Machine.PID()))
		b.on(side.ns, "ip", "link", "set", "eth0", "up")
		b.on(w.Machine, "ip", "link", "set", side.dev, "up")
		for family, bits := range map[int]string{4: "/24", 6: "/64"} {
			b.on(side.ns, "ip", "addr", "add", addr(family, i, 2)+bits, "dev", "eth0", "nodad")
			b.on(w.Machine, "ip", "addr", "add", addr(family, i, 1)+bits, "dev", side.dev, "nodad")
			b.on(side.ns, "ip", "route", "add", "default", "via", addr(family, i, 1))
		}
	}
	b.on(w.Machine, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv4.ip_forward=1")
	for _, at := range []struct {
		ns   *lab.NetNS
		addr []string
	}{{b.server, []string{addr(4, 1, 2), addr(6, 1, 2)}}, {w.Machine, []string{addr(4, 0, 1), addr(6, 0, 1)}}} {
		for _, a := range at.addr {
			b.listen(at.ns, a)
		}
	}
	store, err := provision.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Start("sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	lab.Await(t, 5*time.Second, func() error {
		if len(p.PIDs()) == 0 {
			return errors.New("no process yet")
		}
		return nil
	})
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", fmt.Sprintf("unix:path=/proc/%d/root/run/dbus/system_bus_socket", p.PIDs()[0]))
	b.engine = &provision.Engine{Store: store, Resources: map[string]provision.Resource{
		nft.Kind:        within{w.Machine, &nft.Resource{}},
		dockeruser.Kind: within{w.Machine, dockeruser.Resource{}},
		ufw.Kind:        &ufw.Resource{Files: files{b}, Runner: runner{b}},
		firewalld.Kind:  &firewalld.Resource{Open: firewalld.Bus, Files: files{b}},
	}}
	return b
}

func (b *bed) on(ns *lab.NetNS, argv ...string) {
	b.t.Helper()
	if out, err := ns.Exec(argv...); err != nil {
		b.t.Fatal(err, out)
	}
}

func (b *bed) sh(script string) string {
	b.t.Helper()
	return b.MustRun(b.t, "bash", "-c", script)
}

// listen accepts connections in a namespace until the test ends.
func (b *bed) listen(ns *lab.NetNS, a string) {
	b.t.Helper()
	var l net.Listener
	if err := ns.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(a, fmt.Sprint(port)))
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// passes tries connections from the client: to the server, or to the router itself.
func (b *bed) passes(family int, forwarded bool) bool {
	b.t.Helper()
	a := addr(family, 0, 1)
	if forwarded {
		a = addr(family, 1, 2)
	}
	var c net.Conn
	err := b.client.Do(func() (err error) {
		// A lost packet is sent again after one second.
		c, err = (&net.Dialer{Timeout: 700 * time.Millisecond, FallbackDelay: -1}).Dial("tcp", net.JoinHostPort(a, fmt.Sprint(port)))
		return err
	})
	if err == nil {
		c.Close()
	}
	return err == nil
}

// way is what passes is asked for.
type way struct {
	family    int
	forwarded bool
}

// reach tries all ways at once.
func (b *bed) reach() map[way]bool {
	b.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	out := map[way]bool{}
	for _, w := range []way{{4, true}, {4, false}, {6, true}, {6, false}} {
		all.Go(func() {
			ok := b.passes(w.family, w.forwarded)
			mu.Lock()
			defer mu.Unlock()
			out[w] = ok
		})
	}
	all.Wait()
	return out
}

// flows are what our own table lets through.
func flows() []foreign.Flow {
	return []foreign.Flow{
		{In: inside, Out: outside, Proto: "tcp", Port: port, Why: "forward"},
		{In: inside, Proto: "tcp", Port: port, Why: "service"},
	}
}

// whole are the flows as a policy has them: everything from the inside.
func whole() []foreign.Flow {
	return []foreign.Flow{{In: inside, Out: outside}, {In: inside, Proto: "tcp", Port: port}}
}

// ours is a table of ours that lets the flows through and nothing else.
func ours() provision.Want {
	dev := func(key, name string) []nft.Expr {
		return []nft.Expr{{Meta: &nft.Meta{Key: key, Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: append([]byte(name), make([]byte, 16-len(name))...)}}}
	}
	accept := nft.Expr{Verdict: &nft.Verdict{Kind: "accept"}}
	known := nft.Rule{Exprs: []nft.Expr{{Ct: &nft.Ct{Key: "state", Reg: 1}},
		{Bitwise: &nft.Bitwise{Src: 1, Dst: 1, Len: 4, Mask: []byte{6, 0, 0, 0}, Xor: make([]byte, 4)}},
		{Cmp: &nft.Cmp{Op: "!=", Reg: 1, Data: make([]byte, 4)}}, accept}}
	return nft.Own(nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Chains: []nft.Chain{
		{Name: "forward", Base: &nft.Base{Type: "filter", Hook: "forward", Priority: 5, Policy: "drop"}, Rules: []nft.Rule{known,
			{Exprs: append(append(dev("iifname", inside), dev("oifname", outside)...), accept), Comment: "inside to outside"}}},
		{Name: "input", Base: &nft.Base{Type: "filter", Hook: "input", Priority: 5, Policy: "accept"}},
	}}, "lab")
}

// seen is what the machine shows.
func (b *bed) seen() foreign.Seen {
	b.t.Helper()
	all := tree{files{b}, map[string]string{}}
	for line := range strings.Lines(b.sh("grep -H . /proc/[0-9]*/comm 2>/dev/null || true")) {
		path, comm, _ := strings.Cut(line, ":")
		all.known[path] = comm
	}
	s := foreign.Gather(all)
	err := b.World.Machine.Do(func() (err error) {
		s.Tables, err = nft.DumpAll(context.Background())
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var links []struct {
		Index int    `json:"ifindex"`
		Name  string `json:"ifname"`
		Info  struct {
			Kind string `json:"info_kind"`
		} `json:"linkinfo"`
	}
	if err := json.Unmarshal([]byte(b.sh("ip -j -d link")), &links); err != nil {
		b.t.Fatal(err)
	}
	for _, l := range links {
		s.Devices = append(s.Devices, foreign.Device{Name: l.Name, Index: l.Index, Kind: l.Info.Kind})
	}
	return s
}

// ruleset is what nft says of everything that is not ours, without counters and handles. Chains are
// sorted, because docker makes them anew when it starts; the rules of each stay in their order.
func (b *bed) ruleset() string {
	b.t.Helper()
	var all struct {
		Objects []map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(b.MustRun(b.t, "nft", "-s", "-j", "list", "ruleset")), &all); err != nil {
		b.t.Fatal(err)
	}
	counts := regexp.MustCompile(`"(handle|packets|bytes)": \d+`)
	var out []string
	keys := map[string]string{}
	for _, o := range all.Objects {
		for kind, raw := range o {
			var at struct{ Family, Table, Chain, Name string }
			_ = json.Unmarshal(raw, &at)
			if kind != "metainfo" && (at.Family != nft.OwnFamily || at.Table != nft.OwnTable && !(kind == "table" && at.Name == nft.OwnTable)) {
				line := kind + " " + counts.ReplaceAllString(string(raw), `"$1": 0`)
				keys[line] = strings.Join([]string{kind, at.Family, at.Table, at.Chain, at.Name}, " ")
				out = append(out, line)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return strings.Compare(keys[a], keys[b]) })
	return strings.Join(out, "\n")
}

// same fails and shows the first difference.
func same(t *testing.T, what, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	x, y := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range max(len(x), len(y)) {
		if i >= len(x) || i >= len(y) || x[i] != y[i] {
			t.Errorf("%s: the other rules differ at line %d of %d and %d\nbefore %s\nafter  %s", what, i, len(x), len(y), at(x, i), at(y, i))
			return
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(nothing)"
}

// within calls a resource in a namespace.
type within struct {
	ns *lab.NetNS
	r  provision.Resource
}

func (w within) Get(ctx context.Context, name string) (a provision.Attrs, err error) {
	err = w.ns.Do(func() (err error) { a, err = w.r.Get(ctx, name); return err })
	return a, err
}

func (w within) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	return w.ns.Do(func() error { return w.r.Set(ctx, name, have, want) })
}

// files are the machine's.
type files struct{ b *bed }

func (f files) get(path string) ([]byte, error) {
	// /proc/net is that of the reader, so the reader has to be in the machine.
	out, msg, exit := f.b.Run(context.Background(), "cat", path)
	if exit != 0 {
		if strings.Contains(msg, "No such file") {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return nil, errors.New(msg)
	}
	return []byte(out), nil
}

func (f files) ReadFile(path string, _ int64) ([]byte, error) { return f.get(path) }

func (f files) ReadDir(path string) ([]host.Entry, error) {
	names, err := f.ReadNames(path)
	var out []host.Entry
	for _, n := range names {
		out = append(out, host.Entry{Name: n})
	}
	return out, err
}

func (f files) ReadNames(path string) ([]string, error) {
	out, _, exit := f.b.Run(context.Background(), "ls", "-1A", path)
	if exit != 0 {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return strings.Fields(out), nil
}

// tree is files with a limit of another width, and with what many files have said at once.
type tree struct {
	files
	known map[string]string
}

func (t tree) ReadFile(path string, _ int) ([]byte, error) {
	if text, ok := t.known[path]; ok || strings.HasSuffix(path, "/comm") {
		return []byte(text), nil
	}
	return t.get(path)
}

// runner runs commands in the machine.
type runner struct{ b *bed }

func (r runner) Run(ctx context.Context, c host.Command) (host.Output, error) {
	out, msg, exit := r.b.RunCmd(ctx, lab.Cmd{Argv: c.Argv, Env: c.Env})
	return host.Output{Stdout: []byte(out), Stderr: []byte(msg), Code: exit}, nil
}

// keep writes what the machine shows as a fixture of the pure tests, with PROVISION_CAPTURE=1.
func (b *bed) keep(name string, s foreign.Seen) {
	b.t.Helper()
	if os.Getenv("PROVISION_CAPTURE") == "" {
		return
	}
	s.Tables = slices.DeleteFunc(slices.Clone(s.Tables), func(t nft.Table) bool { return t.Name == nft.OwnTable })
	text, err := json.Marshal(s)
	if err != nil {
		b.t.Fatal(err)
	}
	// One table, and one of everything else, on each line.
	text = []byte(strings.NewReplacer(`{"family":`, "\n{\"family\":", `],"legacy`, "],\n\"legacy", `],"processes"`, "],\n\"processes\"", `,"files"`, ",\n\"files\"").Replace(string(text)) + "\n")
	if err := os.WriteFile("../../../routing/foreign/testdata/"+name+".json", text, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
