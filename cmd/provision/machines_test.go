package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/dhcpcd"
	"github.com/provision-net/provision/backends/ifupdown"
	"github.com/provision-net/provision/backends/netplan"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkmanager"
	"github.com/provision-net/provision/provision/facts"
)

// machines are the captured machines of the facts package, by name.
func machines(t *testing.T) map[string]*facts.Facts {
	t.Helper()
	files, err := filepath.Glob("../../provision/facts/testdata/*/facts.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d captured machines (%v)", len(files), err)
	}
	out := map[string]*facts.Facts{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := facts.Load(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(filepath.Dir(file))] = f
	}
	return out
}

func planners() []backends.Backend {
	nm := networkmanager.New()
	return []backends.Backend{netplan.New(nm), nm, networkd.New(), ifupdown.New(), dhcpcd.New()}
}

// call runs the command in this process.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}
