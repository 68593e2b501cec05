// Package house checks rules about the house itself: which room may lean on
// which, and that the documentation names things that exist.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/provision-net/provision/"

// room names the part of the house that a package belongs to.
func room(path string) string {
	rel := strings.TrimPrefix(path, module)
	in := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return rel == d || strings.HasPrefix(rel, d+"/") })
	}
	switch {
	case rel == "provision/host/nstest", rel == "provision/enginetest", rel == "backends/backendtest", rel == "vagrant/vbox/vboxtest":
		return "test kit"
	case rel == "provision":
		return "engine"
	case in("provision/host"):
		return "host"
	case in("provision/facts"):
		return "facts"
	case in("provision/intent"):
		return "intent"
	case in("provision/resource"):
		return "resource"
	case in("provision/guard"):
		return "guard"
	case in("backends/claim", "backends/dhcpcd/conf", "backends/ifupdown/interfaces", "backends/netplan/netdef", "backends/networkd/unit", "backends/networkmanager/keyfile"):
		return "reader"
	case in("backends"):
		return "backends"
	case in("gadget"):
		return "gadget"
	case in("routing"):
		return "routing"
	case in("dnsdhcp"):
		return "dnsdhcp"
	case in("vagrant"):
		return "vagrant"
	case in("cmd"):
		return "roof"
	case in("scripts"):
		return "scripts"
	}
	return "" // leans on nothing until it is given a place here
}

// leansOn is the whole rule: which rooms a room may lean on, itself included. The
// engine and the host know nobody; a kind of resource knows neither facts nor plans;
// a wing plans from facts and speaks of resources, and reaches no host and no other
// wing; the readers of the managers' formats serve detection and planners alike, so
// they know neither; the DHCP and DNS server knows nothing of plans, and the VM host's side
// nothing of the guest's.
func leansOn() map[string][]string {
	wing := []string{"engine", "facts", "intent", "resource"}
	return map[string][]string{
		"engine":   {},
		"host":     {"host"},
		"facts":    {"facts"},
		"intent":   {"intent"},
		"resource": {"engine", "host"},
		"guard":    {"facts", "host"},
		"reader":   {"reader", "facts"},
		"backends": append([]string{"backends", "reader"}, wing...),
		"gadget":   append([]string{"gadget", "reader"}, wing...),
		"routing":  append([]string{"routing"}, wing...),
		"dnsdhcp":  {"dnsdhcp"},
		"vagrant":  {"vagrant"},
		"test kit": append([]string{"host", "backends"}, wing...),
		"roof":     append([]string{"roof", "host", "guard", "backends", "gadget", "routing", "dnsdhcp", "vagrant"}, wing...),
		"scripts":  append([]string{"scripts", "test kit", "roof", "host", "guard", "reader", "backends", "gadget", "routing", "dnsdhcp", "vagrant"}, wing...),
	}
}

// allowed applies the rule to one import of code that is not a test.
func allowed(from, to string) bool {
	fr := room(from)
	if !strings.HasPrefix(to, module) {
		switch {
		case to == "github.com/spf13/cobra":
			return strings.HasPrefix(from, module+"cmd/provision") && !strings.Contains(from, "/internal/")
		case fr == "engine":
			return !strings.Contains(to, ".") // the standard library alone
		case fr == "backends" || fr == "reader":
			return !effectful(to)
		}
		return true
	}
	tr := room(to)
	if fr == "resource" && tr == "resource" || fr != "resource" && tr == "resource" && strings.Count(strings.TrimPrefix(to, module), "/") > 2 {
		return strings.HasPrefix(to, from+"/") // the inside of a kind is its own; kinds do not know each other
	}
	return slices.Contains(leansOn()[fr], tr)
}

// effectful are packages by which code could reach the host: who plans must not, or
// its goldens would not say what happens.
func effectful(path string) bool {
	return path == "os" || strings.HasPrefix(path, "os/") || path == "syscall" || path == "plugin" || strings.HasPrefix(path, "net/http") ||
		strings.HasPrefix(path, "golang.org/x/sys") || strings.HasPrefix(path, "github.com/vishvananda/netlink") || strings.HasPrefix(path, "github.com/godbus") ||
		strings.HasPrefix(path, "github.com/coreos/go-systemd")
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
		{"backends/netplan", "provision/host", false},
		{"backends/netplan", "provision/host/netplangen", false},
		{"backends/netplan", "provision/guard", false},
		{"backends/netplan", "provision/resource/daemon", true},
		{"backends/netplan", "provision/resource/daemon/foreign", false},
		{"backends/netplan", "backends/networkd/unit", true},
		{"backends/networkd/unit", "backends", false},
		{"backends/claim", "provision/resource/file", false},
		{"provision/resource/link", "provision/resource/file", false},
		{"provision/resource/link", "provision/facts", false},
		{"provision/resource/daemon", "provision/resource/daemon/foreign", true},
		{"cmd/provision/internal/agent", "provision/resource/daemon/foreign", false},
		{"cmd/provision", "provision/enginetest", false},
		{"backends", "backends/backendtest", false},
		{"provision/guard", "provision", false},
		{"cmd/provision", "scripts/lab", false},
		{"cmd/provision", "vagrant/vbox", true},
		{"cmd/provision", "vagrant/vbox/vboxtest", false},
		{"vagrant/vbox", "provision", false},
		{"scripts/lab/e2e", "cmd/provision/internal/agent", true},
	} {
		if got := allowed(module+tt.from, module+tt.to); got != tt.want {
			t.Errorf("%s -> %s: allowed = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"backends", "github.com/spf13/cobra", false},
		{"cmd/provision", "github.com/spf13/cobra", true},
		{"cmd/provision/internal/agent", "github.com/spf13/cobra", false},
		{"provision", "golang.org/x/sys/unix", false},
		{"backends/netplan", "os/exec", false},
		{"backends/netplan", "net/netip", true},
		{"provision/host", "os/exec", true},
	} {
		if got := allowed(module+tt.from, tt.to); got != tt.want {
			t.Errorf("%s -> %s: allowed = %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
}
