// Package house checks rules about the house itself: which room may lean on
// which, and that the documentation names things that exist.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/provision-net/provision/"

// floor says on which floor a package lives: 0 is the engine and the door to
// the host, 1 what stands beside it on the ground, 2 a wing, 3 the roof.
func floor(path string) (level int, wing string) {
	rel := strings.TrimPrefix(path, module)
	switch first, _, _ := strings.Cut(rel, "/"); first {
	case "provision":
		switch {
		case rel == "provision", rel == "provision/host", strings.HasPrefix(rel, "provision/host/"):
			return 0, ""
		}
		return 1, ""
	case "backends", "gadget", "routing":
		return 2, first
	case "dnsdhcp":
		return 2, first
	case "cmd":
		return 3, ""
	}
	return 4, "" // scripts and tests may use everything
}

// allowed is the whole rule: downwards only; a wing never leans on another wing;
// the DHCP and DNS server knows nothing of plans; nothing below the roof knows
// the command-line library.
func allowed(from, to string) bool {
	if !strings.HasPrefix(to, module) {
		return to != "github.com/spf13/cobra" || strings.HasPrefix(from, module+"cmd/provision") && !strings.Contains(from, "/internal/")
	}
	fl, fw := floor(from)
	tl, tw := floor(to)
	switch {
	case strings.HasPrefix(from, module+"dnsdhcp"):
		return strings.HasPrefix(to, module+"dnsdhcp")
	case fl == 0 && from == module+"provision":
		return false // the engine stands on the standard library alone
	case fl == 2 && tl == 2:
		return fw == tw
	}
	return tl <= fl
}

type pkg struct {
	ImportPath           string
	Imports, TestImports []string
	Module               *struct{ Main bool }
	Standard             bool
}

func packages(t *testing.T) []pkg {
	t.Helper()
	var all []pkg
	for _, goos := range []string{"linux", "windows"} {
		cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports", "./...")
		cmd.Dir = "../.."
		cmd.Env = append(cmd.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		dec := json.NewDecoder(strings.NewReader(string(out)))
		for {
			var p pkg
			if err := dec.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
	}
	if len(all) < 10 {
		t.Fatalf("go list gave only %d packages", len(all))
	}
	return all
}

func TestImportsPointDownwards(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			if !allowed(p.ImportPath, imp) {
				t.Errorf("%s must not import %s", p.ImportPath, imp)
			}
			if p.ImportPath == module+"provision" && strings.Contains(imp, ".") {
				t.Errorf("the engine imports %s; it stands on the standard library alone", imp)
			}
		}
	}
}

func TestTheRuleItself(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/provision", "backends/netplan", true},
		{"backends/netplan", "provision/facts", true},
		{"backends/netplan", "backends", true},
		{"backends", "routing/watch", false},
		{"provision/facts", "backends", false},
		{"provision", "provision/host", false},
		{"provision/resource/file", "provision/host", true},
		{"provision/host", "provision/resource/file", false},
		{"dnsdhcp/dhcp4", "provision", false},
		{"gadget", "cmd/provision/internal/agent", false},
	} {
		if got := allowed(module+tt.from, module+tt.to); got != tt.want {
			t.Errorf("%s -> %s: allowed = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	if allowed(module+"backends", "github.com/spf13/cobra") {
		t.Error("a wing may import cobra")
	}
}
