package main

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/cmd/provision/internal/strict"
)

var update = flag.Bool("update", false, "write docs/reference.md and the golden files anew")

const docs = "../../docs"

const referenceHead = `# Configuration reference

The file is ` + "`" + agent.DefaultPath + "`" + `, or the one that ` + "`-c`" + ` names, or ` + "`provision.yaml`" + ` on the boot
partition (` + "`/boot/firmware`, `/boot`" + `). Without any, the built-in defaults hold. Unknown keys are errors; all errors
are reported at once, each with its line and column. Start from [minimal.yaml](minimal.yaml);
[full.yaml](full.yaml) has every key. ` + "`provision validate FILE` checks a file, `provision schema`" + ` prints a JSON
Schema for editors. Metrics: the lower one wins.

This page is generated from the program by ` + "`make golden`" + `.

`

func TestReferenceIsCurrent(t *testing.T) {
	want := referenceHead + strict.Reference(reflect.TypeOf(agent.Config{}))
	golden(t, filepath.Join(docs, "reference.md"), want)
}

// golden compares text with a committed file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make golden writes it", err)
	}
	if string(want) != got {
		t.Errorf("%s is not current; make golden writes it anew. It should be:\n%s", path, got)
	}
}

func TestExampleConfigurationsLoad(t *testing.T) {
	for _, name := range []string{filepath.Join(docs, "minimal.yaml"), filepath.Join(docs, "full.yaml"), "provision.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := agent.Parse(name, text); err != nil {
			t.Error(err)
		}
	}
}

func TestFullExampleHasEveryKey(t *testing.T) {
	name := filepath.Join(docs, "full.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	config, err := agent.Parse(name, text)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	collect(reflect.ValueOf(config), "", given)
	// Further gadgets are what the first one is: what one of them has is there.
	first := strings.NewReplacer("/gadget/more/", "/gadget/")
	for path := range given {
		given[first.Replace(path)] = true
	}
	for _, path := range keys(reflect.TypeOf(config), "") {
		if !given[first.Replace(path)] {
			t.Errorf("%s does not set %s", name, path)
		}
	}
}

// keys are the paths of all scalar keys.
func keys(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return []string{path}
	}
	var out []string
	for name, f := range strict.Fields(t) {
		out = append(out, keys(f.Type, path+"/"+name)...)
	}
	return out
}

// collect notes the paths of scalars that are not zero: false can only be said of a
// pointer, so a plain bool is given when it is true.
func collect(v reflect.Value, path string, given map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			given[path] = true
		}
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), path, given)
		}
	case reflect.Struct:
		for name, f := range strict.Fields(v.Type()) {
			collect(v.FieldByIndex(f.Index), path+"/"+name, given)
		}
	default:
		if !v.IsZero() {
			given[path] = true
		}
	}
}

// What `provision init` prints says nothing, and the values in its comments are the
// defaults: on every machine that is known the outcome is that without a file.
func TestInitPrintsTheDefaults(t *testing.T) {
	printed, err := agent.Parse("provision.yaml", []byte(minimalConfig))
	if err != nil {
		t.Fatal(err)
	}
	acted := 0
	for name, f := range machines(t) {
		plain, _, errPlain := backends.Plan(f, backends.Config{}, backends.Memory{}, planners())
		written, _, errWritten := backends.Plan(f, printed.Network, backends.Memory{}, planners())
		if !reflect.DeepEqual(plain, written) || (errPlain == nil) != (errWritten == nil) {
			t.Errorf("%s: with provision init's file: %v\n%+v\nwithout any: %v\n%+v", name, errWritten, written, errPlain, plain)
		}
		if len(plain.Wants) > 0 {
			acted++
		}
	}
	if acted < 3 {
		t.Errorf("something is wanted on %d machines only: nothing was compared", acted)
	}

	commented := regexp.MustCompile(`(?m)^(  )# ((?:(?:nat-metric|first-metric|bring-up|dns|lazy|allow-gap|nics):|  ).*)$`)
	active, err := agent.Parse("provision.yaml", []byte(commented.ReplaceAllString(minimalConfig, "$1$2")))
	if err != nil {
		t.Fatal(err)
	}
	if len(active.Network.NICs) != 2 {
		t.Errorf("the example has %d rules, want 2", len(active.Network.NICs))
	}
	active.Network.NICs = nil
	defaults := agent.Config{Version: 1}
	setDefaults(t, reflect.ValueOf(&defaults.Network).Elem())
	if !reflect.DeepEqual(active, defaults) {
		t.Errorf("the comments of provision init say %+v, the default tags say %+v", active, defaults)
	}
}

// setDefaults fills a struct from its default tags.
func setDefaults(t *testing.T, v reflect.Value) {
	t.Helper()
	var text strings.Builder
	for name, f := range strict.Fields(v.Type()) {
		if value, ok := f.Tag.Lookup("default"); ok {
			text.WriteString(name + ": " + value + "\n")
		}
	}
	if _, err := strict.Decode("defaults", []byte(text.String()), v.Addr().Interface()); err != nil {
		t.Fatal(err)
	}
}
