package facts

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Anybody can call a process dhclient or NetworkManager. Only those count that could
// do what their name says.
func TestOrdinaryUsersAreNoManagers(t *testing.T) {
	gather := func(uid string) *Facts {
		root := t.TempDir()
		for i, p := range []struct{ comm, args string }{
			{"dhclient", "dhclient\x00-4\x00enp0s8\x00"}, {"udhcpc", "udhcpc\x00-i\x00enp0s8\x00"}, {"dhcpcd", "dhcpcd: enp0s8 [ip4]\x00"},
			{"NetworkManager", "NetworkManager\x00"}, {"systemd-network", "x\x00"}, {"kubelet", "kubelet\x00"}, {"waagent", "x\x00"},
		} {
			dir := filepath.Join(root, "proc", strconv.Itoa(100+i))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"comm": p.comm + "\n", "cmdline": p.args, "status": "Name:\t" + p.comm + "\nUid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid + "\nNSpid:\t9\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		g := Gatherer{Root: root, PID: 1, EUID: func() int { return 0 }, Env: func(string) (string, bool) { return "", false },
			Kernel: capturedKernel{capturedMachine{Network: Network{Links: []Link{{Index: 2, Name: "enp0s8", ARPHRD: 1}}}}}}
		f, err := g.Gather(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, uid := range []string{"1000", "65534", "100000"} {
		f := gather(uid)
		if len(f.Clients) > 0 || f.NM.Running || f.Networkd.Running || f.Dhcpcd.Running || f.Machine.CNI != "" || f.Machine.Cloud != "" {
			t.Errorf("user %s is believed: clients %+v, NM %v, networkd %v, dhcpcd %v, CNI %q, cloud %q",
				uid, f.Clients, f.NM.Running, f.Networkd.Running, f.Dhcpcd.Running, f.Machine.CNI, f.Machine.Cloud)
		}
	}
	for _, uid := range []string{"0", "998"} {
		if f := gather(uid); len(f.Clients) != 3 || !f.NM.Running || !f.Networkd.Running || f.Machine.CNI == "" || f.Machine.Cloud == "" {
			t.Errorf("user %s is not seen: clients %+v, NM %v, networkd %v, CNI %q, cloud %q", uid, f.Clients, f.NM.Running, f.Networkd.Running, f.Machine.CNI, f.Machine.Cloud)
		}
	}
}
