//go:build lab && linux

package walks

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/walk"
)

// binary is the program under test, which PROVISION_BINARY may name.
var binary string

// full walks every page, and not those alone that most people read first.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

func TestMain(m *testing.M) { os.Exit(lab.MainWithProgram(m, &binary)) }

// walked is a page with the machine of its reader.
type walked struct {
	page  string
	quick bool // part of the normal run
	root  string
	nics  []lab.NICOpts // default: a NAT NIC and a bridged one, eth0 and eth1
	setup string        // a shell's script, once, before the first step
	// The rest is said of single commands of the page, by their text. One that the page has not is a mistake.
	before map[string]string // a script, because the page says something in words or shows two ways
	typed  map[string]string // standard input
	status map[string]int    // the status that it ends with on this machine, and the page says so
	limit  map[string]string // seconds after which a command that runs on is ended, as a reader would with Ctrl-C
	apart  map[string]string // not done here, and why
	after  string            // a script that shows the end: it ends with 0
}

// sudo is what a root account has for it.
var sudo = lab.File{Content: "#!/bin/sh\nexec \"$@\"\n", Mode: 0o755}

func TestWalks(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range walks() {
		seen[w.page] = true
		t.Run(w.page, func(t *testing.T) {
			if !w.quick && !full {
				t.Skip("skipped: three pages are walked in each run, all of them with PROVISION_LAB_FULL=1 (make test-all)")
			}
			t.Parallel()
			w.walk(t)
		})
	}
	for _, w := range walk.Walkers() {
		if (w.Test == "TestWalks") != seen[w.Page] {
			t.Errorf("%s: the table of the pages says it is walked by %s", w.Page, w.Test)
		}
	}
}

func (w walked) walk(t *testing.T) {
	lab.Need(t, lab.Tier2)
	text, err := os.ReadFile(filepath.Join("../../../docs", w.page))
	if err != nil {
		t.Fatal(err)
	}
	steps := walk.Steps(string(text))
	w.known(t, walk.Commands(steps))
	root := w.root
	if root == "" {
		root = "bookworm-netplan"
	}
	m := lab.Boot(t, lab.Root(t, root), lab.NewWorld(t, lab.WorldOpts{NICs: w.nics}), lab.BootOpts{Binary: binary, Overlay: guide(t)})
	for _, n := range append(w.nics[:len(w.nics):len(w.nics)], lab.NAT(), lab.Bridged())[:max(len(w.nics), 2)] {
		if !n.NoDHCP {
			m.AwaitAddrs(t, 40*time.Second, n.Name)
		}
	}
	w.script(t, m, "before the page", w.setup)
	ran := 0
	for _, s := range steps {
		if s.Config != "" {
			m.WriteFile(t, "/etc/provision/provision.yaml", s.Config, 0o600)
			if out, code := shell(t, m, "provision validate /etc/provision/provision.yaml", "", ""); code != 0 {
				t.Errorf("%s:%d: the configuration: status %d\n%s", w.page, s.Line, code, out)
			}
			continue
		}
		if w.apart[s.Command] != "" {
			t.Logf("%s:%d: not here: %s: %s", w.page, s.Line, s.Command, w.apart[s.Command])
			continue
		}
		w.script(t, m, "before "+s.Command, w.before[s.Command])
		began := time.Now()
		out, code := shell(t, m, s.Command, w.typed[s.Command], w.limit[s.Command])
		ran++
		t.Logf("%s: status %d, %s", s.Command, code, time.Since(began).Round(10*time.Millisecond))
		if code != w.status[s.Command] {
			t.Errorf("%s:%d: %s: status %d, want %d\n%s", w.page, s.Line, s.Command, code, w.status[s.Command], out)
		}
	}
	w.script(t, m, "the end", w.after)
	if ran == 0 {
		t.Errorf("%s: no command was run", w.page)
	}
}

// known fails where something is said of a command that the page has not, or not any more.
func (w walked) known(t *testing.T, commands []string) {
	t.Helper()
	var named []string
	for _, m := range []map[string]string{w.before, w.typed, w.limit, w.apart} {
		for c := range m {
			named = append(named, c)
		}
	}
	for c := range w.status {
		named = append(named, c)
	}
	for _, c := range named {
		if !slices.Contains(commands, c) {
			t.Errorf("%s has no command %q", w.page, c)
		}
	}
}

// guide is what a reader has beside the program: the pages' examples, sudo, and wg(8), which is the lab's own.
func guide(t *testing.T) lab.Overlay {
	t.Helper()
	out := lab.Overlay{"/usr/local/bin/sudo": sudo}
	wg, err := os.ReadFile("/usr/bin/wg")
	if err != nil {
		t.Fatal(err)
	}
	out["/usr/local/bin/wg"] = lab.File{Content: string(wg), Mode: 0o755}
	units, err := filepath.Glob("../../packaging/systemd/*.service")
	if err != nil || len(units) == 0 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	for _, f := range append(units, "../../../cmd/provision/provision.yaml") {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := "/root/" + filepath.Base(f)
		if strings.HasSuffix(f, ".service") {
			name = "/root/systemd/" + filepath.Base(f)
		}
		// The archive's units are for the place where a hand puts the program.
		out[name] = lab.File{Content: strings.ReplaceAll(string(text), "/usr/bin/provision", "/usr/local/bin/provision"), Mode: 0o644}
	}
	files, err := filepath.Glob("../../../docs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../../docs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, more...) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel("../../..", f)
		if err != nil {
			t.Fatal(err)
		}
		out["/root/"+rel] = lab.File{Content: string(text), Mode: 0o644}
	}
	return out
}

// shell runs a line in root's home, as somebody types it.
func shell(t *testing.T, m *lab.Machine, line, typed, limit string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if limit != "" {
		line = "timeout --preserve-status --signal=INT " + limit + " " + line
	}
	out, msg, code := m.RunCmd(ctx, lab.Cmd{Argv: []string{"bash", "-c", "cd /root && " + line}, Stdin: strings.NewReader(typed)})
	return out + msg, code
}

func (w walked) script(t *testing.T, m *lab.Machine, what, script string) {
	t.Helper()
	if script == "" {
		return
	}
	if out, code := shell(t, m, "{ set -e\n"+script+"\n}", "", ""); code != 0 {
		t.Fatalf("%s: %s: status %d\n%s\n%s", w.page, what, code, script, out)
	}
}
