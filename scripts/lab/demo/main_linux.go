// Command demo shows the program at work without touching this machine: a Debian system under its own systemd and network
// manager, in network namespaces, with a NAT NIC and a bridged NIC. It prints the routes before, the plan, the apply with the
// longest stall of TCP streams over the NAT NIC, the routes after, a second apply and the revert.
package main

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: demo BINARY [ROOT]")
		os.Exit(64)
	}
	root := "bookworm-netplan"
	if len(os.Args) > 2 {
		root = os.Args[2]
	}
	os.Exit(run(os.Args[1], root))
}

func run(binary, root string) (code int) {
	t := &stage{}
	defer t.end()
	defer func() {
		if r := recover(); r != nil {
			if r != errStopped {
				panic(r)
			}
			code = 1
		}
	}()
	title("a machine with netplan and systemd-networkd (%s): eth0 on NAT (10.0.2.0/24), eth1 bridged (192.168.76.0/24)", root)
	w := lab.NewWorld(t, lab.WorldOpts{})
	m := lab.Boot(t, lab.Root(t, root), w, lab.BootOpts{Binary: binary})
	m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
	fmt.Printf("booted in %s\n", m.BootTime.Round(time.Millisecond))
	routes(m)
	title("provision --detect")
	show(m, "provision", "--detect")
	title("provision plan")
	show(m, "provision", "plan")
	s := lab.Streams(t, w, lab.StreamOpts{})
	s.Mark("apply")
	title("provision apply, with four TCP streams over eth0 (a write each 10 ms)")
	show(m, "provision", "apply")
	fmt.Println(s.Report())
	s.Stop()
	routes(m)
	title("provision apply, again")
	show(m, "provision", "apply")
	title("provision revert")
	show(m, "provision", "revert")
	return 0
}

func title(format string, args ...any) { fmt.Printf("\n=== "+format+"\n", args...) }

func show(m *lab.Machine, argv ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, msg, code := m.Run(ctx, argv[0], argv[1:]...)
	fmt.Print(out, msg)
	if code != 0 {
		fmt.Printf("(status %d)\n", code)
	}
}

func routes(m *lab.Machine) {
	title("default routes")
	for _, family := range []int{4, 6} {
		for _, r := range m.Defaults(family) {
			fmt.Println(r)
		}
	}
}

const errStopped = "stopped"

// stage is what the lab asks of a test, for a program.
type stage struct {
	testing.TB // never called: the lab uses only what is defined below
	cleanups   []func()
	failed     bool
}

func (s *stage) Helper()          {}
func (s *stage) Name() string     { return "demo" }
func (s *stage) Failed() bool     { return s.failed }
func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }
func (s *stage) Log(args ...any)  { fmt.Fprintln(os.Stderr, args...) }
func (s *stage) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
func (s *stage) Error(args ...any)                 { s.failed = true; s.Log(args...) }
func (s *stage) Errorf(format string, args ...any) { s.failed = true; s.Logf(format, args...) }
func (s *stage) Fatal(args ...any)                 { s.Error(args...); panic(errStopped) }
func (s *stage) Fatalf(format string, args ...any) { s.Errorf(format, args...); panic(errStopped) }
func (s *stage) FailNow()                          { s.failed = true; panic(errStopped) }
func (s *stage) Skip(args ...any)                  { s.Log(args...); panic(errStopped) }
func (s *stage) Skipf(format string, args ...any)  { s.Logf(format, args...); panic(errStopped) }
func (s *stage) Setenv(key, value string)          { os.Setenv(key, value) }

func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "provision-demo-")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (s *stage) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}
