//go:build lab && linux

package cloudinit

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// full adds the other release and the ways that take longer.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

// work is the folder of all that the tests share.
var work string

func TestMain(m *testing.M) {
	os.Exit(lab.Main(m, func(dir string) error {
		work = dir
		return nil
	}))
}

// program is the one under test.
var program = sync.OnceValues(func() (string, error) { return lab.Program(work) })

// deb is a package of it, and laterDeb what comes after that one.
var deb, laterDeb = built("v1.0.0"), built("v1.1.0")

func built(version string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		bin, err := program()
		if err != nil {
			return "", err
		}
		out := filepath.Join(work, "packages", version)
		cmd := exec.Command("scripts/package", "-o", out, "-b", bin, "-k", "deb", "linux/amd64")
		cmd.Dir = "../../.."
		cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1769817600")
		if said, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot make the package: %w\n%s", err, said)
		}
		found, err := filepath.Glob(out + "/*.deb")
		if err != nil || len(found) != 1 {
			return "", fmt.Errorf("packages: %v %w", found, err)
		}
		return found[0], nil
	})
}

func must(t *testing.T, get func() (string, error)) string {
	t.Helper()
	path, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// releases have cloud-init 22.4 and 25.1.
var releases = []string{"bookworm", "trixie"}

// root is a cloud image's: a release with netplan and networkd, cloud-init and sshd; or one with another manager (trixie-nm).
func root(t *testing.T, image string) string {
	t.Helper()
	if strings.Contains(image, "-") {
		return lab.Root(t, image+"+cloud-init")
	}
	return lab.Root(t, image+"-netplan+cloud-init+openssh-server")
}

// renderers tell cloud-init for whom it writes, where it would take the first that it finds.
func renderers(image string) lab.Overlay {
	_, manager, _ := strings.Cut(image, "-")
	name, ok := map[string]string{"nm": "network-manager", "ifupdown": "eni"}[manager]
	if !ok {
		return nil
	}
	return lab.Overlay{"/etc/cloud/cloud.cfg.d/91-lab.cfg": {Content: "system_info: {network: {renderers: [" + name + "]}}\n"}}
}

const seedDir = "/var/lib/cloud/seed/nocloud"

// settings of cloud-init that a machine without locales and with one datasource needs, whose disk is no larger than its file system
// (25.1 complains of it); one host key is enough.
var settings = lab.Overlay{"/etc/cloud/cloud.cfg.d/90-lab.cfg": {Content: "locale: false\ndatasource_list: [NoCloud, None]\nssh_genkeytypes: [ed25519]\nno_ssh_fingerprints: true\nresize_rootfs: false\n"}}

// config names the NICs, so that it is known before the first lease which one is to lose.
const config = `version: 1
network:
  nics:
    - match: {name: eth0}
      role: nat
    - match: {name: eth1}
`

// seed is what `provision hook cloud-init --seed` writes, as files of the machine.
func seed(t *testing.T, args ...string) lab.Overlay {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "seed")
	seedInto(t, dir, args...)
	files := lab.Overlay{}
	for _, name := range []string{"meta-data", "user-data", "network-config"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[seedDir+"/"+name] = lab.File{Content: string(text), Mode: 0o600}
	}
	return files
}

// seedInto writes a seed to a folder of the host.
func seedInto(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(must(t, program), append([]string{"hook", "cloud-init", "--seed", dir}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// file writes text to a file of the test.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// server serves a file to the machines of a world, beyond its routers, and returns its URL.
func server(t *testing.T, w *lab.World, path string) string {
	t.Helper()
	var l net.Listener
	err := w.ISP.Do(func() (err error) {
		l, err = net.Listen("tcp", lab.OffLink4+":8080")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) { http.ServeFile(out, in, path) })}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String() + "/" + filepath.Base(path)
}

// machine is a booted cloud image.
type machine struct {
	*lab.Machine
	t *testing.T
}

func boot(t *testing.T, image string, w *lab.World, files ...lab.Overlay) *machine {
	t.Helper()
	all := lab.Overlay{}
	for _, o := range append(files, settings, renderers(image)) {
		for path, f := range o {
			all[path] = f
		}
	}
	m := lab.Boot(t, root(t, image), w, lab.BootOpts{Config: lab.NoConfig, Overlay: all, Udevadm: true, Timeout: 4 * time.Minute})
	return &machine{m, t}
}

// status is what cloud-init says about the boot.
func (m *machine) status() (status string, errs []string) {
	m.t.Helper()
	out := m.MustRun(m.t, "cat", "/run/cloud-init/status.json")
	var said struct {
		V1 map[string]json.RawMessage `json:"v1"`
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	for _, stage := range []string{"init-local", "init", "modules-config", "modules-final"} {
		var s struct {
			Errors []string `json:"errors"`
		}
		if raw, ok := said.V1[stage]; ok {
			if err := json.Unmarshal(raw, &s); err != nil {
				m.t.Fatalf("%v: %s", err, raw)
			}
			errs = append(errs, s.Errors...)
		}
	}
	out, _, _ = m.Run(context.Background(), "cloud-init", "status")
	_, status, _ = strings.Cut(strings.TrimSpace(out), ": ")
	return status, errs
}

// well checks that cloud-init is content.
func (m *machine) well() {
	m.t.Helper()
	if status, errs := m.status(); status != "done" || len(errs) > 0 {
		log, _ := m.ReadFile("/var/log/cloud-init-output.log")
		m.t.Errorf("cloud-init says %q, errors %q\n%s", status, errs, log)
	}
}

// right checks that eth1 wins in both families.
func (m *machine) right() {
	m.t.Helper()
	m.AwaitDefaults(m.t, 30*time.Second, "eth0", "eth1")
	for _, family := range []int{4, 6} {
		all := m.Defaults(family)
		if len(all) != 2 || all[0].Dev != "eth1" || all[1].Dev != "eth0" || all[1].Metric < 1000 {
			m.t.Errorf("IPv%d: %v", family, all)
		}
	}
	if out, msg, exit := m.Run(context.Background(), "provision", "verify"); exit != 0 {
		m.t.Errorf("verify: status %d\n%s%s", exit, out, msg)
	}
}

// result is /var/lib/provision/cloud-init.json.
type result struct {
	Schema  int
	OK      bool
	Step    string
	Status  int
	Seconds int
}

func (m *machine) result() result {
	m.t.Helper()
	text, err := m.ReadFile("/var/lib/provision/cloud-init.json")
	var r result
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil || r.Schema != 1 {
		m.t.Errorf("cloud-init.json: %v: %s", err, text)
	}
	return r
}

// count is how often a file says something.
func (m *machine) count(path, what string) int {
	m.t.Helper()
	text, err := m.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Count(text, what)
}

// load is how many processes want a processor, in the mean of the last minute (proc_loadavg(5)).
func load(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	var n float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
