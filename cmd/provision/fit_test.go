//go:build !arm

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget/card/device"
	"github.com/provision-net/provision/gadget/card/flash"
	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/overlay/tree"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard/egress"
	"github.com/provision-net/provision/vagrant/vbox"
)

// The longest things that are seen: a label of a DNS name, an IPv6 prefix, a WireGuard key, a MAC with its maker, a sentence.
var wide = []string{
	"a-name-of-sixty-three-letters-which-is-as-long-as-a-label-gets0",
	"2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff/128",
	"qL8m4wTn0PzZpXo3bDqfYkU0v2JcHn1sRr5eWg9aXEY=",
	"08:00:27:ff:ff:ff (Raspberry Pi Trading)",
	"it has no default route though its DHCP client serves it: if its lease has a router, the route is added, and otherwise nobody knows",
}

// filled is a value of a type in which nothing is empty: texts are wide in turn, numbers large, lists have two elements.
func filled[T any]() T {
	var out T
	n := 0
	fill(reflect.ValueOf(&out).Elem(), &n, 0)
	return out
}

func fill(v reflect.Value, n *int, depth int) {
	if depth > 12 {
		return
	}
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128")))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535")))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
		return
	case time.Duration:
		v.SetInt(int64(99*time.Hour + 59*time.Minute))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(wide[*n%len(wide)])
		*n++
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(min(int64(1)<<40, int64(1)<<(v.Type().Bits()-1)-1))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(min(uint64(1)<<40, uint64(1)<<(v.Type().Bits()-1)))
	case reflect.Float64, reflect.Float32:
		v.SetFloat(123456.789)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n, depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n, depth+1)
		fill(value, n, depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), n, depth+1)
			}
		}
	}
}

// pages are what people are shown, with the widest content.
func pages() map[string]func(p *page) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	host := hostOptions{hostFlags: &hostFlags{}}
	return map[string]func(p *page){
		"detect":              func(p *page) { drawDetection(p, filled[agent.Detection](), true) },
		"plan":                func(p *page) { drawPreview(p, filled[agent.Preview]()) },
		"apply":               func(p *page) { drawOutcome(p, filled[agent.Outcome]()) },
		"revert":              func(p *page) { drawResult(p, filled[provision.Result](), "done") },
		"verify":              func(p *page) { drawVerify(p, filled[provision.Verification]()) },
		"explain NIC":         func(p *page) { drawReasons(p, filled[[]backends.Reason]()) },
		"explain --to":        func(p *page) { drawPath(p, agent.Path{Lines: filled[agent.Path]().Lines}) },
		"firewall check":      func(p *page) { drawFirewall(p, filled[agent.Firewall]()) },
		"firewall open":       func(p *page) { drawSwitch(p, filled[killswitch.State]()) },
		"watch --status":      func(p *page) { drawWatch(p, filled[watch.Status]()) },
		"gadget up":           func(p *page) { drawGadget(p, filled[agent.GadgetOutcome]()) },
		"gadget up --dry-run": func(p *page) { drawGadgetPlan(p, filled[gadgetPreview]()) },
		"gadget down":         func(p *page) { drawGadgetDown(p, filled[agent.GadgetOutcome]()) },
		"gadget status":       func(p *page) { drawGadgetStatus(p, filled[agent.GadgetStatus]()) },
		"gadget doctor":       func(p *page) { drawDoctor(p, filled[doctor.Report]()) },
		"generalize":          func(p *page) { drawGeneralization(p, filled[agent.Generalization]()) },
		"wifi add":            func(p *page) { drawWifiNotes(p, filled[agent.WifiOutcome]()) },
		"wifi list":           func(p *page) { drawWifi(p, filled[agent.WifiList]()) },
		"wireguard init":      func(p *page) { drawTunnel(p, filled[agent.WireguardOutcome]()) },
		"wireguard list":      func(p *page) { drawTunnels(p, filled[agent.WireguardList]()) },
		"wireguard import":    func(p *page) { drawImported(p, filled[agent.WireguardImported]()) },
		"wireguard check":     func(p *page) { drawEgress(p, filled[egress.Report]()) },
		"overlay status":      func(p *page) { drawOverlay(p, filled[tree.Status](), false, now) },
		"lists":               func(p *page) { drawLists(p, filled[[]lists.Status](), now) },
		"lists refresh":       func(p *page) { drawRefresh(p, filled[agent.ListOutcome]()) },
		"host list":           func(p *page) { drawHostList(p, filled[hostList]()) },
		"host list VM":        func(p *page) { drawMachine(p, filled[vbox.Machine]()) },
		"host bridge":         func(p *page) { o := filled[hostOutcome](); o.Script, o.Guest.Commands = nil, nil; host.draw(p, o) },
		"card prepare":        func(p *page) { drawCardPrepared(p, filled[cardPrepared]()) },
		"card flash":          func(p *page) { drawFlashed(p, ptr(filled[flashed]())) },
		"card flash, asking":  func(p *page) { drawFlashPlan(p, ptr(filled[flash.Image]()), ptr(filled[device.Disk]()), wide[0]) },
		"card flash --list":   func(p *page) { drawFlashList(p, filled[[]flashDisk]()) },
		"leases":              func(p *page) { drawLeases(p, filled[[]control.Lease](), false) },
		"leases --history":    func(p *page) { drawLeases(p, filled[[]control.Lease](), true) },
		"status":              func(p *page) { drawStatus(p, filled[control.Status](), true) },
		"status --queries":    func(p *page) { drawEvents(p, filled[[]control.Event]()) },
		"why":                 func(p *page) { drawWhy(p, filled[control.Why]()) },
	}
}

func ptr[T any](v T) *T { return &v }

// Whatever is shown fits a terminal of 80 columns, and of 60: names, addresses, keys and sentences of full length. A word that alone is
// longer stays whole, since it is there to be copied. Not here: what is printed line by line for files and shells (contents that
// change, `firewall show`, a peer's configuration, commands to paste), which a line break would spoil.
func TestEverythingFitsTheTerminal(t *testing.T) {
	for command, draw := range pages() {
		for _, width := range []int{60, 80} {
			p := newPage(width)
			draw(p)
			text := p.buf.String()
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: nothing was drawn", command)
			}
			for line := range strings.Lines(text) {
				line = strings.TrimRight(line, "\n")
				if columns(line) > width && len(strings.Fields(line)) > 1 {
					t.Errorf("%s: %d columns of %d: %q", command, columns(line), width, line)
				}
			}
			// A pipe gets the same, and no more.
			whole := newPage(0)
			draw(whole)
			for _, word := range strings.Fields(strings.Join(wide, " ")) {
				if a, b := strings.Count(text, word), strings.Count(whole.buf.String(), word); a != b && len(word) > 8 { // shorter ones are in headings, too
					t.Errorf("%s: %q stands there %d times at %d columns, and %d times in a pipe", command, word, a, width, b)
				}
			}
		}
	}
}

// Every function that draws is among the pages, directly or by way of another, and only such functions draw tables.
func TestEveryPageIsTriedForItsWidth(t *testing.T) {
	set := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls, drawing := map[string][]string{}, map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") && name != "fit_test.go" {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			draws := strings.HasPrefix(f.Name.Name, "draw")
			if draws && takesPage(f) {
				drawing[f.Name.Name] = true
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				switch to := call.Fun.(type) {
				case *ast.Ident:
					calls[f.Name.Name] = append(calls[f.Name.Name], to.Name)
				case *ast.SelectorExpr:
					calls[f.Name.Name] = append(calls[f.Name.Name], to.Sel.Name)
					switch to.Sel.Name {
					case "rows", "list", "rowsOr":
						if !draws && f.Name.Name != "rowsOr" {
							t.Errorf("%s: a table is drawn outside of a function draw...", set.Position(call.Pos()))
						}
					}
				}
				return true
			})
		}
	}
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if !seen[name] {
			seen[name] = true
			for _, to := range calls[name] {
				visit(to)
			}
		}
	}
	visit("pages")
	for name := range drawing {
		if !seen[name] {
			t.Errorf("%s is not tried for its width", name)
		}
	}
	if len(drawing) < 40 {
		t.Errorf("only %d functions that draw were found", len(drawing))
	}
}

func takesPage(f *ast.FuncDecl) bool {
	if f.Type.Params == nil || len(f.Type.Params.List) == 0 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	id, ok := star.X.(*ast.Ident)
	return ok && id.Name == "page"
}

func TestTables(t *testing.T) {
	rows := [][]string{{"address", "name", "", "why"}, {"192.0.2.1", "laptop", "", "it was asked for long ago"}, {"192.0.2.2", "", "x", ""}}
	for _, tt := range []struct {
		width int
		want  string
	}{
		{0, "address    name       why\n192.0.2.1  laptop     it was asked for long ago\n192.0.2.2          x\n"},
		{47, "address    name       why\n192.0.2.1  laptop     it was asked for long ago\n192.0.2.2          x\n"},
		{46, "address    name       why\n192.0.2.1  laptop     it was asked for long\n                      ago\n192.0.2.2          x\n"},
		{41, "address    name\n    why\n192.0.2.1  laptop\n    it was asked for long ago\n192.0.2.2          x\n"},
		{16, "192.0.2.1\n    name: laptop\n    why: it was\n        asked\n        for long\n        ago\n192.0.2.2\n    x\n"},
	} {
		got := strings.Join(layOut(rows, true, tt.width), "\n") + "\n"
		if got != tt.want {
			t.Errorf("%d columns:\n%s\nwant\n%s", tt.width, got, tt.want)
		}
	}
	// Blanks of a cell that goes on below are its own: a name may have several.
	for _, tt := range []struct {
		cell  string
		width int
		want  []string
	}{
		{"two  blanks and more", 11, []string{"two  blanks", "and more"}},
		{"  two before it", 10, []string{"  two", "before it"}},
		{"where it ends  there are none", 14, []string{"where it ends", "there are none"}},
		{"a            b", 8, []string{"a", "b"}},
		{"            ", 8, []string{""}},
	} {
		if got := fold(tt.cell, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("%q in %d columns is %q, want %q", tt.cell, tt.width, got, tt.want)
		}
	}
	spaced := [][]string{{"   Guest  of a house", "open", "for whoever comes by"}}
	if got, want := strings.Join(layOut(spaced, false, 40), "\n"), "   Guest  of  open  for whoever comes by\na house"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// Characters of two columns, and marks of none, are counted as the terminal shows them.
	got := strings.Join(layOut([][]string{{"東京", "a"}, {"e\u0301e\u0301", "b"}, {"😀", "c"}}, false, 80), "\n")
	if want := "東京  a\ne\u0301e\u0301    b\n😀    c"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
