package netplan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netplangen"
)

// trees drawn by each test; a run of the generator takes some 20 ms.
const trees = 120

// generator is the real netplan of a lab root, run by that root's own loader and
// libraries: nothing is written but the scratch directory it is pointed at.
type generator struct {
	root, loader string
	runs         int
}

func labGenerators(t *testing.T) map[string]*generator {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("netplan's generator runs on Linux")
	}
	out := map[string]*generator{}
	for _, name := range []string{"bookworm-netplan", "trixie-netplan"} {
		p, err := exec.Command("../../scripts/lab/rootfs", "--path", name).Output()
		root := strings.TrimSpace(string(p))
		if err != nil || root == "" {
			t.Logf("no %s: scripts/lab/rootfs --path: %v", name, err)
			continue
		}
		loaders, _ := filepath.Glob(filepath.Join(root, "lib*", "ld-linux*.so*"))
		if _, err := os.Stat(filepath.Join(root, "usr/libexec/netplan/generate")); err != nil || len(loaders) == 0 {
			t.Logf("no %s: build it with scripts/lab/rootfs %s", name, name)
			continue
		}
		out[name] = &generator{root: root, loader: loaders[0]}
	}
	if len(out) == 0 {
		t.Skip("no lab root with netplan: build one with scripts/lab/rootfs bookworm-netplan trixie-netplan")
	}
	return out
}

func (g *generator) Run(ctx context.Context, c host.Command) (host.Output, error) {
	if len(c.Argv) != 4 || c.Argv[0] != "netplan" || c.Argv[1] != "generate" || c.Argv[2] != "--root-dir" {
		return host.Output{}, fmt.Errorf("unexpected command %q", c.Argv)
	}
	g.runs++
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	libs, _ := filepath.Glob(filepath.Join(g.root, "usr/lib/*-linux-gnu*"))
	libs = append(libs, filepath.Join(g.root, "usr/lib"))
	cmd := exec.CommandContext(ctx, g.loader, "--library-path", strings.Join(libs, ":"), filepath.Join(g.root, "usr/libexec/netplan/generate"), "--root-dir", c.Argv[3])
	cmd.Env = []string{"LC_ALL=C"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return host.Output{}, err
	}
	return host.Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Code: cmd.ProcessState.ExitCode()}, nil
}

// generate is a Generator.
func (g *generator) generate(ctx context.Context, files map[string]string) (map[string]string, error) {
	made, err := netplangen.Generate(ctx, g, files)
	texts := map[string]string{}
	for p, f := range made {
		texts[p] = string(f.Data)
	}
	return texts, err
}

// render returns what was generated under /run, or netplan's complaint.
func (g *generator) render(t *testing.T, files map[string]string) (made map[string]string, complaint string) {
	t.Helper()
	made, err := g.generate(t.Context(), files)
	var refused *netplangen.RefusedError
	if errors.As(err, &refused) {
		return nil, refused.Said
	}
	if err != nil {
		t.Fatal(err)
	}
	return made, ""
}

// world is three NICs and the names and addresses that random trees talk about.
func world() *facts.Facts {
	f := &facts.Facts{Schema: facts.SchemaVersion, Files: map[string]facts.File{}, Links: []facts.Link{{Index: 1, Name: "lo", ARPHRD: 772}}}
	f.Networkd.Installed, f.Networkd.Version = true, "252"
	f.Networkd.Links = map[int]facts.NetworkdLink{}
	for i, name := range []string{"eth0", "eth1", "enp0s8"} {
		mac := fmt.Sprintf("08:00:27:00:00:%02d", i+1)
		f.Links = append(f.Links, facts.Link{Index: i + 2, Name: name, MAC: mac, PermMAC: mac, ARPHRD: 1, Driver: []string{"e1000", "virtio_net"}[i%2]})
	}
	return f
}

// randomTree draws definitions, spreads each one's keys over several files in several
// directories and writes them in a style of its own.
func randomTree(r *rand.Rand) map[string]string {
	names := []string{"10-a.yaml", "50-cloud-init.yaml", "60-b.yaml", "99-z.yaml"}
	dirs := []string{"/etc/netplan", "/etc/netplan", "/run/netplan", "/lib/netplan"}
	type doc = map[string]any
	docs := map[string]doc{}
	put := func(at string, value any, keys ...string) {
		n := docs[at]
		for _, k := range keys[:len(keys)-1] {
			next, _ := n[k].(doc)
			if next == nil {
				next = doc{}
				n[k] = next
			}
			n = next
		}
		n[keys[len(keys)-1]] = value
	}
	var files []string
	for range 1 + r.IntN(4) {
		at := path.Join(dirs[r.IntN(len(dirs))], names[r.IntN(len(names))])
		if docs[at] == nil {
			files = append(files, at)
			docs[at] = doc{}
			put(at, 2, "network", "version")
			if r.IntN(5) == 0 {
				put(at, pick(r, netdef.RendererNetworkd, netdef.RendererNM), "network", "renderer")
			}
		}
	}
	any1 := func() string { return files[r.IntN(len(files))] }
	booleans := []any{true, false, "yes", "on", "no", "Y", "off", "True"}
	for _, id := range []string{"eth0", "eth1", "all-en", "a1", "z9", "7"} {
		if r.IntN(3) == 0 {
			continue
		}
		at := func(value any, keys ...string) {
			put(any1(), value, append([]string{"network", "ethernets", id}, keys...)...)
		}
		for _, key := range []string{"dhcp4", "dhcp6"} {
			for range r.IntN(3) {
				at(booleans[r.IntN(len(booleans))], key)
			}
		}
		same := []any{nil, 5, 200, 4294967295}[r.IntN(4)]
		for _, key := range []string{"dhcp4-overrides", "dhcp6-overrides"} {
			if same != nil && r.IntN(8) > 0 {
				at(same, key, "route-metric")
			}
			if r.IntN(12) == 0 {
				at(r.IntN(300), key, "route-metric")
			}
		}
		if id == "all-en" || r.IntN(3) == 0 {
			where := any1() // an unmatched piece in a file that is hidden would change the meaning
			prefix := []string{"network", "ethernets", id, "match"}
			switch r.IntN(4) {
			case 0:
				put(where, fmt.Sprintf("08:00:27:00:00:%02d", 1+r.IntN(4)), append(prefix, "macaddress")...)
				if r.IntN(2) == 0 {
					put(where, pick(r, "eth0", "lan0"), "network", "ethernets", id, "set-name")
				}
			case 1:
				put(where, pick(r, "e*", "eth?", "en*", "eth[01]", "enp0s8"), append(prefix, "name")...)
			case 2:
				put(where, []any{pick(r, "e1000", "virtio*"), "x"}, append(prefix, "driver")...)
			case 3:
				put(where, "e*", append(prefix, "name")...)
				put(any1(), pick(r, "e1000", "virt*"), append(prefix, "driver")...)
			}
		}
		if r.IntN(4) == 0 {
			at(r.IntN(2) == 0, "accept-ra")
		}
		if r.IntN(6) == 0 {
			at(pick(r, netdef.RendererNetworkd, netdef.RendererNM), "renderer")
		}
		if r.IntN(5) == 0 {
			at([]any{fmt.Sprintf("10.%d.0.5/24", r.IntN(200))}, "addresses")
		}
		if r.IntN(5) == 0 {
			at(true, "optional")
		}
	}
	out := map[string]string{}
	for at, d := range docs {
		var n yaml.Node
		if err := n.Encode(d); err != nil {
			panic(err)
		}
		restyle(r, &n)
		var b strings.Builder
		enc := yaml.NewEncoder(&b)
		enc.SetIndent(2 + 2*r.IntN(2))
		if err := enc.Encode(&n); err != nil {
			panic(err)
		}
		out[at] = "# " + at + "\n" + b.String()
	}
	return out
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// restyle writes some mappings on one line.
func restyle(r *rand.Rand, n *yaml.Node) {
	if n.Kind == yaml.MappingNode && r.IntN(4) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		restyle(r, c)
	}
}

func put(f *facts.Facts, files map[string]string) {
	for p, text := range files {
		f.Files[p] = facts.File{Mode: 0o600, Text: text}
	}
}

// keys are the values of one ini file by "section.key".
func keys(name, text string) map[string]string {
	out := map[string]string{}
	for _, e := range unit.Parse(name, text).Entries {
		out[e.Section+"."+e.Key] = e.Value
	}
	return out
}

// TestReadingEqualsNetplan: what is read here out of random trees is what netplan
// renders, id by id, and what is refused here is refused there.
func TestReadingEqualsNetplan(t *testing.T) {
	for name, g := range labGenerators(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			refused, compared := 0, 0
			for i := range trees {
				files := randomTree(r)
				f := world()
				put(f, files)
				tree := netdef.ReadTree(f, true)
				fails := ""
				for _, err := range tree.Errors {
					fails = err.Error()
				}
				for _, id := range tree.IDs {
					if _, _, agree := id.Settings().Networkd(); !agree && id.Renderer == netdef.RendererNetworkd {
						fails = id.Name + " differs"
					}
					if id.Renderer == netdef.RendererNM && len(id.Def.Get("match").Drivers()) > 0 {
						fails = id.Name + " matches by driver, which netplan does not support for NetworkManager"
					}
				}
				made, complaint := g.render(t, files)
				if (fails != "") != (complaint != "") {
					t.Fatalf("tree %d: read here %q, netplan says %q\n%s", i, fails, complaint, dump(files))
				}
				if complaint != "" {
					refused++
					continue
				}
				for _, id := range tree.IDs {
					compared++
					if msg := compare(id, made); msg != "" {
						t.Fatalf("tree %d, id %s: %s\n%s\n%s", i, id.Name, msg, dump(files), dump(made))
					}
				}
			}
			t.Logf("%d ids compared, %d trees refused by both", compared, refused)
			if compared < trees || refused < trees/20 {
				t.Errorf("the random trees do not reach enough: %d ids, %d refused", compared, refused)
			}
		})
	}
}

func compare(id *netdef.ID, made map[string]string) string {
	s := id.Settings()
	at := path.Join(unit.RunDir, netdef.NetworkFile(id.Name))
	nm := path.Join("/run/NetworkManager/system-connections", "netplan-"+id.Name+".nmconnection")
	if id.Renderer == netdef.RendererNM {
		text, ok := made[nm]
		if !ok {
			return "no profile was generated"
		}
		have := keys(nm, text)
		for _, fam := range []struct {
			section string
			on      bool
			over    *netdef.Value
		}{{"ipv4", s.DHCP4, s.Over4}, {"ipv6", s.DHCP6, s.Over6}} {
			want := ""
			if metric, ok := fam.over.Metric(); fam.on && ok {
				want = fmt.Sprint(metric)
			}
			if got := have[fam.section+".route-metric"]; fam.on && got != want {
				return fmt.Sprintf("%s.route-metric is %q, read here %q", fam.section, got, want)
			}
		}
		if ignored := have["ipv6.method"] == "ignore"; ignored == s.DHCP6 && id.Def.Get("addresses") == nil {
			return fmt.Sprintf("ipv6.method is %q with dhcp6 %v", have["ipv6.method"], s.DHCP6)
		}
		return ""
	}
	text, ok := made[at]
	if !ok {
		return "no .network file was generated"
	}
	have := keys(at, text)
	metric, written, _ := s.Networkd()
	want := ""
	if written {
		want = fmt.Sprint(metric)
	}
	if have["DHCP.RouteMetric"] != want {
		return fmt.Sprintf("RouteMetric is %q, read here %q", have["DHCP.RouteMetric"], want)
	}
	dhcp := map[[2]bool]string{{true, true}: "yes", {true, false}: "ipv4", {false, true}: "ipv6"}[[2]bool{s.DHCP4, s.DHCP6}]
	if have["Network.DHCP"] != dhcp {
		return fmt.Sprintf("DHCP is %q, read here %q", have["Network.DHCP"], dhcp)
	}
	read := networkd.ReadSettings(unit.Parse(at, text).Entries, 252)
	if read.RA != s.RA {
		return fmt.Sprintf("router advertisements %v, read here %v", read.RA, s.RA)
	}
	wanted := map[string]string{}
	for _, e := range id.MatchEntries() {
		wanted["Match."+e.Key] = e.Value
	}
	for _, key := range []string{"Match.Name", "Match.PermanentMACAddress", "Match.Driver"} {
		if have[key] != wanted[key] {
			return fmt.Sprintf("%s is %q, read here %q", key, have[key], wanted[key])
		}
	}
	return ""
}

func dump(files map[string]string) string {
	var b strings.Builder
	for _, p := range sorted(files) {
		fmt.Fprintf(&b, "== %s\n%s", p, files[p])
	}
	return b.String()
}

// applied is what systemd-networkd would do with generated files: per link the file
// and the metrics of both families.
func applied(f *facts.Facts, made map[string]string) map[string]string {
	g := *f
	g.Files = map[string]facts.File{}
	for p, text := range made {
		g.Files[p] = facts.File{Text: text}
	}
	tree := unit.ReadTree(&g, false)
	out := map[string]string{}
	for _, l := range f.Links[1:] {
		if a := tree.Applied(l); a != nil {
			s := networkd.ReadSettings(a.Entries, 252)
			out[l.Name] = fmt.Sprintf("dhcp4=%v/%d dhcp6=%v ra=%v/%d", s.DHCP4, s.Metric4.Metric, s.DHCP6, s.RA, s.Metric6.Metric)
		}
	}
	return out
}

// TestPlanThroughNetplan: on random trees the planned files make netplan render, for
// the next boot, exactly the wanted metrics for the one NIC and the old ones for
// every other.
func TestPlanThroughNetplan(t *testing.T) {
	for name, g := range labGenerators(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, 4))
			planned, split := 0, 0
			for i := range trees {
				files := randomTree(r)
				made, complaint := g.render(t, files)
				if complaint != "" {
					continue
				}
				f := world()
				put(f, files)
				put(f, made)
				l := f.Links[1+r.IntN(3)]
				id, _ := netdef.ReadTree(f, true).For(f, l)
				if id == nil || id.Renderer != netdef.RendererNetworkd {
					continue
				}
				s := id.Settings()
				nic := backends.NIC{Link: l, Why: "test", Metric4: ptr(uint32(1000))}
				switch r.IntN(3) {
				case 0:
					nic.Metric6 = ptr(uint32(1000))
				case 1:
					nic.Metric6 = ptr(uint32(1001))
				}
				d, err := New(nil).Desire(f, []backends.NIC{nic})
				if err != nil {
					t.Fatalf("tree %d: %v\n%s", i, err, dump(files))
				}
				next := map[string]string{}
				for p, text := range files {
					next[p] = text
				}
				dropins := map[string]string{}
				for _, w := range d.Wants {
					if w.Attrs["type"] != "file" {
						continue
					}
					switch {
					case netdef.Reads(w.Name):
						next[w.Name] = w.Attrs["content"]
					case strings.HasPrefix(w.Name, unit.EtcDir):
						dropins[w.Name] = w.Attrs["content"]
					}
				}
				before := applied(f, made)
				rendered, complaint := g.render(t, next)
				if complaint != "" {
					t.Fatalf("tree %d: netplan refuses the plan: %s\n%s", i, complaint, dump(next))
				}
				for p, text := range dropins {
					rendered[p] = text
				}
				after := applied(f, rendered)
				m4, m6 := 1024, 1024
				fmt.Sscanf(before[l.Name], "dhcp4="+fmt.Sprint(s.DHCP4)+"/%d dhcp6="+fmt.Sprint(s.DHCP6)+" ra="+fmt.Sprint(s.RA)+"/%d", &m4, &m6)
				if s.DHCP4 {
					m4 = 1000
				}
				if nic.Metric6 != nil && s.RA {
					m6 = int(*nic.Metric6)
				}
				want := fmt.Sprintf("dhcp4=%v/%d dhcp6=%v ra=%v/%d", s.DHCP4, m4, s.DHCP6, s.RA, m6)
				// A metric that nobody uses may be anything.
				if got := after[l.Name]; effective(got) != effective(want) {
					t.Fatalf("tree %d: %s would get %s, want %s (before %s)\n%s\n%s", i, l.Name, got, want, before[l.Name], dump(next), dump(rendered))
				}
				for _, other := range f.Links[1:] {
					if other.Name != l.Name && before[other.Name] != after[other.Name] {
						t.Fatalf("tree %d: %s changes too: %s, before %s\n%s", i, other.Name, after[other.Name], before[other.Name], dump(next))
					}
				}
				planned++
				if strings.Contains(next["/etc/netplan/90-provision.yaml"]+next["/etc/netplan/zz-provision.yaml"], "-provision-") {
					split++
				}
			}
			t.Logf("%d plans, %d of them with an id split off", planned, split)
			if planned < trees/5 || split < trees/20 {
				t.Errorf("the random trees do not reach enough: %d plans, %d splits", planned, split)
			}
		})
	}
}

// effective blanks the metrics of what is off.
func effective(s string) string {
	var d4, d6, ra string
	var m4, m6 int
	fmt.Sscanf(strings.NewReplacer("/", " ").Replace(s), "dhcp4=%s %d dhcp6=%s ra=%s %d", &d4, &m4, &d6, &ra, &m6)
	if d4 != "true" {
		m4 = 0
	}
	if ra != "true" {
		m6 = 0
	}
	return fmt.Sprint(d4, m4, d6, ra, m6)
}

func ptr[T any](v T) *T { return &v }
