//go:build lab && linux

package people

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// listenEnv makes this binary somebody who can be talked to.
const listenEnv = "PROVISION_TEST_LISTEN"

func TestMain(m *testing.M) {
	if addr := os.Getenv(listenEnv); addr != "" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		for {
			c, err := l.Accept()
			if err != nil {
				os.Exit(1)
			}
			fmt.Fprintln(c, "hello")
			c.Close()
		}
	}
	status := m.Run()
	if programDir != "" {
		os.RemoveAll(programDir)
	}
	os.Exit(status)
}

// machine is a namespace with a network, mounts, /etc, /run and /var/lib of its own.
type machine struct {
	t    testing.TB
	name string
	pid  int
	dir  string
}

func newMachine(t testing.TB, name string) *machine {
	t.Helper()
	dir := t.TempDir()
	script := `set -e
mount -t tmpfs none ` + dir + `
cd ` + dir + `; mkdir eu ew lu lw bin
mount -t overlay none -o lowerdir=/etc,upperdir=$PWD/eu,workdir=$PWD/ew /etc
mount -t overlay none -o lowerdir=/var/lib,upperdir=$PWD/lu,workdir=$PWD/lw /var/lib
mount -t tmpfs none /run
mount -t sysfs none /sys
ip link set lo up
echo ready
exec cat >/dev/null`
	c := exec.Command("unshare", "-n", "-m", "--propagation", "private", "--", "sh", "-c", script)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, name: name, pid: c.Process.Pid, dir: dir}
	t.Cleanup(func() {
		// Devices in userspace end with their interface.
		if out, err := m.try("sh", "-c", "for d in $(ls /sys/class/net); do case $d in lo) ;; *) ip link del $d 2>/dev/null;; esac; done; true"); err != nil {
			t.Log(out, err)
		}
		stdin.Close()
		_ = c.Wait()
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Skipf("skipped: cannot make a machine of namespaces: %s", errs.String())
	}
	return m
}

func (m *machine) command(argv ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	m.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-n", "-m", "--"}, argv...)...)
	c.Env = append(os.Environ(), "PATH="+m.dir+"/bin:"+os.Getenv("PATH"), "WG_QUICK_USERSPACE_IMPLEMENTATION="+m.dir+"/bin/device")
	c.Dir = "/"
	c.WaitDelay = time.Second
	return c
}

// try runs a program and returns what it printed to standard output; the error has the rest.
func (m *machine) try(argv ...string) (string, error) {
	var out, errs strings.Builder
	c := m.command(argv...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("%s: %s: %w\n%s", m.name, strings.Join(argv, " "), err, errs.String())
	}
	return out.String(), err
}

func (m *machine) run(argv ...string) string {
	m.t.Helper()
	out, err := m.try(argv...)
	if err != nil {
		m.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// sh runs commands, one a line.
func (m *machine) sh(script string) string {
	m.t.Helper()
	return m.run("sh", "-ec", script)
}

// status runs our program and returns its exit status and all that it said.
func (m *machine) status(args ...string) (int, string, string) {
	m.t.Helper()
	var out, errs strings.Builder
	c := m.command(append([]string{m.dir + "/bin/provision"}, args...)...)
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// provision runs our program, which has to succeed, and returns its standard output.
func (m *machine) provision(args ...string) string {
	m.t.Helper()
	code, out, errs := m.status(args...)
	if code != 0 {
		m.t.Fatalf("%s: provision %s: status %d\n%s%s", m.name, strings.Join(args, " "), code, out, errs)
	}
	return out
}

// background starts a program that ends with the test.
func (m *machine) background(env string, argv ...string) *strings.Builder {
	m.t.Helper()
	c := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-n", "-m", "--"}, argv...)...)
	c.Env = append(os.Environ(), env)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &strings.Builder{}
	r, w, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	w.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := bufio.NewScanner(r)
		for s.Scan() {
			out.WriteString(s.Text() + "\n")
		}
	}()
	m.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		<-done
		if m.t.Failed() {
			m.t.Logf("%s: %s said:\n%s", m.name, strings.Join(argv, " "), out)
		}
	})
	return out
}

// write makes a file of mode 0600, also in a folder that is not there yet.
func (m *machine) write(path, text string) {
	m.t.Helper()
	c := m.command("sh", "-ec", `umask 077; mkdir -p "$(dirname "$1")"; cat > "$1"`, "sh", path)
	c.Stdin = strings.NewReader(text)
	if out, err := c.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v\n%s", path, err, out)
	}
}

// away asks until f says nothing.
func await(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// pings waits until an address answers.
func (m *machine) pings(addr string) {
	m.t.Helper()
	await(m.t, m.name+" pings "+addr, func() error {
		_, err := m.try("ping", "-c1", "-W1", addr)
		return err
	})
}

func (m *machine) silent(addr string) {
	m.t.Helper()
	if out, err := m.try("ping", "-c2", "-i0.3", "-W1", addr); err == nil {
		m.t.Errorf("%s reaches %s:\n%s", m.name, addr, out)
	}
}

// Where things are. The internet has one host, with an address of each family.
const (
	box4, box6   = "203.0.113.5", "2001:db8:5::5"
	host4, host6 = "198.51.100.1", "2001:db8:99::1"
	lan4, lan6   = "10.9.0.7", "fd09::7"
)

// world is the box, the internet with a host in it, a phone and a tablet elsewhere, and somebody at home.
type world struct {
	net, box, phone, tablet, home *machine
}

// programPath is the program under test, in programDir where it was built here: all tests of the
// package share it, so it ends with the package.
var programPath, programDir string

func newWorld(t testing.TB) *world {
	t.Helper()
	lab.Need(t, lab.Tier2)
	for _, tool := range []string{"wg", "wg-quick", "ip", "dig", "ping", "nsenter", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	if programPath == "" {
		dir, err := os.MkdirTemp("", "people")
		if err != nil {
			t.Fatal(err)
		}
		programDir = dir
		if programPath, err = lab.Program(dir); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{}
	for name, m := range map[string]**machine{"internet": &w.net, "box": &w.box, "phone": &w.phone, "tablet": &w.tablet, "home": &w.home} {
		*m = newMachine(t, name)
		(*m).install()
	}
	w.net.sh("ip addr add " + host4 + "/32 dev lo; ip addr add " + host6 + "/128 dev lo; echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	w.cable(w.net, w.box, "eth0", "203.0.113.1/24 2001:db8:5::1/64", box4+"/24 "+box6+"/64", "203.0.113.1 2001:db8:5::1")
	w.cable(w.net, w.phone, "eth0", "192.0.2.1/26 2001:db8:7::1/64", "192.0.2.7/26 2001:db8:7::7/64", "192.0.2.1 2001:db8:7::1")
	w.cable(w.net, w.tablet, "eth0", "192.0.2.65/26 2001:db8:8::1/64", "192.0.2.77/26 2001:db8:8::7/64", "192.0.2.65 2001:db8:8::1")
	w.cable(w.box, w.home, "eth0", "10.9.0.1/24 fd09::1/64", lan4+"/24 "+lan6+"/64", "10.9.0.1 fd09::1")
	return w
}

// install puts what a machine needs where it finds it: our program, a device for wg-quick where the
// kernel has none, and a resolvconf that takes everything.
func (m *machine) install() {
	for name, text := range map[string]string{
		"device":     "#!/bin/sh\nsetsid " + m.dir + "/bin/provision wireguard run \"$1\" </dev/null >/dev/null 2>&1 &\nfor i in $(seq 200); do [ -S /var/run/wireguard/$1.sock ] && exit 0; sleep 0.05; done; exit 1\n",
		"resolvconf": "#!/bin/sh\ncat > " + m.dir + "/dns 2>/dev/null; exit 0\n",
	} {
		m.write(filepath.Join(m.dir, "bin", name), text)
		m.run("chmod", "755", filepath.Join(m.dir, "bin", name))
	}
	m.run("ln", "-s", programPath, m.dir+"/bin/provision")
}

// cable joins two machines; the near end is called after the far one.
func (w *world) cable(near, far *machine, dev, nearAddrs, farAddrs, gateways string) {
	name := map[*machine]string{w.box: "toBox", w.phone: "toPhone", w.tablet: "toTablet", w.home: "lan0"}[far]
	near.run("ip", "link", "add", name, "type", "veth", "peer", "name", dev, "netns", strconv.Itoa(far.pid))
	for _, end := range []struct {
		m          *machine
		dev, addrs string
	}{{near, name, nearAddrs}, {far, dev, farAddrs}} {
		for _, a := range strings.Fields(end.addrs) {
			args := []string{"ip", "addr", "add", a, "dev", end.dev}
			if strings.Contains(a, ":") {
				args = append(args, "nodad")
			}
			end.m.run(args...)
		}
		end.m.run("ip", "link", "set", end.dev, "up")
	}
	for _, g := range strings.Fields(gateways) {
		far.run("ip", "route", "add", "default", "via", g)
	}
}

// up has wg-quick take a file.
func (m *machine) up(name, config string) {
	m.t.Helper()
	path := "/etc/wireguard/" + name + ".conf"
	m.write(path, config)
	m.run("wg-quick", "up", path)
}

func (m *machine) down(name string) { m.run("wg-quick", "down", "/etc/wireguard/"+name+".conf") }

// field is the value of a key of a file of wg-quick.
func field(t testing.TB, config, key string) string {
	t.Helper()
	for _, l := range strings.Split(config, "\n") {
		if k, v, ok := strings.Cut(l, " = "); ok && k == key {
			return v
		}
	}
	t.Fatalf("no %s in\n%s", key, config)
	return ""
}
