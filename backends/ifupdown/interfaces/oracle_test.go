package interfaces

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ifquery is Debian's own program, run by its own loader out of a cached root, or
// the machine's. It only reads; but it would run mapping scripts, so no input may
// hold a mapping.
type ifquery struct {
	name string
	argv []string
}

// oracles finds ifquery on this machine and in the cached Debian roots of the lab.
func oracles(t *testing.T) []ifquery {
	t.Helper()
	var out []ifquery
	if p, err := exec.LookPath("ifquery"); err == nil {
		out = append(out, ifquery{"host", []string{p}})
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no cache directory: %v", err)
	}
	roots, _ := filepath.Glob(filepath.Join(cache, "provision/lab/*-ifupdown-*/usr/sbin/ifup"))
	for _, bin := range roots {
		root := strings.TrimSuffix(bin, "/usr/sbin/ifup")
		loader, _ := filepath.Glob(root + "/usr/lib*/ld-linux*.so*")
		libs, _ := filepath.Glob(root + "/usr/lib/*-linux-gnu*")
		if len(loader) == 0 || len(libs) == 0 {
			continue
		}
		out = append(out, ifquery{filepath.Base(root),
			[]string{loader[0], "--library-path", strings.Join(libs, ":"), "--argv0", "ifquery", bin}})
	}
	if len(out) == 0 {
		t.Skipf("no ifquery: neither on the PATH nor in %s/provision/lab/*-ifupdown-* (scripts/lab/rootfs bookworm-ifupdown builds one)", cache)
	}
	return out
}

func (q ifquery) run(t *testing.T, dir string, args ...string) (stdout, stderr string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	argv := slices.Concat(q.argv, []string{"--no-loopback", "--state-dir=" + dir + "/state", "-i", dir + "/interfaces"}, args)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/nonexistent", "LC_ALL=C"}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %v: timeout", q.name, args)
	}
	return o.String(), e.String(), err == nil
}

// compare holds our reading of a tree of files against ifquery's.
func compare(t *testing.T, q ifquery, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	tree := map[string]string{}
	for name, text := range files {
		text = strings.ReplaceAll(text, "@", dir)
		if strings.Contains(text, "mapping") || strings.ContainsAny(text, "\x00") {
			return
		}
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		tree[p] = text
	}
	cfg := Resolve(dir+"/interfaces", tree, nil)
	fatal := false
	for _, p := range cfg.Problems {
		if strings.Contains(p.Text, errUnknown.Error()) {
			return
		}
		fatal = fatal || p.Fatal
	}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s\nfiles %q\nproblems %v", q.name, fmt.Sprintf(format, args...), tree, cfg.Problems)
	}

	_, trace, _ := q.run(t, dir, "-v", "--list", "--allow", "nobody")
	if refused := strings.Contains(trace, "couldn't read interfaces file"); refused != fatal {
		fail("ifquery refuses the configuration: %v, we: %v\n%s", refused, fatal, trace)
	}
	if fatal {
		return
	}
	if want, got := traced(trace, tree), cfg.Order[1:]; !slices.Equal(want, got) {
		fail("ifquery reads %q, we %q", want, got)
	}
	var names []string
	for _, s := range cfg.Stanzas {
		renamed := slices.ContainsFunc(cfg.Renames, func(r Rename) bool { return r.From == s.Logical })
		if !slices.Contains(names, s.Logical) && !renamed && !strings.ContainsAny(s.Logical, "/=") && !strings.HasPrefix(s.Logical, "-") {
			names = append(names, s.Logical)
		}
	}
	for _, n := range names {
		got, _, ok := q.run(t, dir, n)
		if diff := sameOptions(cfg.Of(n), got); diff != "" || !ok {
			fail("options of %s differ: %s\nifquery %q", n, diff, got)
		}
	}
	if len(cfg.Renames) > 0 {
		return
	}
	for _, class := range []string{"auto", "hotplug"} {
		got, _, _ := q.run(t, dir, "--list", "--allow", class)
		want, ok := listed(t, cfg, class)
		have := slices.Compact(slices.Sorted(slices.Values(strings.Fields(got))))
		if ok && !slices.Equal(have, want) {
			fail("%s lists %q, we %q", class, have, want)
		}
	}
}

// traced is the files that ifquery -v says it reads, once for each spelling.
func traced(trace string, tree map[string]string) []string {
	var out []string
	seen := map[string]bool{}
	for line := range strings.Lines(trace) {
		_, p, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": parsing file ")
		if _, file := tree[path.Clean(p)]; ok && file && !seen[p] {
			seen[p] = true
			out = append(out, path.Clean(p))
		}
	}
	return out
}

// made are options that ifupdown computes or fills in by itself.
var made = map[string]bool{"netmask": true, "broadcast": true, "accept_ra": true, "autoconf": true, "ll-attempts": true,
	"ll-interval": true, "request_prefix": true, "dad-attempts": true, "dad-interval": true, "privext": true, "address": true,
	"hwaddress": true, "preferred-lifetime": true, "scope": true, "dhcp": true}

// sameOptions walks through ifquery's output by our options.
func sameOptions(stanzas []*Stanza, out string) string {
	skip := func() bool {
		name, _, ok := strings.Cut(out, ": ")
		if !ok || !made[name] {
			return false
		}
		_, out, _ = strings.Cut(out, "\n")
		return true
	}
	for _, s := range stanzas {
		for _, o := range s.Options {
			if made[o.Name] {
				continue
			}
			rest, ok := strings.CutPrefix(out, o.Name+": "+o.Value+"\n")
			for !ok && skip() {
				rest, ok = strings.CutPrefix(out, o.Name+": "+o.Value+"\n")
			}
			if !ok {
				return fmt.Sprintf("%s at %s is %q", o.Name, o.Place, o.Value)
			}
			out = rest
		}
	}
	for out != "" {
		if !skip() {
			return fmt.Sprintf("left over: %q", out)
		}
	}
	return ""
}

// listed is what ifquery --list prints for a class: known targets, by name.
func listed(t *testing.T, cfg *Config, class string) (names []string, ok bool) {
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var devices []Device
	for _, l := range links {
		mac, _ := os.ReadFile("/sys/class/net/" + l.Name + "/address")
		devices = append(devices, Device{l.Name, strings.TrimSpace(string(mac))})
	}
	seen := map[Target]bool{}
	for _, e := range cfg.Entries {
		if e.Class != class {
			continue
		}
		targets, err := Targets(e.Name, devices)
		if err != nil {
			return nil, false
		}
		for _, tg := range targets {
			if !seen[tg] && len(cfg.Of(tg.Logical)) > 0 {
				names = append(names, tg.Name)
			}
			seen[tg] = true
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

func TestAgainstIfqueryCorpus(t *testing.T) {
	for _, q := range oracles(t) {
		t.Run(q.name, func(t *testing.T) {
			for name, text := range corpus(t) {
				t.Run(name, func(t *testing.T) { compare(t, q, map[string]string{"interfaces": text}) })
			}
		})
	}
}

// TestAgainstIfqueryRandom makes trees of files out of the words of the grammar,
// breaks some of their bytes, and compares. A failure prints its seed.
func TestAgainstIfqueryRandom(t *testing.T) {
	rounds, start := 150, 0
	if v := os.Getenv("IFQUERY_ROUNDS"); v != "" {
		rounds, _ = strconv.Atoi(v)
		start = 1000
	}
	if testing.Short() {
		rounds = 20
	}
	for _, q := range oracles(t) {
		t.Run(q.name, func(t *testing.T) {
			for seed := start; seed < start+rounds; seed++ {
				t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
					r := rand.New(rand.NewPCG(uint64(seed), 1))
					files := map[string]string{"interfaces": broken(r, text(r, 14, true))}
					for _, name := range []string{"d/a", "d/b.conf", "d/c-1", "d/.e", "d/sub/f", "x y"} {
						if r.IntN(2) == 0 {
							files[name] = broken(r, text(r, 5, r.IntN(3) == 0))
						}
					}
					compare(t, q, files)
				})
			}
		})
	}
}

func text(r *rand.Rand, lines int, sources bool) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	name := func() string { return pick("eth0", "eth1", "lan", "base", "enp0s3", "lo") }
	var b strings.Builder
	option := false
	for range 1 + r.IntN(lines) {
		indent := pick("", "", "  ", "\t", "\v ")
		kind := r.IntN(12)
		if option && r.IntN(2) == 0 {
			kind = 0
		}
		switch {
		case kind <= 1 && option:
			b.WriteString(indent + pick("metric", "mtu", "up", "pre-up", "post-up", "pre-down", "down", "metric?", "vlan-id", "map", "script") +
				pick(" ", "  ", "\t", " \\\n ") + pick("1", "10", "1500 # x", "echo a", "a\\\n  b", "a \\\nb\\\nc", "\"q\""))
		case kind <= 4:
			b.WriteString("iface " + name() + pick(" inet dhcp", " inet manual", " inet6 auto", " inet6 manual", " inet dhcp x",
				" inherits "+name(), " inet inherits "+name(), " inet manual inherits "+name(), " \\\n inet manual"))
			option = true
		case kind == 5:
			b.WriteString(pick("auto", "allow-hotplug", "no-auto-down", "no-scripts"))
			if !option || r.IntN(3) > 0 {
				b.WriteString(" " + name() + pick("", " "+name(), " "+name()+"="+pick("lan", "base"), " /l?=lan", " /l*", " mac/00:00:00:00:00:0?=base"))
				option = false
			}
		case kind == 6:
			b.WriteString(indent + "#" + pick("", " a comment", " continued \\"))
		case kind == 7:
			b.WriteString(pick("", " ", "\\\n"))
		case kind == 8 && sources:
			b.WriteString(pick("source @/d/*", "source d/*", "source-directory d", "source-directory @/d/", "source-dir @/?", "source @/d/[a-b]*",
				"source @/none @/d/a", `source "@/x y"`, `source @/x\ y`, "source @/{d}/a", "source @/d/sub/*", "source @/*/*/f", "source @/d/[!a]*",
				"source d/a\t@/d/b.conf", "source '@/d/a", "source @/d/.*", "source", "source @/d//a", "source @/./d/*"))
			option = false
		case kind == 9 && r.IntN(6) == 0:
			b.WriteString(pick("rename eth7=eth8", "template x", "metric 1", "iface eth0", "iface eth0 inet", "iface", "mtu"))
			option = false
		default:
			b.WriteString("# " + name())
		}
		b.WriteString(pick("\n", "\n", "\n", "\n", "\r\n", " \n"))
	}
	if r.IntN(4) == 0 {
		return strings.TrimSuffix(b.String(), "\n")
	}
	return b.String()
}

// broken changes a few bytes of every fourth text.
func broken(r *rand.Rand, text string) string {
	if r.IntN(4) > 0 {
		return text
	}
	b := []byte(text)
	for range 1 + r.IntN(3) {
		i := r.IntN(len(b) + 1)
		switch r.IntN(3) {
		case 0:
			b = slices.Insert(b, i, " \t\r\n\\#?=/*'\"[]\x80\v"[r.IntN(16)])
		case 1:
			b = slices.Delete(b, min(i, len(b)), min(i+1+r.IntN(4), len(b)))
		default:
			b = slices.Insert(b, i, b[min(i, len(b)):min(i+r.IntN(20), len(b))]...)
		}
	}
	return string(b)
}
