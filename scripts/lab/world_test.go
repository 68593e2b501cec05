//go:build lab && linux

package lab_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

var errNotYet = errors.New("not yet")

// remains lists what of a world is still on the host: processes in its namespaces or with its directory in their arguments,
// mounts, links and control groups.
func remains(t *testing.T, dir string, namespaces []string) []string {
	t.Helper()
	var found []string
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		cmd, _ := os.ReadFile(p + "/cmdline")
		line := strings.ReplaceAll(string(cmd), "\x00", " ")
		if strings.Contains(line, dir) {
			found = append(found, "process "+line)
		}
		for _, kind := range []string{"net", "pid", "mnt"} {
			if ns, err := os.Readlink(p + "/ns/" + kind); err == nil && slices.Contains(namespaces, ns) {
				found = append(found, "namespace "+ns+" of "+line)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			found = append(found, "mount "+line)
		}
	}
	links, err := exec.Command("ip", "-o", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(links), ": isp") {
		found = append(found, "links "+string(links))
	}
	return found
}

// namespaces of the world, and of a process in its machine.
func namespaces(t *testing.T, w *lab.World, p *lab.Process) []string {
	t.Helper()
	var all []string
	for _, path := range []string{fmt.Sprintf("/proc/%d/ns/net", w.Machine.PID()), fmt.Sprintf("/proc/%d/ns/net", w.ISP.PID()),
		fmt.Sprintf("/proc/%d/ns/pid", p.PIDs()[0]), fmt.Sprintf("/proc/%d/ns/mnt", p.PIDs()[0])} {
		ns, err := os.Readlink(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ns)
	}
	return all
}

// started waits until the program itself runs: nsenter comes first.
func started(t *testing.T, m *lab.Machine, argv ...string) *lab.Process {
	t.Helper()
	p, err := m.Start(argv...)
	if err != nil {
		t.Fatal(err)
	}
	lab.Await(t, 5*time.Second, func() error {
		if len(p.PIDs()) == 0 {
			return errNotYet
		}
		return nil
	})
	return p
}

func TestNothingIsLeft(t *testing.T) {
	lab.Need(t, lab.Tier2)
	root := lab.Root(t, "bookworm-nm")
	var dir string
	var seen []string
	t.Run("inner", func(t *testing.T) {
		w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT(), lab.Bridged(), lab.HostOnly("eth2")}})
		m := lab.Boot(t, root, w, lab.BootOpts{})
		dir = filepath.Dir(m.Dir())
		seen = namespaces(t, w, started(t, m, "sleep", "1000"))
		begin := time.Now()
		m.Reboot(t)
		t.Logf("the reboot took %v", time.Since(begin))
		seen = append(seen, namespaces(t, w, started(t, m, "sleep", "1001"))...)
		lab.Streams(t, w, lab.StreamOpts{})
		if len(remains(t, dir, seen)) < 5 {
			t.Fatal("a running world cannot be seen, so its end could not be either")
		}
	})
	lab.Await(t, 5*time.Second, func() error {
		if left := remains(t, dir, seen); len(left) > 0 {
			return fmt.Errorf("left behind: %q", left)
		}
		return nil
	})
}

// A test that is killed, not only one that fails, leaves nothing: a copy of this test binary is killed while its machine runs.
func TestNothingIsLeftByAKilledTest(t *testing.T) {
	lab.Need(t, lab.Tier2)
	if os.Getenv("LAB_VICTIM") != "" {
		w := lab.NewWorld(t, lab.WorldOpts{})
		m := lab.Boot(t, lab.Root(t, "bookworm-nm"), w, lab.BootOpts{})
		fmt.Println("dir", filepath.Dir(m.Dir()), strings.Join(namespaces(t, w, started(t, m, "sleep", "1000")), " "), "end")
		select {}
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeftByAKilledTest$", "-test.v")
	victim.Env = append(os.Environ(), "LAB_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	for buf := make([]byte, 1024); !strings.Contains(said, "end\n"); {
		n, err := out.Read(buf)
		said += string(buf[:n])
		if err != nil {
			t.Fatalf("the victim ended early: %s", said)
		}
	}
	_, said, _ = strings.Cut(said, "dir ")
	words := strings.Fields(said)
	t.Cleanup(func() { _ = os.RemoveAll(words[0]) })
	if len(remains(t, words[0], words[1:])) < 5 {
		t.Fatal("the victim's world cannot be seen, so its end could not be either")
	}
	_ = victim.Process.Kill()
	_ = victim.Wait()
	lab.Await(t, 10*time.Second, func() error {
		if left := remains(t, words[0], words[1:]); len(left) > 0 {
			return fmt.Errorf("left behind: %q", left)
		}
		return nil
	})
}

// A DHCP server that was killed is silent, and the world's options reach the machine.
func TestServers(t *testing.T) {
	lab.Need(t, lab.Tier2)
	nat, host := lab.NAT(), lab.HostOnly("eth2")
	nat.Lease, nat.T1, nat.T2, nat.DHCPv6, nat.Preference = 2*time.Minute, 8*time.Second, 16*time.Second, true, "high"
	w := lab.NewWorld(t, lab.WorldOpts{NICs: []lab.NICOpts{nat, lab.Bridged(), host}, Strict: true})
	m := lab.Boot(t, lab.Root(t, "bookworm-netplan"), w, lab.BootOpts{Config: lab.AllEn})
	m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1", "eth2")
	if d := m.Defaults(4); len(d) != 2 {
		t.Errorf("a host-only NIC gives a default route: %v", d)
	}
	lab.Await(t, 10*time.Second, func() error {
		for _, a := range m.Addrs("eth0") {
			if a.Bits == 128 && strings.HasPrefix(a.Addr, "2001:db8::1") {
				return nil
			}
		}
		return errors.New("eth0 has no DHCPv6 lease")
	})
	// Renewals come by T1 and end with the server.
	acks := func() int { return strings.Count(w.DHCPLog("eth0"), "DHCPACK") }
	n := acks()
	lab.Await(t, 15*time.Second, func() error {
		if acks() > n {
			return nil
		}
		return errors.New("no renewal: T1 has no effect")
	})
	// A client that was refused a renewal may wait for a minute before it asks again (RFC 2131 section 4.4.5); one that starts
	// anew asks every few seconds.
	w.KillDHCP("eth0")
	n, asked := acks(), strings.Count(w.DHCPLog("eth0"), "DHCPDISCOVER")
	m.MustRun(t, "networkctl", "reconfigure", "eth0")
	<-time.After(3 * time.Second)
	if acks() != n || strings.Count(w.DHCPLog("eth0"), "DHCPDISCOVER") != asked || w.Global("eth0", 4) != "" {
		t.Error("a killed server answers")
	}
	w.StartDHCP("eth0")
	lab.Await(t, 20*time.Second, func() error {
		if acks() > n && w.Global("eth0", 4) == "10.0.2.15" {
			return nil
		}
		return errors.New("no lease from the server that is back")
	})

	w.AddNIC(lab.NICOpts{Name: "eth3", Net4: "172.30.9.0/24"})
	m.AwaitDefaults(t, 20*time.Second, "eth3")
	w.RemoveNIC("eth3")
	if out, _ := w.Machine.Exec("ip", "link", "show", "dev", "eth3"); out != "" {
		t.Errorf("the pulled NIC is still there: %s", out)
	}
	w.StopRA("eth0")
	lab.Await(t, 10*time.Second, func() error {
		for _, r := range m.Defaults(6) {
			if r.Dev == "eth0" {
				return errors.New("the router has not withdrawn itself")
			}
		}
		return nil
	})
}
