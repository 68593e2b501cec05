//go:build !arm

package main

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/cmd/provision/internal/strict"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/overlay/tree"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard/egress"
	"github.com/provision-net/provision/vagrant/vbox"
)

// outputs are the types that the commands print as JSON. Those of cards are not in the program for ARMv6.
func outputs() []struct {
	command string
	value   any
} {
	return []struct {
		command string
		value   any
	}{
		{"detect", agent.Detection{}},
		{"plan", agent.Preview{}},
		{"apply", agent.Outcome{}},
		{"rollback revert recover", provision.Result{}},
		{"confirm", confirmed{}},
		{"verify", provision.Verification{}},
		{"explain NIC", []backends.Reason{}},
		{"explain --to", agent.Path{}},
		{"facts", facts.Facts{}},
		{"validate", validation{}},
		{"version", versionInfo{}},
		{"firewall check", agent.Firewall{}},
		{"firewall open, close", killswitch.State{}},
		{"restore", agent.Restored{}},
		{"watch --status", watch.Status{}},
		{"gadget up, down", agent.GadgetOutcome{}},
		{"gadget up --dry-run", gadgetPreview{}},
		{"gadget status", agent.GadgetStatus{}},
		{"gadget doctor", doctor.Report{}},
		{"wifi add, remove", agent.WifiOutcome{}},
		{"wifi list", agent.WifiList{}},
		{"wireguard check", egress.Report{}},
		{"wireguard init, add, rotate, remove, show", agent.WireguardOutcome{}},
		{"wireguard list", agent.WireguardList{}},
		{"wireguard import", agent.WireguardImported{}},
		{"wireguard export", agent.WireguardExported{}},
		{"host list", hostList{}},
		{"host list VM", vbox.Machine{}},
		{"host bridge, hostonly, natnet, forward", hostOutcome{}},
		{"validate problems", strict.Problem{}},
		{"firewall show", nft.Table{}},
		{"lists", []lists.Status{}},
		{"lists refresh", agent.ListOutcome{}},
		{"overlay status", tree.Status{}},
		{"generalize", agent.Generalization{}},
		{"card prepare", cardPrepared{}},
		{"card undo", cardUndone{}},
		{"card doctor", doctor.Report{}},
		{"card flash", flashed{}},
		{"card flash --list", []flashDisk{}},
		{"leases", []control.Lease{}},
		{"status", control.Status{}},
		{"status --queries", []control.Event{}},
		{"why", control.Why{}},
		{"why --reply", control.Reply{}},
	}
}

// The keys of the JSON output are a contract: a key that changes or goes away shows in
// the golden file.
func TestKeysOfOutputs(t *testing.T) {
	var b strings.Builder
	for _, o := range outputs() {
		fmt.Fprintf(&b, "# %s\n", o.command)
		lines := map[string]bool{}
		jsonKeys(reflect.TypeOf(o.value), "", nil, lines)
		for _, l := range slices.Sorted(mapKeys(lines)) {
			b.WriteString(l + "\n")
		}
		b.WriteString("\n")
	}
	golden(t, "testdata/keys.golden", b.String())
}

// The page of the commands has a line for each of them, with the keys at the top.
func TestTableOfOutputs(t *testing.T) {
	var b strings.Builder
	for _, o := range outputs() {
		list, keys := "", []string{}
		typ := reflect.TypeOf(o.value)
		if typ.Kind() == reflect.Slice {
			typ, list = typ.Elem(), "a list of "
		}
		all := map[string]bool{}
		jsonKeys(typ, "", nil, all)
		for line := range all {
			path, _, _ := strings.Cut(line, " ")
			first, _, _ := strings.Cut(path, ".")
			keys = append(keys, "`"+strings.TrimRight(first, "?[]*")+"`")
		}
		slices.Sort(keys)
		fmt.Fprintf(&b, "| %s | %s%s |\n", o.command, list, strings.Join(slices.Compact(keys), ", "))
	}
	path := filepath.Join(docs, "commands.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const head = "| command | top level |\n| --- | --- |\n"
	before, rest, ok1 := strings.Cut(string(text), head)
	_, after, ok2 := strings.Cut(rest, "\n\n")
	if !ok1 || !ok2 {
		t.Fatalf("%s has no table that begins with %q", path, head)
	}
	golden(t, path, before+head+b.String()+"\n"+after)
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
)

// jsonKeys lists "path type" for all that encoding/json writes of a type.
func jsonKeys(t reflect.Type, path string, above []reflect.Type, out map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Implements(textMarshaler):
		out[strings.TrimSpace(path+" text")] = true
		return
	case t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler):
		out[strings.TrimSpace(path+" "+t.Name())] = true
		return
	case slices.Contains(above, t):
		return
	}
	above = append(slices.Clone(above), t)
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-" || !f.IsExported() && !f.Anonymous:
				continue
			case f.Anonymous && name == "":
				jsonKeys(f.Type, path, above, out)
				continue
			case name == "":
				name = f.Name
			}
			if strings.Contains(options, "omit") {
				name += "?"
			}
			jsonKeys(f.Type, strings.TrimPrefix(path+"."+name, "."), above, out)
		}
	case reflect.Slice, reflect.Array:
		jsonKeys(t.Elem(), path+"[]", above, out)
	case reflect.Map:
		jsonKeys(t.Elem(), path+".*", above, out)
	case reflect.String:
		out[path+" text"] = true
	case reflect.Bool:
		out[path+" bool"] = true
	default:
		out[path+" number"] = true
	}
}

// What the commands really print has no key that the golden file does not name.
func TestOutputsHaveOnlyKnownKeys(t *testing.T) {
	for _, tt := range []struct {
		value any
		args  []string
	}{
		{agent.Detection{}, []string{"detect"}},
		{agent.Preview{}, []string{"plan"}},
		{provision.Verification{}, []string{"verify"}},
		{facts.Facts{}, []string{"facts"}},
		{validation{}, []string{"validate"}},
		{versionInfo{}, []string{"version"}},
		{agent.Path{}, []string{"explain", "--to", "127.0.0.1"}},
	} {
		known := map[string]bool{}
		jsonKeys(reflect.TypeOf(tt.value), "", nil, known)
		top := map[string]bool{}
		for line := range known {
			path, _, _ := strings.Cut(line, " ")
			first, _, _ := strings.Cut(path, ".")
			top[strings.TrimRight(first, "?[]*")] = true
		}
		_, out, errs := call(t, append(tt.args, "-o", "json")...)
		var printed map[string]any
		if err := json.Unmarshal([]byte(out), &printed); err != nil {
			t.Errorf("%v: %v, %s", tt.args, err, errs)
			continue
		}
		for k := range printed {
			if !top[k] {
				t.Errorf("%v prints the key %s, which its type does not have", tt.args, k)
			}
		}
	}
}
